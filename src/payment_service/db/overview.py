"""Sums and lists that only the operators' pages show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from payment_service.db.queries import load

if TYPE_CHECKING:
    from datetime import datetime

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "overview.sql")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Payments of one hour, status and currency. Amounts are decimal text. `today`: created since midnight, UTC."""

    hour: datetime
    today: bool
    currency: str
    status: str
    payments: int
    amount: str
    captured: str
    refunded: str


async def recent(connection: Connection | Pool, since: datetime) -> list[Cohort]:
    """Return the payments created since a time, by hour, status and currency."""
    return [Cohort(**row) for row in await connection.fetch(_SQL.recent, since)]


async def decline_codes(connection: Connection | Pool, since: datetime, *, limit: int) -> list[tuple[str, int]]:
    """Return the most frequent codes of declined attempts since a time, with their number."""
    rows = await connection.fetch(_SQL.decline_codes, since, limit)
    return [(row["code"], row["attempts"]) for row in rows]


async def workers(connection: Connection | Pool) -> list[Row]:
    """List the processes that make calls, the oldest first."""
    return [dict(row) for row in await connection.fetch(_SQL.workers)]
