"""What the API shows of refunds and disputes. Nothing here is locked, and nothing is decided by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payment_service.db.keyset import END
from payment_service.db.queries import load

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.keyset import KeysetCursor
    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "refund_reads.sql")

Row = dict[str, Any]


async def refund(connection: Connection | Pool, refund_id: UUID) -> Row | None:
    """Read one refund; the amount is decimal text with the currency's decimals."""
    row = await connection.fetchrow(_SQL.refund, refund_id)
    return dict(row) if row else None


async def refunds(
    connection: Connection | Pool, payment_id: UUID, *, after: KeysetCursor | None, limit: int
) -> list[Row]:
    """Read a payment's refunds, the newest first, up to `limit`."""
    place = after or END
    return [dict(row) for row in await connection.fetch(_SQL.refunds, payment_id, place.at, place.name, limit)]


async def disputes(
    connection: Connection | Pool, payment_id: UUID, *, after: KeysetCursor | None, limit: int
) -> list[Row]:
    """Read a payment's disputes, the newest first, up to `limit`."""
    place = after or END
    return [dict(row) for row in await connection.fetch(_SQL.disputes, payment_id, place.at, place.name, limit)]
