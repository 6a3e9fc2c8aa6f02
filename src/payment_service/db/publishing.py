"""What people see, and ask, of publishing: how much waits, who publishes, and to publish again."""

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
    """Which published records: written from `since` to before `until`; of one payment, of one topic, where these are given."""

    since: datetime
    until: datetime
    payment_id: UUID | None
    topic: str | None


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the outbox that was looked at. `last`: the position of its end, None: there is no more; `found`: of the chosen."""

    last: int | None
    found: int


async def status(connection: Connection | Pool) -> dict[str, Any]:
    """Read how publishing stands."""
    row = await connection.fetchrow(_SQL.status)
    return dict(row) if row else {}


async def refusing_topics(connection: Connection | Pool) -> list[dict[str, Any]]:
    """Read the topics for whose sake payments wait."""
    return [dict(row) for row in await connection.fetch(_SQL.refusing_topics)]


async def look(connection: Connection | Pool, chosen: Selection, *, after: int, limit: int) -> Piece:
    """Look at up to `limit` rows behind a position."""
    return await _piece(connection, _SQL.look_at_published, chosen, after, limit)


async def requeue(connection: Connection, chosen: Selection, *, after: int, limit: int) -> Piece:
    """Look at up to `limit` rows behind a position, and let what is chosen of them be published again."""
    return await _piece(connection, _SQL.requeue, chosen, after, limit)


async def database_time(connection: Connection | Pool) -> datetime:
    """Give the database's clock."""
    now: datetime = await connection.fetchval(_SQL.database_time)
    return now


async def _piece(connection: Connection | Pool, sql: str, chosen: Selection, after: int, limit: int) -> Piece:
    row = await connection.fetchrow(sql, after, chosen.since, chosen.until, chosen.payment_id, chosen.topic, limit)
    return Piece(row["last"], row["found"]) if row else Piece(None, 0)
