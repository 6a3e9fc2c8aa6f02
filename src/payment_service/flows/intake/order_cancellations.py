"""Store each record of `orders.cancelled` as a row, or quarantine it, before its offset is committed.

`flows/timers/cancelled_orders.py` processes the rows. A cancellation that precedes its order is applied by the intake
of that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.contracts.incoming import InboundRecord
from payment_service.contracts.records import ORDERS_CANCELLED
from payment_service.crash_points import reached
from payment_service.db import order_cancellations
from payment_service.db.order_cancellations import NewCancellation
from payment_service.domain.order import CancelledOrder, Rejected
from payment_service.flows.intake.quarantine import count_quarantined, quarantine_records
from payment_service.flows.intake.records import Acceptance, try_out
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payment_service.db.pool import Connection
    from payment_service.flows.state.context import Context


class OrderCancellationIntake:
    """Accept batches. `wake_cancellations` is called when there is an order to cancel."""

    def __init__(self, context: Context, *, wake_cancellations: Callable[[], None] = lambda: None) -> None:
        self._context = context
        self._wake_cancelling = wake_cancellations
        self._acceptance = Acceptance(self._accept, self._try_out)

    async def accept(self, inbound: Sequence[InboundRecord]) -> None:
        """Make a batch durable. Raise while the database fails; the batch must then be accepted again."""
        await self._acceptance.take(inbound)

    async def decide(self, connection: Connection, inbound_record: InboundRecord) -> Rejected | None:
        """Decide a quarantined record again in the caller's transaction. Return the reason if it is rejected again."""
        if isinstance(inbound_record.decoded, CancelledOrder):
            await order_cancellations.insert(connection, [_new(inbound_record, inbound_record.decoded)])
        return inbound_record.decoded if isinstance(inbound_record.decoded, Rejected) else None

    async def _try_out(self) -> None:
        """Raise if the database fails for a cancellation that is in no topic."""
        await try_out(self._context.pool, self.decide, [_TRIAL])

    async def _accept(self, inbound: Sequence[InboundRecord]) -> None:
        first: dict[str, NewCancellation] = {}
        for inbound_record in inbound:
            if isinstance(inbound_record.decoded, CancelledOrder):
                first.setdefault(inbound_record.decoded.order_id, _new(inbound_record, inbound_record.decoded))
        rejected = [(a, a.decoded) for a in inbound if isinstance(a.decoded, Rejected)]
        async with self._context.pool.acquire() as connection, connection.transaction():
            new = await order_cancellations.insert(connection, list(first.values())) if first else set()
            quarantined = await quarantine_records(connection, rejected)
            reached("cancelled.commit.before")
        reached("cancelled.commit.after")
        metrics.CANCELLED_ORDERS.labels("accepted").inc(len(new))
        metrics.CANCELLED_ORDERS.labels("quarantined").inc(len(quarantined))
        metrics.CANCELLED_ORDERS.labels("repeated").inc(len(inbound) - len(new) - len(quarantined))
        count_quarantined(quarantined)
        if new:
            self._wake_cancelling()
        if quarantined:
            self._context.wake_relay()


_TRIAL: Final = InboundRecord(
    topic=ORDERS_CANCELLED,
    partition=-1,
    offset=-1,
    timestamp_ms=-1,
    key=None,
    value=None,
    decoded=CancelledOrder(order_id="intake-trial", reason="", recorded_at=None),
)


def _new(inbound_record: InboundRecord, cancelled: CancelledOrder) -> NewCancellation:
    return NewCancellation(
        order_id=cancelled.order_id,
        reason=cancelled.reason,
        topic=inbound_record.topic,
        partition=inbound_record.partition,
        offset=inbound_record.offset,
        recorded_at=cancelled.recorded_at,
    )
