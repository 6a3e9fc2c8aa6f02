"""Rows of `order_cancellations`: canceled orders and the outcome for their payments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from payment_service.db.pool import Connection, Pool

Outcome = Literal["canceled", "refunded", "refund_failed", "too_late", "nothing_paid"]

_SQL = load(__package__, "order_cancellations.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCancellation:
    """A canceled order, with the record that canceled it."""

    order_id: str
    reason: str
    topic: str
    partition: int
    offset: int
    recorded_at: datetime | None


@dataclass(frozen=True, slots=True)
class DueCancellation:
    """A cancellation that is due. `tries` counts the previous checks."""

    order_id: str
    reason: str
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationUpdate:
    """The result of a check: an outcome, or the seconds until the next check. With neither it waits for its order."""

    order_id: str
    outcome: Outcome | None = None
    retry_s: float | None = None


async def insert(connection: Connection, cancellations: Sequence[NewCancellation]) -> set[str]:
    """Insert new cancellations, one row per order; return their orders."""
    ordered = sorted(cancellations, key=lambda c: c.order_id)
    rows = await connection.fetch(
        _SQL.insert,
        [c.order_id for c in ordered],
        [c.reason for c in ordered],
        [c.topic for c in ordered],
        [c.partition for c in ordered],
        [c.offset for c in ordered],
        [c.recorded_at for c in ordered],
    )
    return {row["order_id"] for row in rows}


async def resume_waiting(connection: Connection, order_ids: Sequence[str]) -> set[str]:
    """Wake the cancellations that waited for these new orders; return the orders that must not be paid."""
    return {row["order_id"] for row in await connection.fetch(_SQL.resume_waiting, sorted(order_ids))}


async def lock_due(connection: Connection, limit: int) -> list[DueCancellation]:
    """Lock due cancellations; skip those that other sessions have locked."""
    rows = await connection.fetch(_SQL.lock_due, limit)
    return [DueCancellation(row["order_id"], row["reason"], row["tries"]) for row in rows]


async def update(connection: Connection, updates: Sequence[CancellationUpdate]) -> None:
    """Write the results of checks of locked rows."""
    await connection.execute(
        _SQL.update, [u.order_id for u in updates], [u.outcome for u in updates], [u.retry_s for u in updates]
    )


async def is_canceled(connection: Connection | Pool, order_id: str) -> bool:
    """Return whether an order was canceled."""
    return bool(await connection.fetchval(_SQL.is_canceled, order_id))
