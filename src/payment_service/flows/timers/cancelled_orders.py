"""Process canceled orders: cancel unpaid payments, and refund paid ones if configured.

The provider decides whether the customer or the cancel was first. A cancellation is retried until the payment is final,
so it has exactly one outcome. A cancellation that arrives before its order waits for it.
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
from payment_service.domain.refund import RefundStatus
from payment_service.domain.unpaid import ORDER_CANCELLED
from payment_service.flows.requests.cancel import CancelRequest, cancel
from payment_service.flows.requests.refund import reserve
from payment_service.flows.state.batches import isolate_errors, process_batches
from payment_service.flows.state.errors import Refusal
from payment_service.flows.state.system_operations import ORDER_CANCELLED_KEY, SYSTEM
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

# A transaction of about 30 ms.
GROUP_MAX: Final = 100
INTERVAL_MAX_S: Final = 1.0
# A lock on a payment lasts milliseconds.
LOCKED_RETRY_S: Final = 0.25
# Delay until the payment is final, doubling from 1 s.
RETRY_MAX_S: Final = 60.0
# A concurrent intake finishes within seconds. A later one finds the cancellation by itself.
TRIES_WITHOUT_ORDER: Final = 6
# A transaction that does not see the cancellation may open the order's next payment. None is idle for longer than 3 s.
NEXT_PAYMENT_S: Final = 5.0
_REFUND_FAILED: Final = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})


class CancelledOrders:
    """Process cancellations. `refund`: refund payments that are paid."""

    def __init__(self, context: Context, *, refund: bool) -> None:
        self._context = context
        self._refund_paid = refund
        self.loop = Loop("cancelled_orders", self.run_once, interval_max_s=INTERVAL_MAX_S)

    def start(self) -> None:
        """Start the loop."""
        self.loop.start()

    def wake(self) -> None:
        """Look for cancellations without waiting for the interval."""
        self.loop.wake()

    async def stop(self) -> None:
        """Finish the round, then stop."""
        await self.loop.stop()

    async def run_once(self) -> int:
        """Process the due cancellations. Return their number."""
        if not self._context.may_decide():
            return 0
        return len(await process_batches(self._look, GROUP_MAX, failure_event="cancelled_orders_group_failed"))

    async def _look(self, limit: int) -> Sequence[DueCancellation]:
        async with self._context.pool.acquire() as connection, connection.transaction():
            due = await order_cancellations.lock_due(connection, limit)
            if not due:
                return due
            work = self._work if limit > 1 else self._work_or_postpone
            fold, updates = await work(connection, due)
            await order_cancellations.update(connection, updates)
            reached("cancelled_orders.commit.before")
        reached("cancelled_orders.commit.after")
        self._context.after_commit(fold)
        _count(updates)
        return due

    async def _work_or_postpone(
        self, connection: Connection, due: Sequence[DueCancellation]
    ) -> tuple[Fold, list[CancellationUpdate]]:
        """Work behind a savepoint. If that fails, postpone the cancellations."""
        with isolate_errors("order_not_canceled", level=logging.ERROR):
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
        pending = await operations.being_canceled(connection, list(locked))
        updates = [await self._decide(connection, fold, c, newest.get(c.order_id), pending) for c in due]
        await fold.write(connection)
        return fold, updates

    async def _decide(
        self,
        connection: Connection,
        fold: Fold,
        cancellation: DueCancellation,
        payment_id: UUID | None,
        pending: set[UUID],
    ) -> CancellationUpdate:
        order_id, tries = cancellation.order_id, cancellation.tries
        later = CancellationUpdate(order_id=order_id, retry_s=min(RETRY_MAX_S, 2.0 ** min(tries, 10)))
        if payment_id is None:
            return later if tries < TRIES_WITHOUT_ORDER else CancellationUpdate(order_id=order_id)
        if payment_id not in fold:
            return CancellationUpdate(order_id=order_id, retry_s=LOCKED_RETRY_S)
        payment = fold.payment(payment_id)
        match payment.status:
            case Status.SUCCEEDED:
                return self._handle_paid(fold, payment, cancellation, later)
            case Status.CANCELED | Status.FAILED if tries == 0:
                return CancellationUpdate(order_id=order_id, retry_s=NEXT_PAYMENT_S)
            case Status.CANCELED | Status.FAILED:
                return CancellationUpdate(order_id=order_id, outcome="canceled")
            case status if status in CANCELABLE and payment_id not in pending and self._runs(payment):
                request = CancelRequest(client=SYSTEM, key=f"{ORDER_CANCELLED_KEY}:{tries}", reason=ORDER_CANCELLED)
                await cancel(connection, self._context, fold, payment_id, request)
        return later

    def _handle_paid(
        self, fold: Fold, payment: Payment, cancellation: DueCancellation, later: CancellationUpdate
    ) -> CancellationUpdate:
        """Refund a payment and wait for the result, or report that the cancellation came too late."""
        if payment.captured.minor == 0:
            return CancellationUpdate(order_id=cancellation.order_id, outcome="nothing_paid")
        if payment.refunded == payment.captured:
            return CancellationUpdate(order_id=cancellation.order_id, outcome="refunded")
        refund = fold.find_refund(payment.id, operation_id(payment.id, Kind.REFUND, SYSTEM, ORDER_CANCELLED_KEY))
        if refund is not None and refund.status in _REFUND_FAILED:
            return CancellationUpdate(order_id=cancellation.order_id, outcome="refund_failed")
        if refund is not None and refund.status is RefundStatus.SUCCEEDED:
            return CancellationUpdate(order_id=cancellation.order_id, outcome="refunded")
        if refund is not None or (self._refund_paid and self._request_refund(fold, payment, cancellation)):
            return later
        fold.append_history(payment.id, f"{ORDER_CANCELLED_KEY}:too_late")
        log.warning("order_canceled_too_late", order_id=cancellation.order_id, payment_id=str(payment.id))
        return CancellationUpdate(order_id=cancellation.order_id, outcome="too_late")

    def _request_refund(self, fold: Fold, payment: Payment, cancellation: DueCancellation) -> bool:
        refund_id = operation_id(payment.id, Kind.REFUND, SYSTEM, ORDER_CANCELLED_KEY)
        requester = Requester(
            client=SYSTEM,
            idempotency_key=ORDER_CANCELLED_KEY,
            fingerprint=sha256(ORDER_CANCELLED_KEY.encode()).digest(),
        )
        reason = cancellation.reason or ORDER_CANCELLED
        try:
            refused = reserve(self._context, fold, payment.id, refund_id, None, reason, requester)
        except Refusal as refusal:
            log.warning("order_canceled_not_refunded", payment_id=str(payment.id), detail=str(refusal))
            return False
        return refused is None or refused.code == "nothing_left"

    def _runs(self, payment: Payment) -> bool:
        return payment.provider in self._context.providers.by_name


def _count(updates: Sequence[CancellationUpdate]) -> None:
    for update in updates:
        if update.outcome is not None:
            metrics.CANCELLED_ORDERS.labels(update.outcome).inc()
            log.info("order_canceled", order_id=update.order_id, outcome=update.outcome)
