"""Rows of `reconciliations`: runs with their window, progress and lease. At most one is active."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from payment_service.db.keyset import END, KeysetCursor
from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    import asyncpg

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "reconciliations.sql")

# A step makes at most one call, which ends within provider_timeout_s, at most 60 s.
LEASE_S: Final = 90.0
# A statement of about 50 ms.
_DELETED_MAX: Final = 10_000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Window:
    """A time range by the creation of objects, both ends inclusive. Ends are whole seconds, as the provider's clock has.

    `changed_since`: our rows and records are compared if they changed since then. None: all of them.
    """

    since: datetime
    until: datetime
    changed_since: datetime | None = None

    @classmethod
    def of(cls, since: datetime, until: datetime) -> Window:
        """Return the window of whole seconds that contains these moments, and what changed since its beginning."""
        whole = until.astimezone(UTC).replace(microsecond=0)
        begin = since.astimezone(UTC).replace(microsecond=0)
        return cls(begin, whole if whole == until else whole + timedelta(seconds=1), begin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Numbers of a step or a run."""

    compared: int = 0
    ignored: int = 0
    found: int = 0
    repaired: int = 0
    postponed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in Counts.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run that this process holds. `comparison` and `position`: where it resumes."""

    id: UUID
    window: Window
    comparison: str
    position: str
    started_at: datetime


class LeaseLost(Exception):
    """Another process has taken over the run. Nothing of the step was written."""


async def start(pool: Pool, holder: UUID, window: Window) -> StoredRun | None:
    """Start a run. Return None if another one is running or waits to be resumed."""
    return _run(await pool.fetchrow(_SQL.start, holder, LEASE_S, window.since, window.until, window.changed_since))


async def resume(pool: Pool, holder: UUID) -> StoredRun | None:
    """Take over a run whose lease has ended. Return None if there is none."""
    return _run(await pool.fetchrow(_SQL.resume, holder, LEASE_S))


async def renew(pool: Pool, holder: UUID, run_id: UUID) -> None:
    """Extend the lease. Raises LeaseLost."""
    _require(await pool.fetchval(_SQL.renew, holder, run_id, LEASE_S))


async def release(pool: Pool, holder: UUID, run_id: UUID) -> None:
    """End the lease, so that another process can resume the run at once."""
    await pool.execute(_SQL.release, holder, run_id)


async def advance(
    connection: Connection, holder: UUID, run_id: UUID, comparison: str, position: str, counts: Counts
) -> None:
    """Store the progress of a step in its transaction. Raises LeaseLost, so that the transaction is rolled back."""
    _require(
        await connection.fetchval(
            _SQL.advance,
            holder,
            run_id,
            LEASE_S,
            comparison,
            position,
            counts.compared,
            counts.ignored,
            counts.found,
            counts.repaired,
            counts.postponed,
        )
    )


async def finish(pool: Pool, holder: UUID, run_id: UUID) -> None:
    """End a run, and delete the objects that it listed. Raises LeaseLost."""
    while (await pool.execute(_SQL.delete_objects, run_id, _DELETED_MAX)) != "DELETE 0":
        await renew(pool, holder, run_id)
    _require(await pool.fetchval(_SQL.finish, holder, run_id))


async def is_due(pool: Pool, interval: timedelta) -> bool:
    """Return whether the last run began longer ago than this."""
    return bool(await pool.fetchval(_SQL.is_due, interval.total_seconds()))


async def has_long_run(pool: Pool, *, within: timedelta, length: timedelta) -> bool:
    """Return whether a run over at least `length` began within the last `within`."""
    return bool(await pool.fetchval(_SQL.has_long_run, within.total_seconds(), length.total_seconds()))


async def last_finished(pool: Pool) -> datetime | None:
    """Return the beginning of the last run that finished, or None."""
    found: datetime | None = await pool.fetchval(_SQL.last_finished)
    return found


async def add_objects(connection: Connection, run_id: UUID, object_ids: Collection[str]) -> None:
    """Remember the objects of a page."""
    await connection.execute(_SQL.add_objects, run_id, list(object_ids))


async def unlisted(pool: Pool, run_id: UUID, object_ids: Collection[str]) -> set[str]:
    """Return those of these objects that no page of the run contained."""
    return {row["object_id"] for row in await pool.fetch(_SQL.unlisted, run_id, list(object_ids))}


async def runs(connection: Connection | Pool, *, after: KeysetCursor | None, limit: int) -> list[Row]:
    """List up to `limit` runs, the newest first."""
    place = after or END
    return [dict(row) for row in await connection.fetch(_SQL.runs, place.at, place.name, limit)]


async def read_run(connection: Connection | Pool, run_id: UUID) -> Row:
    """Return one run."""
    return dict(await connection.fetchrow(_SQL.run, run_id))  # type: ignore[arg-type]


def _run(row: asyncpg.Record | None) -> StoredRun | None:
    if row is None:
        return None
    return StoredRun(
        id=row["id"],
        window=Window(row["since"], row["until"], row["changed_since"]),
        comparison=row["comparison"],
        position=row["position"],
        started_at=row["started_at"],
    )


def _require(held: object) -> None:
    if held is None:
        message = "Another process has taken over the reconciliation."
        raise LeaseLost(message)
