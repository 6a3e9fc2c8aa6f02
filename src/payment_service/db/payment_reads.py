"""What the API shows of payments. Nothing here is locked, and nothing is decided by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from payment_service.contracts.api import STATUSES
from payment_service.db.places import BEGINNING, END, NO_ID, Place
from payment_service.db.queries import load
from payment_service_events.currency import CURRENCIES

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "payment_reads.sql")
_ALL_CURRENCIES: Final = tuple(CURRENCIES)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which payments are wanted: all that is given must fit. `status`: as it is shown; `created_to` is the first moment after."""

    order_id: str | None = None
    user_id: str | None = None
    status: str | None = None
    currency: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


async def payment(connection: Connection | Pool, payment_id: UUID) -> Row | None:
    """Read one payment; amounts are decimal text with the currency's decimals."""
    row = await connection.fetchrow(_SQL.payment, payment_id)
    return dict(row) if row else None


async def newest_names(connection: Connection | Pool) -> Row | None:
    """Read what the newest payment is called: its id and what that is made of; None: there is none of ours yet."""
    row = await connection.fetchrow(_SQL.newest_names)
    return dict(row) if row else None


async def exists(connection: Connection | Pool, payment_id: UUID) -> bool:
    """Whether there is such a payment."""
    return bool(await connection.fetchval(_SQL.payment_exists, payment_id))


async def payments(
    connection: Connection | Pool, filters: Filters, *, after: Place | None = None, limit: int
) -> list[Row]:
    """Read payments, the newest first, up to `limit`, each combination of filters by an index of its own."""
    since = filters.created_from or BEGINNING.at
    # Newest first, so the end of the range is where the list begins.
    place = after or Place(filters.created_to or END.at, NO_ID)
    common = (since, place.at, place.name, limit)
    match filters:
        case Filters(order_id=str(order_id)):
            rest = (order_id, filters.user_id, filters.status, filters.currency)
            rows = await connection.fetch(_SQL.payments_of_order, *common, *rest)
        case Filters(user_id=str(user_id)):
            rows = await connection.fetch(_SQL.payments_of_user, *common, user_id, filters.status, filters.currency)
        case Filters(status=None, currency=None):
            rows = await connection.fetch(_SQL.payments_by_time, *common)
        case _:
            statuses = [filters.status] if filters.status else STATUSES
            currencies = [filters.currency] if filters.currency else _ALL_CURRENCIES
            rows = await connection.fetch(_SQL.payments_by_state, *common, statuses, currencies)
    return [dict(row) for row in rows]


async def events(connection: Connection | Pool, payment_id: UUID, *, after: Place | None, limit: int) -> list[Row]:
    """Read a payment's events without payloads, in the provider's order, up to `limit`."""
    place = after or BEGINNING
    return [dict(row) for row in await connection.fetch(_SQL.events, payment_id, place.at, place.name, limit)]
