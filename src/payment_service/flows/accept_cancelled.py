"""Intake of `orders.cancelled`: each record becomes a row, or is set aside, before its offset is committed.

What is to be done about it is found by `flows/cancel_orders.py`, or by the intake of the order if that comes later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from payment_service.crash_points import reached
from payment_service.db import order_cancellations
from payment_service.db.order_cancellations import NewCancellation
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.order import CancelledOrder, Reason, Rejected
from payment_service.flows.set_aside import count_set_aside, set_aside
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payment_service.db.pool import Connection, Pool
    from payment_service.flows.accept_orders import Arrival

log = structlog.get_logger(__name__)


class CancelledIntake:
    """Accepts batches. `wake_cancelling` and `wake_relay` are called when there is work for them."""

    def __init__(
        self,
        *,
        pool: Pool,
        wake_cancelling: Callable[[], None] = lambda: None,
        wake_relay: Callable[[], None] = lambda: None,
    ) -> None:
        self._pool = pool
        self._wake_cancelling = wake_cancelling
        self._wake_relay = wake_relay

    async def accept(self, arrivals: Sequence[Arrival]) -> None:
        """Make a batch durable. Raises TRANSIENT_ERRORS when the database can't be used; nothing is half done then."""
        try:
            await self._accept_group(arrivals)
            return
        except TRANSIENT_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - one record that trips the database must not stop the others
            log.warning("cancelled_group_failed", size=len(arrivals), error=type(error).__name__)
        for arrival in arrivals:
            await self._accept_alone(arrival)

    async def decide(self, connection: Connection, arrival: Arrival) -> Rejected | None:
        """Decide a record again in the caller's transaction; None: it is taken. A refusal is not set aside again."""
        if isinstance(arrival.decoded, CancelledOrder):
            await order_cancellations.insert(connection, [_new(arrival, arrival.decoded)])
        return arrival.decoded if isinstance(arrival.decoded, Rejected) else None

    async def _accept_alone(self, arrival: Arrival) -> None:
        try:
            await self._accept_group([arrival])
        except TRANSIENT_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - it is kept, with the reason, and counted
            detail = f"The database refused the record ({type(error).__name__}): report this as a defect."
            await self._accept_group([replace(arrival, decoded=Rejected(Reason.NOT_STORABLE, detail))])

    async def _accept_group(self, arrivals: Sequence[Arrival]) -> None:
        first: dict[str, NewCancellation] = {}
        for arrival in arrivals:
            if isinstance(arrival.decoded, CancelledOrder):
                first.setdefault(arrival.decoded.order_id, _new(arrival, arrival.decoded))
        rejected = [(a, a.decoded) for a in arrivals if isinstance(a.decoded, Rejected)]
        async with self._pool.acquire() as connection, connection.transaction():
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
            self._wake_relay()


def _new(arrival: Arrival, cancelled: CancelledOrder) -> NewCancellation:
    return NewCancellation(
        order_id=cancelled.order_id,
        reason=cancelled.reason,
        topic=arrival.topic,
        partition=arrival.partition,
        offset=arrival.offset,
        recorded_at=cancelled.recorded_at,
    )
