"""Intake of `orders.cancelled`: each record becomes a row, or is set aside, before its offset is committed.

What is to be done about it is found by `flows/cancel_orders.py`, or by the intake of the order if that comes later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.crash_points import reached
from payment_service.db import order_cancellations
from payment_service.db.order_cancellations import NewCancellation
from payment_service.domain.order import CancelledOrder, Rejected
from payment_service.flows.arrivals import accept_all
from payment_service.flows.set_aside import count_set_aside, set_aside
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payment_service.db.pool import Connection
    from payment_service.flows.arrivals import Arrival
    from payment_service.flows.surroundings import Surroundings


class CancelledIntake:
    """Accepts batches. `wake_cancelling` is called when there is an order to cancel."""

    def __init__(self, surroundings: Surroundings, *, wake_cancelling: Callable[[], None] = lambda: None) -> None:
        self._here = surroundings
        self._wake_cancelling = wake_cancelling

    async def accept(self, arrivals: Sequence[Arrival]) -> None:
        """Make a batch durable. Raises TRANSIENT_ERRORS when the database can't be used; nothing is half done then."""
        await accept_all(arrivals, self._accept)

    async def decide(self, connection: Connection, arrival: Arrival) -> Rejected | None:
        """Decide a record again in the caller's transaction; None: it is taken. A refusal is not set aside again."""
        if isinstance(arrival.decoded, CancelledOrder):
            await order_cancellations.insert(connection, [_new(arrival, arrival.decoded)])
        return arrival.decoded if isinstance(arrival.decoded, Rejected) else None

    async def _accept(self, arrivals: Sequence[Arrival]) -> None:
        first: dict[str, NewCancellation] = {}
        for arrival in arrivals:
            if isinstance(arrival.decoded, CancelledOrder):
                first.setdefault(arrival.decoded.order_id, _new(arrival, arrival.decoded))
        rejected = [(a, a.decoded) for a in arrivals if isinstance(a.decoded, Rejected)]
        async with self._here.pool.acquire() as connection, connection.transaction():
            new = await order_cancellations.insert(connection, list(first.values())) if first else set()
            notices = await set_aside(connection, rejected)
            reached("cancelled.commit.before")
        reached("cancelled.commit.after")
        metrics.CANCELLED_ORDERS.labels("accepted").inc(len(new))
        metrics.CANCELLED_ORDERS.labels("quarantined").inc(len(notices))
        metrics.CANCELLED_ORDERS.labels("repeated").inc(len(arrivals) - len(new) - len(notices))
        count_set_aside(notices)
        if new:
            self._wake_cancelling()
        if notices:
            self._here.wake_relay()


def _new(arrival: Arrival, cancelled: CancelledOrder) -> NewCancellation:
    return NewCancellation(
        order_id=cancelled.order_id,
        reason=cancelled.reason,
        topic=arrival.topic,
        partition=arrival.partition,
        offset=arrival.offset,
        recorded_at=cancelled.recorded_at,
    )
