"""Reads of refunds and disputes for the API and the command line. They lock nothing, and nothing is decided by them."""

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
    """Return one refund. The amount is decimal text with the decimals of the currency."""
    row = await connection.fetchrow(_SQL.refund, refund_id)
    return dict(row) if row else None


async def refunds(
    connection: Connection | Pool, payment_id: UUID, *, after: KeysetCursor | None, limit: int
) -> list[Row]:
    """List up to `limit` refunds of a payment, the newest first."""
    place = after or END
    return [dict(row) for row in await connection.fetch(_SQL.refunds, payment_id, place.at, place.name, limit)]


async def disputes(
    connection: Connection | Pool, payment_id: UUID, *, after: KeysetCursor | None, limit: int
) -> list[Row]:
    """List up to `limit` disputes of a payment, the newest first."""
    place = after or END
    return [dict(row) for row in await connection.fetch(_SQL.disputes, payment_id, place.at, place.name, limit)]
