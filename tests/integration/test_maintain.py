"""Test partitions: created in advance, filled from the default partition, and dropped past retention."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from payment_service.db import lock_retries
from payment_service.db.gauges import partition_days_left, sample
from payment_service.db.maintain import (
    AHEAD,
    EVENTS_KEPT,
    READS_KEPT,
    RECONCILIATIONS_KEPT,
    WEEK,
    MaintainError,
    maintain,
    week_of,
)
from payment_service.db.retention import OUTBOX_KEPT
from payment_service.telemetry import metrics

NOW = datetime.now(UTC)


@pytest.fixture
def connection(database_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_dsn, autocommit=True, options="-c timezone=UTC") as opened:
        yield opened


def store_event(
    connection: psycopg.Connection[Any], at: datetime, *, processed: bool = True, name: str | None = None
) -> int:
    return connection.execute(
        "INSERT INTO payment_events (event_type, provider, provider_event_id, payload, processed, verified_by, verified_at, "
        "occurred_at, created_at) VALUES ('payment_intent.succeeded', 'stripe', %s, '{}', %s, 'first', %s, %s, %s) "
        "ON CONFLICT (provider, provider_event_id, occurred_at) DO NOTHING",
        [name or f"evt_{uuid.uuid4().hex}", processed, at, at, at],
    ).rowcount


def outbox_record(connection: psycopg.Connection[Any], at: datetime, *, published: bool = True) -> None:
    row = connection.execute(
        "INSERT INTO outbox (id, aggregatetype, aggregateid, sequence, type, headers, created_at) "
        "VALUES (gen_random_uuid(), 'payment', gen_random_uuid(), 1, 'payments.initiated', '[]', %s) "
        "RETURNING position, aggregateid, created_at",
        [at],
    ).fetchone()
    if not published:
        connection.execute("INSERT INTO outbox_pending VALUES (%s, %s, %s)", row)


def partitions(connection: psycopg.Connection[Any], table: str) -> list[str]:
    rows = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1", [table]
    ).fetchall()
    return [row[0] for row in rows if not row[0].endswith("_default")]


def where(connection: psycopg.Connection[Any], table: str) -> list[str]:
    return [row[0] for row in connection.execute(f"SELECT tableoid::regclass::text FROM {table} ORDER BY 1".encode())]  # noqa: S608


def run(dsn: str, now: datetime | None = None) -> list[str]:
    lines: list[str] = []
    maintain(dsn, now=now, report=lines.append)
    return lines


def test_a_new_database_has_partitions_for_every_possible_event(connection: psycopg.Connection[Any]) -> None:
    """Stripe resends events for 30 days, so the first delivery to a new installation may be from last month."""
    for days in (-30, -10, -2, 0, 14):
        store_event(connection, NOW + timedelta(days=days))
    for days in (0, 14):
        outbox_record(connection, NOW + timedelta(days=days))
    assert "payment_events_default" not in where(connection, "payment_events")
    assert "outbox_default" not in where(connection, "outbox")


def test_a_second_run_changes_nothing(database_dsn: str) -> None:
    assert run(database_dsn) == []


def test_partitions_are_weeks_without_gaps(connection: psycopg.Connection[Any]) -> None:
    names = partitions(connection, "payment_events")
    first = week_of(NOW - EVENTS_KEPT)
    assert names == [f"payment_events_{first + n * WEEK:%Y%m%d}" for n in range(len(names))]
    assert first + len(names) * WEEK > NOW + AHEAD


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
def test_a_week_starts_on_monday(moment: datetime) -> None:
    week = week_of(moment)
    assert week <= moment < week + WEEK
    assert week.weekday() == 0
    assert week.utcoffset() == timedelta(0)
    assert (week.hour, week.minute, week.second, week.microsecond) == (0, 0, 0, 0)


def test_rows_in_the_default_partition_move_to_their_new_range(
    database_dsn: str, connection: psycopg.Connection[Any]
) -> None:
    later = NOW + timedelta(days=40)
    for n in range(3):
        store_event(connection, later, name=f"evt_{n}")
    outbox_record(connection, later, published=False)
    assert set(where(connection, "payment_events")) == {"payment_events_default"}
    lines = run(database_dsn, now=later)
    name = f"payment_events_{week_of(later):%Y%m%d}"
    assert f"created {name}, moved 3 rows from payment_events_default" in lines
    assert set(where(connection, "payment_events")) == {name}
    assert where(connection, "outbox") == [f"outbox_{week_of(later):%Y%m%d}"]


def test_an_event_stays_unique_while_its_row_moves_to_a_range(
    database_dsn: str, connection: psycopg.Connection[Any]
) -> None:
    later = NOW + timedelta(days=40)
    assert store_event(connection, later, name="evt_once") == 1
    assert store_event(connection, later, name="evt_once") == 0
    run(database_dsn, now=later)
    assert store_event(connection, later, name="evt_once") == 0
    assert len(where(connection, "payment_events")) == 1


@pytest.mark.invariant("I9")
def test_an_event_resent_while_ranges_are_created_is_stored_once(
    database_dsn: str, connection: psycopg.Connection[Any]
) -> None:
    """PostgreSQL rejects an insert that was on its way to the default partition. It is then retried."""
    later = NOW + timedelta(days=40)
    moments = [later + n * WEEK / 4 for n in range(12)]
    stop = threading.Event()
    stored: list[int] = []

    def deliver() -> int:
        count, rounds = 0, 0
        with psycopg.connect(database_dsn, autocommit=True) as own:
            while not stop.is_set() or not rounds:
                for n, moment in enumerate(moments):
                    try:
                        count += store_event(own, moment, name=f"evt_{n}")
                    except psycopg.errors.CheckViolation:
                        continue
                rounds += 1
        return count

    with ThreadPoolExecutor(3) as threads:
        deliveries = [threads.submit(deliver) for _ in range(3)]
        try:
            run(database_dsn, now=later)
            run(database_dsn, now=later + WEEK)
        finally:
            stop.set()
        stored = [delivery.result() for delivery in deliveries]
    assert sum(stored) == len(moments)
    assert connection.execute("SELECT count(*), count(DISTINCT provider_event_id) FROM payment_events").fetchone() == (
        12,
        12,
    )


def test_partitions_past_retention_are_dropped_with_their_rows(
    database_dsn: str, connection: psycopg.Connection[Any]
) -> None:
    store_event(connection, NOW)
    outbox_record(connection, NOW)
    connection.execute(
        "INSERT INTO outbox_placements (position, created_at, partition, record_offset) VALUES (1, %s, 0, 7)", [NOW]
    )
    lines = run(database_dsn, now=NOW + EVENTS_KEPT + WEEK)
    assert f"dropped payment_events_{week_of(NOW):%Y%m%d}" in lines
    assert f"dropped outbox_{week_of(NOW):%Y%m%d}" in lines
    assert f"dropped outbox_placements_{week_of(NOW):%Y%m%d}" in lines
    assert where(connection, "payment_events") == []
    assert where(connection, "outbox") == []


def test_rows_within_retention_are_kept(database_dsn: str, connection: psycopg.Connection[Any]) -> None:
    moment = week_of(NOW) + WEEK - timedelta(seconds=1)  # the last of its partition
    store_event(connection, moment)
    outbox_record(connection, moment)
    run(database_dsn, now=moment + OUTBOX_KEPT)
    assert where(connection, "outbox")
    run(database_dsn, now=moment + EVENTS_KEPT)
    assert where(connection, "payment_events")
    assert not where(connection, "outbox")


def test_resolved_differences_and_finished_reconciliations_past_retention_are_deleted(
    database_dsn: str, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of one row show that several are deleted."""
    monkeypatch.setattr("payment_service.db.maintain.DELETED_TOGETHER_MAX", 1)
    old, kept = NOW - RECONCILIATIONS_KEPT - timedelta(minutes=1), NOW - RECONCILIATIONS_KEPT + timedelta(minutes=1)
    for subject, resolved in {"old-1": old, "old-2": old, "kept": kept, "open": None}.items():
        connection.execute(
            "INSERT INTO differences (code, subject, sides, detail, occurred_at, first_seen_at, resolved_at)"
            " VALUES ('a', %s, 'rows', '', %s, %s, %s)",
            [subject, old, old, resolved],
        )
    for position, finished in {"old-1": old, "old-2": old, "kept": kept, "running": None}.items():
        connection.execute(
            "INSERT INTO reconciliations (holder, lease_until, since, until, state, position, started_at, finished_at)"
            " VALUES (gen_random_uuid(), now(), %s, now(), %s, %s, %s, %s)",
            [old, "finished" if finished else "running", position, old, finished],
        )
    lines = run(database_dsn, now=NOW)
    assert [line for line in lines if "past retention" in line] == [
        "deleted 2 differences past retention",
        "deleted 2 reconciliations past retention",
    ]
    subjects = connection.execute("SELECT subject FROM differences ORDER BY 1").fetchall()
    assert [row[0] for row in subjects] == ["kept", "open"]
    positions = connection.execute("SELECT position FROM reconciliations ORDER BY 1").fetchall()
    assert [row[0] for row in positions] == ["kept", "running"]


def test_only_finished_reads_past_retention_are_deleted(database_dsn: str, connection: psycopg.Connection[Any]) -> None:
    """A read changed nothing. Any other row says what may have been sent, under which key."""
    old, kept = NOW - READS_KEPT - timedelta(minutes=1), NOW - READS_KEPT + timedelta(minutes=1)
    connection.execute(
        "INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset)"
        " VALUES (gen_random_uuid(), 'o-1', 'stripe', 100, 'eur', 'orders.created', 0, 0)"
    )
    for cause, kind, state, finished in (
        ("old read", "retrieve", "done", old),
        ("recent read", "retrieve", "done", kept),
        ("waiting read", "retrieve", "due", None),
        ("parked read", "retrieve", "parked", None),
        ("old create", "create", "done", old),
        ("old refund", "refund", "refused", old),
    ):
        connection.execute(
            "INSERT INTO operations (id, payment_id, provider, kind, state, cause, request_method, request_path, request_body,"
            " api_version, finished_at) SELECT gen_random_uuid(), id, 'stripe', %s, %s, %s, 'GET', '/', '', '', %s FROM payments",
            [kind, state, cause, finished],
        )
    assert "deleted 1 finished reads past retention" in run(database_dsn, now=NOW)
    causes = {row[0] for row in connection.execute("SELECT cause FROM operations").fetchall()}
    assert causes == {"recent read", "waiting read", "parked read", "old create", "old refund"}


def test_unpublished_records_are_not_dropped(database_dsn: str, connection: psycopg.Connection[Any]) -> None:
    outbox_record(connection, NOW)
    outbox_record(connection, NOW, published=False)
    name = f"outbox_{week_of(NOW):%Y%m%d}"
    lines = run(database_dsn, now=NOW + OUTBOX_KEPT + 4 * WEEK)
    assert f"kept {name}: past retention, but it has 1 unpublished records" in lines
    connection.execute("DELETE FROM outbox_pending")
    assert f"dropped {name}" in run(database_dsn, now=NOW + OUTBOX_KEPT + 4 * WEEK)


def test_unprocessed_events_are_not_dropped_and_are_reported(
    database_dsn: str, connection: psycopg.Connection[Any]
) -> None:
    store_event(connection, NOW, processed=False)
    name = f"payment_events_{week_of(NOW):%Y%m%d}"
    lines = run(database_dsn, now=NOW + EVENTS_KEPT + 4 * WEEK)
    assert [line for line in lines if line.startswith(f"kept {name}: past retention, but it has 1 unprocessed events")]
    assert where(connection, "payment_events") == [name]


def test_a_late_run_creates_partitions_for_all_rows_in_the_default_one(
    database_dsn: str, connection: psycopg.Connection[Any]
) -> None:
    """After weeks without `maintain`, it moves the rows of past weeks, and later drops them."""
    late = NOW + timedelta(weeks=8)
    outbox_record(connection, late - timedelta(days=3))
    outbox_record(connection, late - timedelta(weeks=4))
    outbox_record(connection, late - timedelta(weeks=4), published=False)
    lines = run(database_dsn, now=late)
    assert "deleted 1 rows past retention from outbox_default" in lines
    assert f"outbox_{week_of(late - timedelta(days=3)):%Y%m%d}" in where(connection, "outbox")
    assert where(connection, "outbox").count("outbox_default") == 1, "unpublished rows stay"


def test_concurrent_runs_do_each_step_once(database_dsn: str) -> None:
    later = NOW + timedelta(days=80)
    barrier = threading.Barrier(3)

    def one(_: int) -> list[str]:
        barrier.wait()
        return run(database_dsn, now=later)

    with ThreadPoolExecutor(3) as threads:
        lines = [line for report in threads.map(one, range(3)) for line in report]
    assert len(lines) == len(set(lines))
    assert [line for line in lines if line.startswith("created")]
    assert [line for line in lines if line.startswith("dropped")]


# With this setting PostgreSQL reads every row of its catalog and filters afterwards.
READ_WHOLE = ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan", "enable_nestloop")


@pytest.mark.parametrize("switched_off", [(), READ_WHOLE], ids=["as_it_is", "read_whole"])
def test_a_locked_table_does_not_block_maintenance_of_the_other(
    database_dsn: str,
    connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    switched_off: tuple[str, ...],
) -> None:
    monkeypatch.setattr(lock_retries, "LOCK_PATIENCE_S", 1)
    for setting in switched_off:
        statement = sql.SQL("ALTER DATABASE {} SET {} = off")
        connection.execute(statement.format(sql.Identifier(connection.info.dbname), sql.Identifier(setting)))
    later = NOW + timedelta(days=30)
    with connection.transaction():
        connection.execute("LOCK TABLE payment_events IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(MaintainError, match="payment_events was locked"):
            run(database_dsn, now=later)
    assert f"outbox_{week_of(later):%Y%m%d}" in partitions(connection, "outbox")
    assert run(database_dsn, now=later)
    assert f"payment_events_{week_of(later):%Y%m%d}" in partitions(connection, "payment_events")


async def test_gauges_show_days_left_and_rows_in_the_default_partition(
    database_dsn: str, connection: psycopg.Connection[Any]
) -> None:
    store_event(connection, NOW + timedelta(days=400))
    async with asyncpg.create_pool(database_dsn, min_size=1, max_size=1) as pool:
        days = await partition_days_left(pool)
        await sample(pool)
    assert all(AHEAD.days < left <= AHEAD.days + 7 for left in days.values())
    assert days.keys() == {"payment_events", "outbox", "outbox_placements"}
    assert metrics.PARTITION_DEFAULT_ROWS.labels("payment_events")._value.get() == 1
    assert metrics.PARTITION_DEFAULT_ROWS.labels("outbox")._value.get() == 0
