"""Reads of payments for the API and the command line. They lock nothing, and nothing is decided by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from payment_service.contracts.api import STATUSES
from payment_service.db import payment_attempts
from payment_service.db.keyset import BEGINNING, END, NO_ID, KeysetCursor
from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "payment_reads.sql")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Filters of a list of payments; all must match. `status` is the derived status, `created_to` is exclusive."""

    order_id: str | None = None
    user_id: str | None = None
    status: str | None = None
    currency: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


async def payment(connection: Connection | Pool, payment_id: UUID) -> Row | None:
    """Return one payment. Amounts are decimal text with the decimals of the currency."""
    row = await connection.fetchrow(_SQL.payment, payment_id)
    return (await _with_methods(connection, [dict(row)]))[0] if row else None


async def payments_by_id(connection: Connection | Pool, ids: Sequence[UUID]) -> list[Row]:
    """Return those of these payments that exist, the newest first."""
    rows = await connection.fetch(_SQL.payments_by_id, ids) if ids else []
    return await _with_methods(connection, [dict(row) for row in rows])


async def newest_names(connection: Connection | Pool) -> Row | None:
    """Return the id, order and attempt of the newest payment; None if there is none."""
    row = await connection.fetchrow(_SQL.newest_names)
    return dict(row) if row else None


async def exists(connection: Connection | Pool, payment_id: UUID) -> bool:
    """Return whether the payment exists."""
    return bool(await connection.fetchval(_SQL.payment_exists, payment_id))


async def payments(
    connection: Connection | Pool, filters: Filters, *, after: KeysetCursor | None = None, limit: int
) -> list[Row]:
    """List up to `limit` payments, the newest first. Every combination of filters costs at most a page per status and currency."""
    since = filters.created_from or BEGINNING.at
    # The newest comes first, so the list begins at the end of the range.
    place = after or KeysetCursor(filters.created_to or END.at, NO_ID)
    common = (since, place.at, place.name, limit)
    match filters:
        case Filters(order_id=str(order_id)):
            rest = (order_id, filters.user_id, filters.status, filters.currency)
            rows = await connection.fetch(_SQL.payments_of_order, *common, *rest)
        case Filters(user_id=str(user_id)):
            rows = await connection.fetch(_SQL.payments_of_user, *common, user_id, filters.status, filters.currency)
        case Filters(currency=str(currency)):
            statuses = [filters.status] if filters.status else STATUSES
            rows = await connection.fetch(_SQL.payments_by_currency, *common, statuses, currency)
        case Filters(status=str(status)):
            rows = await connection.fetch(_SQL.payments_by_status, *common, status)
        case _:
            rows = await connection.fetch(_SQL.payments_by_time, *common)
    return await _with_methods(connection, [dict(row) for row in rows])


async def _with_methods(connection: Connection | Pool, rows: list[Row]) -> list[Row]:
    """Add the method and the receipt of the deciding attempt of each payment."""
    if not rows:
        return rows
    found = await payment_attempts.deciding(connection, [row["id"] for row in rows])
    none: Row = {"payment_method": None, "receipt_url": None}
    return [{**row, **found.get(row["id"], none)} for row in rows]


async def events(
    connection: Connection | Pool, payment_id: UUID, *, after: KeysetCursor | None, limit: int
) -> list[Row]:
    """List up to `limit` events of a payment without payloads, in the order of the provider."""
    place = after or BEGINNING
    return [dict(row) for row in await connection.fetch(_SQL.events, payment_id, place.at, place.name, limit)]
