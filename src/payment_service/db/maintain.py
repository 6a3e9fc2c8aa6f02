"""Partitions: made ahead of time, dropped when their rows are past retention; what else ends by time. Run daily; `migrate` runs it too.

Partitions are weeks (Monday 00:00 UTC): a seventh of the relations that days would be, and every plan over a partitioned
table touches them all. Each step is a transaction of its own under an advisory lock, and looks again before it acts, so
two runs at once, or one that was killed, do no harm.
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
from payment_service.db.pool import CONNECT_TIMEOUT_S
from payment_service.db.queries import load
from payment_service.db.schema import NO_SCHEMA, SchemaError

WEEK: Final = timedelta(weeks=1)
# Two weekly runs may fail before an insert needs a partition that isn't there (and then the default partition takes it).
AHEAD: Final = timedelta(days=14)
# Stripe offers events for 30 days, so each may come again for that long; five days more for the clocks and the queue.
EVENTS_KEPT: Final = timedelta(days=35)
# Published records are kept for questions and for a replay by hand; Kafka has them too.
OUTBOX_KEPT: Final = timedelta(days=7)

# "paymentt", beside the lock of `migrate`.
ADVISORY_LOCK: Final = 0x7061796D656E7474

Session: TypeAlias = "psycopg.Connection[Any]"
Step: TypeAlias = Callable[[], str | None]

T = TypeVar("T")

_sql = load(__package__, "maintain.sql")


class MaintainError(Exception):
    """Some of the work could not be done; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A table partitioned by a time: how far back and ahead it has partitions, and which rows keep one from being dropped."""

    table: str
    column: str
    behind: timedelta
    kept: timedelta
    unfinished: str
    unfinished_are: str

    @property
    def default(self) -> str:
        """The partition that takes what no other does."""
        return f"{self.table}_default"

    def partition(self, week: datetime) -> str:
        """The name of the partition that begins at `week`."""
        return f"{self.table}_{week:%Y%m%d}"


TABLES: Final = (
    Partitioned("payment_events", "occurred_at", behind=EVENTS_KEPT, kept=EVENTS_KEPT, unfinished="NOT processed",
                unfinished_are="events that are not processed (they wait for their payment, or are parked)"),
    Partitioned("outbox", "created_at", behind=timedelta(0), kept=OUTBOX_KEPT, unfinished="position IN (SELECT position FROM outbox_pending)",
                unfinished_are="records that are not published"),
    Partitioned("outbox_placements", "created_at", behind=timedelta(0), kept=OUTBOX_KEPT, unfinished="position IN (SELECT position FROM outbox_pending)",
                unfinished_are="records that are not published"),
)  # fmt: skip


def maintain(dsn: str, *, now: datetime | None = None, report: Callable[[str], None] = lambda _line: None) -> None:
    """Make the partitions that are missing and drop those past retention that hold nothing unfinished.

    `report` is told each thing done, a line at a time. What can't be done does not keep the rest from being done; then
    MaintainError is raised at the end, or at once when the database can't be reached. Raises SchemaError when there is no schema.
    """
    try:
        with _connect(dsn) as connection:
            failures = [problem for table in TABLES for problem in _maintain(connection, table, now, report)]
            failures += _forget_answers(connection, report)
    except psycopg.errors.UndefinedTable:
        raise SchemaError(NO_SCHEMA) from None
    except psycopg.Error as error:
        message = f"The partitions could not be looked after: {_one_line(error)}"
        raise MaintainError(message) from error
    if failures:
        raise MaintainError(" ".join(failures))


def _forget_answers(connection: Session, report: Callable[[str], None]) -> Iterator[str]:
    """Delete stored responses that nobody may ask for any more; yield a sentence if that was not possible."""
    try:
        if rows := _patiently(connection, partial(connection.execute, _sql.forget_answers.encode())).rowcount:
            report(f"deleted {rows} stored responses of idempotency keys")
    except psycopg.errors.LockNotAvailable as error:
        yield f"idempotency_keys: others held a lock all the time ({_one_line(error)}); run `payment-service maintain` again."


def week_of(moment: datetime) -> datetime:
    """Give the Monday 00:00 UTC at or before `moment`."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def _connect(dsn: str) -> Session:
    return psycopg.connect(
        dsn,
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="payment-service maintain",
        options="-c timezone=UTC",
        row_factory=namedtuple_row,
    )


def _maintain(
    connection: Session, table: Partitioned, now: datetime | None, report: Callable[[str], None]
) -> Iterator[str]:
    """Look after one table; yield a sentence for each thing that could not be done."""
    try:
        moment: datetime = now or _execute(connection, "now").fetchone().now
        steps = _patiently(connection, partial(_steps, connection, table, moment))
    except psycopg.errors.LockNotAvailable as error:
        yield _held(table, error)
        return
    for step in steps:
        try:
            if line := _patiently(connection, step):
                report(line)
        except psycopg.errors.LockNotAvailable as error:
            yield _held(table, error)
            return  # whoever holds it holds it for the other steps too


def _held(table: Partitioned, error: psycopg.errors.LockNotAvailable) -> str:
    return f"{table.table}: others held a lock all the time ({_one_line(error)}); run `payment-service maintain` again."


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
    """Give the weeks that should have a partition and have none: those ahead, and those that the default has rows of."""
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
    """Make a week's partition; the rows that the default partition has taken for it move there in the same transaction.

    An insert that waits for the default partition meanwhile is refused by PostgreSQL afterwards (it would land in the wrong
    partition), so that an event can't be stored a second time; its sender tries again.
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
    return f"made {name}" + (f", moved {moved} rows from {table.default}" if moved else "")


def _drop(connection: Session, table: Partitioned, name: str) -> str | None:
    # Counted without any lock first: one that has to stay costs the others nothing.
    if unfinished := _count_unfinished(connection, table, name):
        return f"kept {name}: it is past retention, but holds {unfinished} {table.unfinished_are}"
    with _locked(connection):
        _execute(connection, "lock_parent", table)
        if not any(row.name == name for row in _partitions(connection, table)):
            return None
        if unfinished := _count_unfinished(connection, table, name):
            return f"kept {name}: it is past retention, but holds {unfinished} {table.unfinished_are}"
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
    """One transaction, while no other run is in one."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        yield


def _patiently(connection: Session, step: Callable[[], T]) -> T:
    def attempt(lock_timeout_ms: int) -> T:
        connection.execute(f"SET lock_timeout = {lock_timeout_ms}".encode())
        return step()

    return with_lock_retries(attempt)


def _execute(connection: Session, query: str, table: Partitioned | None = None, **values: str | datetime) -> Any:
    """Run a named query; names of relations and (in DDL, which takes no parameters) literals are put into its text."""
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
