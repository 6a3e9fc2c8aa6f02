"""Orders that were cancelled: their unpaid payments are canceled, those that are paid are refunded, or it was too late.

Whether the customer or the cancel was first, the provider says; a cancellation is looked at until the payment has its end, so
each has exactly one outcome. One that came before its order waits for it.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.crash_points import reached
from payment_service.db import operations, order_cancellations, payments
from payment_service.db.order_cancellations import CancellationUpdate
from payment_service.db.refunds import Requester
from payment_service.domain.ids import operation_id
from payment_service.domain.payment import CANCELABLE, Status
from payment_service.domain.unpaid import ORDER_CANCELLED
from payment_service.flows.requests.cancel import Cancel, cancel
from payment_service.flows.requests.refund import reserve
from payment_service.flows.state.batches import isolate_errors, process_batches
from payment_service.flows.state.errors import Refusal
from payment_service.flows.state.system_operations import SYSTEM
from payment_service.loop import Loop
from payment_service.provider.port import Kind
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.db.order_cancellations import DueCancellation
    from payment_service.db.pool import Connection
    from payment_service.domain.payment import Payment
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold

log = structlog.get_logger(__name__)

# Some 30 ms of work in one transaction.
GROUP_MAX: Final = 100
INTERVAL_MAX_S: Final = 1.0
# A payment that is locked is free again in a moment.
LOCKED_RETRY_S: Final = 0.25
# Until a payment has its end: doubling from a second.
RETRY_MAX_S: Final = 60.0
# An order whose intake runs at the same time is there after seconds; one that comes later finds the cancellation by itself.
LOOKS_WITHOUT_ORDER: Final = 6
# Who has not seen the cancellation may be opening the order's next payment; no transaction is idle for longer than 3 s.
NEXT_PAYMENT_S: Final = 5.0
_KEY: Final = "order_cancelled"


class CancelledOrders:
    """Works off cancellations. `refund`: a payment that was paid is given back."""

    def __init__(self, context: Context, *, refund: bool) -> None:
        self._context = context
        self._refund = refund
        self._loop = Loop("cancelled_orders", self.look_once, interval_max_s=INTERVAL_MAX_S)

    def start(self) -> None:
        """Begin to look."""
        self._loop.start()

    def wake(self) -> None:
        """Say that orders were cancelled."""
        self._loop.wake()

    async def stop(self) -> None:
        """Finish the round, then end."""
        await self._loop.stop()

    async def look_once(self) -> int:
        """CancellationUpdate at what is due; return how many were."""
        return len(await process_batches(self._look, GROUP_MAX, failed="cancelled_orders_group_failed"))

    async def _look(self, limit: int) -> Sequence[DueCancellation]:
        async with self._context.pool.acquire() as connection, connection.transaction():
            due = await order_cancellations.lock_due(connection, limit)
            if not due:
                return due
            work = self._work if limit > 1 else self._work_or_postpone
            fold, looks = await work(connection, due)
            await order_cancellations.update(connection, looks)
            reached("cancelled_orders.commit.before")
        reached("cancelled_orders.commit.after")
        self._context.after(fold)
        _count(looks)
        return due

    async def _work_or_postpone(
        self, connection: Connection, due: Sequence[DueCancellation]
    ) -> tuple[Fold, list[CancellationUpdate]]:
        """Work behind a savepoint, so that what trips the database is at least postponed."""
        with isolate_errors("order_not_cancelled", level=logging.ERROR):
            async with connection.transaction():
                return await self._work(connection, due)
        return self._context.fold({}), [CancellationUpdate(order_id=c.order_id, retry_s=RETRY_MAX_S) for c in due]

    async def _work(
        self, connection: Connection, due: Sequence[DueCancellation]
    ) -> tuple[Fold, list[CancellationUpdate]]:
        newest = await payments.newest_of_orders(connection, [c.order_id for c in due])
        locked = await payments.lock_available(connection, newest.values())
        fold = self._context.fold(locked)
        await fold.load(connection, [key for key, payment in locked.items() if payment.status is Status.SUCCEEDED])
        asked = await operations.being_canceled(connection, list(locked))
        looks = [await self._settle(connection, fold, c, newest.get(c.order_id), asked) for c in due]
        await fold.write(connection)
        return fold, looks

    async def _settle(
        self,
        connection: Connection,
        fold: Fold,
        cancellation: DueCancellation,
        payment_id: UUID | None,
        asked: set[UUID],
    ) -> CancellationUpdate:
        order_id, tries = cancellation.order_id, cancellation.tries
        later = CancellationUpdate(order_id=order_id, retry_s=min(RETRY_MAX_S, 2.0 ** min(tries, 10)))
        if payment_id is None:
            return later if tries < LOOKS_WITHOUT_ORDER else CancellationUpdate(order_id=order_id)
        if payment_id not in fold:
            return CancellationUpdate(order_id=order_id, retry_s=LOCKED_RETRY_S)
        payment = fold.payment(payment_id)
        match payment.status:
            case Status.SUCCEEDED:
                return self._meet_paid(fold, payment, cancellation)
            case Status.CANCELED | Status.FAILED if tries == 0:
                return CancellationUpdate(order_id=order_id, retry_s=NEXT_PAYMENT_S)
            case Status.CANCELED | Status.FAILED:
                return CancellationUpdate(order_id=order_id, outcome="canceled")
            case status if status in CANCELABLE and payment_id not in asked and self._runs(payment):
                wish = Cancel(client=SYSTEM, key=f"{_KEY}:{tries}", reason=ORDER_CANCELLED)
                if await cancel(connection, self._context, fold, payment_id, wish) is None:
                    return CancellationUpdate(order_id=order_id, outcome="canceled")
        return later

    def _meet_paid(self, fold: Fold, payment: Payment, cancellation: DueCancellation) -> CancellationUpdate:
        """The customer was first."""
        if payment.captured.minor == 0:
            return CancellationUpdate(order_id=cancellation.order_id, outcome="nothing_paid")
        if self._refund and self._give_back(fold, payment, cancellation):
            return CancellationUpdate(order_id=cancellation.order_id, outcome="refunded")
        fold.note(payment.id, f"{_KEY}:too_late")
        log.warning("order_cancelled_too_late", order_id=cancellation.order_id, payment_id=str(payment.id))
        return CancellationUpdate(order_id=cancellation.order_id, outcome="too_late")

    def _give_back(self, fold: Fold, payment: Payment, cancellation: DueCancellation) -> bool:
        refund_id = operation_id(payment.id, Kind.REFUND, SYSTEM, _KEY)
        asked = Requester(client=SYSTEM, idempotency_key=_KEY, fingerprint=sha256(_KEY.encode()).digest())
        reason = cancellation.reason or ORDER_CANCELLED
        try:
            refused = reserve(self._context, fold, payment.id, refund_id, None, reason, asked)
        except Refusal as refusal:
            log.warning("order_cancelled_not_refunded", payment_id=str(payment.id), detail=str(refusal))
            return False
        return refused is None or refused.code == "nothing_left"

    def _runs(self, payment: Payment) -> bool:
        return payment.provider in self._context.providers.by_name


def _count(looks: Sequence[CancellationUpdate]) -> None:
    for look in looks:
        if look.outcome is not None:
            metrics.CANCELLED_ORDERS.labels(look.outcome).inc()
            log.info("order_cancelled", order_id=look.order_id, outcome=look.outcome)
