"""Reads of refunds and disputes for the API and the command line. They lock nothing, and nothing is decided by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from payment_service.db.keyset import BEGINNING, END, NO_ID, KeysetCursor
from payment_service.db.queries import load

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "refund_reads.sql")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFilters:
    """Filters of a list of refunds or disputes; all must match. `created_to` is exclusive."""

    status: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


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


async def dispute(connection: Connection | Pool, dispute_id: UUID) -> Row | None:
    """Return a dispute."""
    row = await connection.fetchrow(_SQL.dispute, dispute_id)
    return dict(row) if row is not None else None


async def disputes(
    connection: Connection | Pool, payment_id: UUID, *, after: KeysetCursor | None, limit: int
) -> list[Row]:
    """List up to `limit` disputes of a payment, the newest first."""
    place = after or END
    return [dict(row) for row in await connection.fetch(_SQL.disputes, payment_id, place.at, place.name, limit)]


async def all_refunds(
    connection: Connection | Pool, filters: StatusFilters, *, after: KeysetCursor | None = None, limit: int
) -> list[Row]:
    """List up to `limit` refunds of all payments, the newest first."""
    return await _all(connection, filters, after, limit, _SQL.refunds_by_time, _SQL.refunds_by_status)


async def all_disputes(
    connection: Connection | Pool, filters: StatusFilters, *, after: KeysetCursor | None = None, limit: int
) -> list[Row]:
    """List up to `limit` disputes of all payments, the newest first."""
    return await _all(connection, filters, after, limit, _SQL.disputes_by_time, _SQL.disputes_by_status)


async def disputes_to_answer(
    connection: Connection | Pool, *, after: KeysetCursor | None = None, limit: int
) -> list[Row]:
    """List up to `limit` disputes that need a response, the earliest deadline first. The sort key is `answer_by`."""
    place = after or BEGINNING
    return [dict(row) for row in await connection.fetch(_SQL.disputes_to_answer, place.at, place.name, limit)]


async def _all(
    connection: Connection | Pool,
    filters: StatusFilters,
    after: KeysetCursor | None,
    limit: int,
    by_time: str,
    by_status: str,
) -> list[Row]:
    place = after or KeysetCursor(filters.created_to or END.at, NO_ID)
    parameters = (filters.created_from or BEGINNING.at, place.at, place.name, limit)
    if filters.status is None:
        rows = await connection.fetch(by_time, *parameters)
    else:
        rows = await connection.fetch(by_status, *parameters, filters.status)
    return [dict(row) for row in rows]
