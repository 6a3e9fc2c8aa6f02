"""What the API shows of payments. Nothing here is locked, and nothing is decided by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payment_service.db.queries import load

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "payment_reads.sql")

Row = dict[str, Any]


class UnknownCursor(ValueError):
    """The cursor names no row of this list."""


async def payment(connection: Connection | Pool, payment_id: UUID) -> Row | None:
    """Read one payment; amounts are decimal text with the currency's decimals."""
    row = await connection.fetchrow(_SQL.payment, payment_id)
    return dict(row) if row else None


async def payments_of_order(
    connection: Connection | Pool, order_id: str, *, after: UUID | None, limit: int
) -> list[Row]:
    """Read an order's payments, the oldest first, `limit` and one more (which tells that there is more). Raises UnknownCursor."""
    if after is not None and not await connection.fetchval(_SQL.payment_is_of_order, after, order_id):
        raise UnknownCursor
    return [dict(row) for row in await connection.fetch(_SQL.payments_of_order, order_id, after, limit + 1)]


async def events_of_payment(
    connection: Connection | Pool, payment_id: UUID, *, after: UUID | None, limit: int
) -> list[Row] | None:
    """Read a payment's events without payloads, in the provider's order, `limit` and one more; None: no such payment.

    Raises UnknownCursor.
    """
    if not await connection.fetchval(_SQL.payment_exists, payment_id):
        return None
    if after is not None and not await connection.fetchval(_SQL.event_is_of_payment, after, payment_id):
        raise UnknownCursor
    return [dict(row) for row in await connection.fetch(_SQL.events_of_payment, payment_id, after, limit + 1)]
