"""Rows of `order_cancellations`: orders that are not wanted any more, and what became of their payments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from payment_service.db.pool import Connection, Pool

Outcome = Literal["canceled", "refunded", "too_late", "nothing_paid"]

_SQL = load(__package__, "order_cancellations.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCancellation:
    """A cancelled order, with the record that said so."""

    order_id: str
    reason: str
    topic: str
    partition: int
    offset: int
    recorded_at: datetime | None


@dataclass(frozen=True, slots=True)
class DueCancellation:
    """One that is to be looked at. `tries`: how often it was."""

    order_id: str
    reason: str
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationUpdate:
    """What a look came to: an outcome, or seconds until the next; neither: it waits for its order."""

    order_id: str
    outcome: Outcome | None = None
    retry_s: float | None = None


async def insert(connection: Connection, cancellations: Sequence[NewCancellation]) -> set[str]:
    """Insert what is new, one row for each order; return the orders that were."""
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


async def take_waiting(connection: Connection, order_ids: Sequence[str]) -> set[str]:
    """End those that have waited for these new orders; return whose payments must not be made."""
    return {row["order_id"] for row in await connection.fetch(_SQL.take_waiting, sorted(order_ids))}


async def lock_due(connection: Connection, limit: int) -> list[DueCancellation]:
    """Lock what is due and nobody else holds."""
    rows = await connection.fetch(_SQL.lock_due, limit)
    return [DueCancellation(row["order_id"], row["reason"], row["tries"]) for row in rows]


async def update(connection: Connection, looks: Sequence[CancellationUpdate]) -> None:
    """Note what looks came to, of rows that are locked."""
    await connection.execute(
        _SQL.update, [x.order_id for x in looks], [x.outcome for x in looks], [x.retry_s for x in looks]
    )


async def is_cancelled(connection: Connection | Pool, order_id: str) -> bool:
    """Whether an order was cancelled."""
    return bool(await connection.fetchval(_SQL.is_cancelled, order_id))
