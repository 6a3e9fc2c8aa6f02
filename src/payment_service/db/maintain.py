"""Maintenance: create partitions in advance, drop those past retention, delete old rows of other tables. Run it daily; `migrate` runs it, too.

A partition is a week (from Monday 00:00 UTC). Days would make seven times as many relations, and every plan over a partitioned
table touches all of them. Each step is one transaction under an advisory lock and checks again before it acts. So two concurrent
runs, or a killed run, do no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from payment_service.db.lock_retries import with_lock_retries
from payment_service.db.owner import connect_owner
from payment_service.db.queries import load
from payment_service.db.retention import OUTBOX_KEPT
from payment_service.db.schema_check import NO_SCHEMA, SchemaError

WEEK: Final = timedelta(weeks=1)
# Maintenance may fail for two weeks before an insert lacks its partition. The default partition then takes the row.
AHEAD: Final = timedelta(days=14)
# Stripe can resend an event for 30 days. Five more days allow for clocks and queues.
EVENTS_KEPT: Final = timedelta(days=35)
# As long as the events that a read may explain.
READS_KEPT: Final = EVENTS_KEPT
# Questions about a quarter are asked after its end. A difference older than that is in no report, and a run is a few rows a day.
RECONCILIATIONS_KEPT: Final = timedelta(days=90)
# A statement of about 50 ms, so that a run that writes differences waits no longer.
DELETED_TOGETHER_MAX: Final = 10_000

# "paymentt", next to the lock of `migrate`.
ADVISORY_LOCK: Final = 0x7061796D656E7474

Session: TypeAlias = "psycopg.Connection[Any]"
Step: TypeAlias = Callable[[], str | None]

T = TypeVar("T")

_sql = load(__package__, "maintain.sql")


class MaintainError(Exception):
    """Some maintenance failed. The message says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A table partitioned by time: the range of its partitions, and the rows that prevent a drop."""

    table: str
    column: str
    behind: timedelta
    kept: timedelta
    unfinished: str
    unfinished_are: str

    @property
    def default(self) -> str:
        """The partition for rows outside all others."""
        return f"{self.table}_default"

    def partition(self, week: datetime) -> str:
        """Return the name of the partition that begins at `week`."""
        return f"{self.table}_{week:%Y%m%d}"


TABLES: Final = (
    Partitioned("payment_events", "occurred_at", behind=EVENTS_KEPT, kept=EVENTS_KEPT, unfinished="NOT processed",
                unfinished_are="unprocessed events (waiting for their payment, or parked)"),
    Partitioned("outbox", "created_at", behind=timedelta(0), kept=OUTBOX_KEPT, unfinished="position IN (SELECT position FROM outbox_pending)",
                unfinished_are="unpublished records"),
    Partitioned("outbox_placements", "created_at", behind=timedelta(0), kept=OUTBOX_KEPT, unfinished="position IN (SELECT position FROM outbox_pending)",
                unfinished_are="unpublished records"),
)  # fmt: skip


def maintain(dsn: str, *, now: datetime | None = None, report: Callable[[str], None] = lambda _line: None) -> None:
    """Create missing partitions, drop those past retention without unfinished rows, and delete old idempotency keys,
    differences, reconciliations and finished reads.

    `report` receives a line for everything that was done. A failed step does not stop the others; MaintainError is raised at the
    end, or at once if the database cannot be reached. Raises SchemaError if there is no schema.
    """
    try:
        with _connect(dsn) as connection:
            failures = [problem for table in TABLES for problem in _maintain(connection, table, now, report)]
            failures += _delete_idempotency_keys(connection, report)
            failures += _delete_old_rows(connection, now, report)
    except psycopg.errors.UndefinedTable:
        raise SchemaError(NO_SCHEMA) from None
    except psycopg.Error as error:
        message = f"Maintenance failed: {_one_line(error)}"
        raise MaintainError(message) from error
    if failures:
        raise MaintainError(" ".join(failures))


def _delete_idempotency_keys(connection: Session, report: Callable[[str], None]) -> Iterator[str]:
    """Delete idempotency keys past retention; yield a sentence for a failure."""
    try:
        if rows := _with_lock_retries(
            connection, partial(connection.execute, _sql.delete_idempotency_keys.encode())
        ).rowcount:
            report(f"deleted {rows} idempotency keys past retention")
    except psycopg.errors.LockNotAvailable as error:
        yield f"idempotency_keys was locked by other sessions ({_one_line(error)}). Run `payment-service maintain` again."


def _delete_old_rows(connection: Session, now: datetime | None, report: Callable[[str], None]) -> Iterator[str]:
    """Delete resolved differences, finished reconciliations and finished reads past retention; yield a sentence for each failure."""
    for table, rows_are, query, kept in (
        ("differences", "differences", "delete_differences", RECONCILIATIONS_KEPT),
        ("reconciliations", "reconciliations", "delete_reconciliations", RECONCILIATIONS_KEPT),
        ("operations", "finished reads", "delete_finished_reads", READS_KEPT),
    ):
        try:
            moment: datetime = now or _execute(connection, "now").fetchone().now
            if rows := _delete_in_batches(connection, query, moment - kept):
                report(f"deleted {rows} {rows_are} past retention")
        except psycopg.errors.LockNotAvailable as error:
            yield f"{table} was locked by other sessions ({_one_line(error)}). Run `payment-service maintain` again."


def _delete_in_batches(connection: Session, query: str, until: datetime) -> int:
    values = {"until": until, "limit": DELETED_TOGETHER_MAX}
    deleted = 0
    while rows := _with_lock_retries(
        connection, partial(connection.execute, getattr(_sql, query).encode(), values)
    ).rowcount:
        deleted += rows
    return deleted


def week_of(moment: datetime) -> datetime:
    """Return the Monday 00:00 UTC at or before `moment`."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def _connect(dsn: str) -> Session:
    return connect_owner(dsn, autocommit=True, application_name="payment-service maintain", row_factory=namedtuple_row)


def _maintain(
    connection: Session, table: Partitioned, now: datetime | None, report: Callable[[str], None]
) -> Iterator[str]:
    """Maintain one table; yield a sentence for each failure."""
    try:
        moment: datetime = now or _execute(connection, "now").fetchone().now
        steps = _with_lock_retries(connection, partial(_steps, connection, table, moment))
    except psycopg.errors.LockNotAvailable as error:
        yield _locked_message(table, error)
        return
    for step in steps:
        try:
            if line := _with_lock_retries(connection, step):
                report(line)
        except psycopg.errors.LockNotAvailable as error:
            yield _locked_message(table, error)
            return  # the table stays locked for the other steps, too


def _locked_message(table: Partitioned, error: psycopg.errors.LockNotAvailable) -> str:
    return f"{table.table} was locked by other sessions ({_one_line(error)}). Run `payment-service maintain` again."


def _steps(connection: Session, table: Partitioned, moment: datetime) -> list[Step]:
    oldest_kept = moment - table.kept
    weeks = _weeks_wanted(connection, table, moment)
    old = [row.name for row in _partitions(connection, table) if row.until <= oldest_kept]
    return [
        *(partial(_make, connection, table, week) for week in weeks),
        *(partial(_drop, connection, table, name) for name in old),
        partial(_delete_old_from_default, connection, table, week_of(oldest_kept)),
    ]


def _weeks_wanted(connection: Session, table: Partitioned, moment: datetime) -> list[datetime]:
    """Return the weeks that lack a partition: weeks in the future, and weeks with rows in the default partition."""
    first, last = week_of(moment - table.behind), moment + AHEAD
    wanted = {first + n * WEEK for n in range((last - first) // WEEK + 1)}
    rows = _execute(connection, "weeks_in_default", table, since=week_of(moment - table.kept), until=last).fetchall()
    wanted |= {row.since for row in rows}
    partitions = _partitions(connection, table)
    return sorted(week for week in wanted if not _covered(week, partitions))


def _covered(week: datetime, partitions: list[Any]) -> bool:
    return any(row.since < week + WEEK and row.until > week for row in partitions)


def _partitions(connection: Session, table: Partitioned) -> list[Any]:
    partitions: list[Any] = _execute(connection, "partitions", table).fetchall()
    return partitions


def _make(connection: Session, table: Partitioned, week: datetime) -> str | None:
    """Create the partition of a week, and move its rows there from the default partition in the same transaction.

    PostgreSQL then rejects an insert that waited for the default partition meanwhile, because the row belongs to the new one. So no
    event is stored twice, and the sender retries.
    """
    name = table.partition(week)
    names: dict[str, str | datetime] = {"partition": name, "since": week, "until": week + WEEK}
    with _locked(connection):
        if _covered(week, _partitions(connection, table)):
            return None
        _execute(connection, "create_standalone", table, **names)
        _execute(connection, "lock_default", table)
        moved = _execute(connection, "move_rows", table, **names).rowcount
        _execute(connection, "attach", table, **names)
    return f"created {name}" + (f", moved {moved} rows from {table.default}" if moved else "")


def _drop(connection: Session, table: Partitioned, name: str) -> str | None:
    # Count without a lock first, so that a partition that has to stay blocks nobody.
    if unfinished := _count_unfinished(connection, table, name):
        return f"kept {name}: past retention, but it has {unfinished} {table.unfinished_are}"
    with _locked(connection):
        _execute(connection, "lock_parent", table)
        if not any(row.name == name for row in _partitions(connection, table)):
            return None
        if unfinished := _count_unfinished(connection, table, name):
            return f"kept {name}: past retention, but it has {unfinished} {table.unfinished_are}"
        _execute(connection, "drop", table, partition=name)
    return f"dropped {name}"


def _count_unfinished(connection: Session, table: Partitioned, name: str) -> int:
    try:
        count: int = _execute(connection, "count_unfinished", table, partition=name).fetchone().unfinished
    except psycopg.errors.UndefinedTable:  # dropped by another run
        return 0
    return count


def _delete_old_from_default(connection: Session, table: Partitioned, until: datetime) -> str | None:
    with _locked(connection):
        deleted = _execute(connection, "delete_old_from_default", table, until=until).rowcount
    return f"deleted {deleted} rows past retention from {table.default}" if deleted else None


@contextmanager
def _locked(connection: Session) -> Iterator[None]:
    """Open a transaction that no other run of maintenance can enter."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        yield


def _with_lock_retries(connection: Session, step: Callable[[], T]) -> T:
    def attempt(lock_timeout_ms: int) -> T:
        connection.execute(f"SET lock_timeout = {lock_timeout_ms}".encode())
        return step()

    return with_lock_retries(attempt)


def _execute(connection: Session, query: str, table: Partitioned | None = None, **values: str | datetime) -> Any:
    """Run a named query. Names of relations, and literals of DDL, which takes no parameters, become part of its text."""
    parts: dict[str, sql.Composable] = {
        name: sql.Literal(value) if isinstance(value, datetime) else sql.Identifier(value)
        for name, value in values.items()
    }
    if table is not None:
        parts |= {
            "parent": sql.Identifier(table.table),
            "default": sql.Identifier(table.default),
            "column": sql.Identifier(table.column),
            "unfinished": sql.SQL(table.unfinished),
        }
    return connection.execute(sql.SQL(getattr(_sql, query)).format(**parts))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
