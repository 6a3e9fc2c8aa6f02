"""Rows of `differences`: found by reconciliation, one per code and object. `open_differences` is what needs attention."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool
    from payment_service.domain.differences import Difference, Sides

_SQL = load(__package__, "differences.sql")

Row = dict[str, Any]

# The code, the subject and the time of the last row of a page. The first page starts before all.
_FIRST: Final = (datetime(1970, 1, 1, tzinfo=UTC), "", "")
DETAIL_MAX: Final = 500


class OpenDifference(NamedTuple):
    """The key of an open difference, and its payment."""

    code: str
    subject: str
    payment_id: UUID | None


async def record(connection: Connection, found: Sequence[Difference], *, provider: str) -> None:
    """Insert or refresh differences. `provider`: that of the compared objects, empty for rows and topics."""
    unique = list({difference.key: difference for difference in found}.values())
    await connection.execute(
        _SQL.record,
        [d.code for d in unique],
        [d.subject for d in unique],
        [d.sides.value for d in unique],
        [provider for _ in unique],
        [d.payment_id for d in unique],
        [d.detail[:DETAIL_MAX] for d in unique],
        [d.at for d in unique],
        [d.repaired for d in unique],
    )


async def resolve(connection: Connection, keys: Collection[tuple[str, str]]) -> None:
    """Resolve differences that were looked at again and not found."""
    await connection.execute(_SQL.resolve, [code for code, _ in keys], [subject for _, subject in keys])


async def resolve_unseen(
    pool: Pool, sides: Sides, *, since_seen: datetime, since: datetime | None, only: Collection[str] | None
) -> None:
    """Resolve the open differences since a time that no run has found since `since_seen`. `only`: some codes."""
    await pool.execute(_SQL.resolve_unseen, sides.value, since_seen, since, None if only is None else list(only))


async def resolve_processed_events(pool: Pool, provider: str) -> None:
    """Resolve the missing events of a provider that are processed by now."""
    await pool.execute(_SQL.resolve_processed_events, provider)


async def open_subjects(connection: Connection | Pool, subjects: Collection[str]) -> set[str]:
    """Return those of these objects of a provider that have an open difference."""
    return {row["subject"] for row in await connection.fetch(_SQL.open_subjects, list(subjects))}


async def open_before(
    pool: Pool, sides: Sides, provider: str, before: datetime, *, after: tuple[str, str], limit: int
) -> list[OpenDifference]:
    """List open differences of these sides that no run has seen since `before`. `provider`: empty for rows and topics."""
    rows = await pool.fetch(_SQL.open_before, sides.value, provider, before, *after, limit)
    return [OpenDifference(row["code"], row["subject"], row["payment_id"]) for row in rows]


async def open_differences(
    connection: Connection | Pool, *, after: tuple[datetime, str, str] = _FIRST, limit: int
) -> list[Row]:
    """List everything that needs attention, the oldest first. `after`: first_seen_at, code and subject of the last row."""
    return [dict(row) for row in await connection.fetch(_SQL.open, *after, limit)]


async def count_open(connection: Connection | Pool) -> int:
    """Return the number of open differences."""
    return int(await connection.fetchval(_SQL.count_open))


async def find_open(connection: Connection, code: str, subject: str) -> tuple[UUID | None] | None:
    """Return the payment of an open difference in a tuple, or None if it is not open."""
    row = await connection.fetchrow(_SQL.find_open, code, subject)
    return None if row is None else (row["payment_id"],)


async def close(connection: Connection, code: str, subject: str) -> bool:
    """Close an open difference. Return False if it is not open."""
    return await connection.fetchval(_SQL.close, code, subject) is not None
