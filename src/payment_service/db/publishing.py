"""Publishing as operators see it: the state of the outbox, and publishing again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from payment_service.db.queries import load

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "publishing.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Published records written from `since` until before `until`, optionally of one payment and one topic."""

    since: datetime
    until: datetime
    payment_id: UUID | None
    topic: str | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of the outbox: its `last` position (None: the end is reached) and the number of selected records found in it."""

    last: int | None
    found: int


async def status(connection: Connection | Pool) -> dict[str, Any]:
    """Return the state of publishing."""
    row = await connection.fetchrow(_SQL.status)
    return dict(row) if row else {}


async def refusing_topics(connection: Connection | Pool) -> list[dict[str, Any]]:
    """Return the topics for which payments wait."""
    return [dict(row) for row in await connection.fetch(_SQL.refusing_topics)]


async def count(connection: Connection | Pool, selection: Selection, *, after: int, limit: int) -> Chunk:
    """Count the selected records in up to `limit` rows after a position."""
    return await _chunk(connection, _SQL.count_published, selection, after, limit)


async def requeue(connection: Connection, selection: Selection, *, after: int, limit: int) -> Chunk:
    """Mark the selected records in up to `limit` rows after a position as pending again."""
    return await _chunk(connection, _SQL.requeue, selection, after, limit)


async def _chunk(connection: Connection | Pool, sql: str, selection: Selection, after: int, limit: int) -> Chunk:
    row = await connection.fetchrow(
        sql, after, selection.since, selection.until, selection.payment_id, selection.topic, limit
    )
    return Chunk(row["last"], row["found"]) if row else Chunk(None, 0)
