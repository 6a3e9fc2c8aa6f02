"""Read the data with which a shop's page lets a customer pay. It is passed on and never stored.

Reads share the provider's budget with operations (ARCHITECTURE.md, rule 11). Concurrent requests for one payment share
a read, and repeated requests must wait. All checkouts together are limited to their share of the budget, so neither a
reloading page nor a busy shop delays operations.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.contracts.api import Checkout, Step
from payment_service.db import budget, operations, order_cancellations, payments
from payment_service.domain.payment import Status
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.state.system_operations import read_own_intent
from payment_service.provider import port
from payment_service.provider.calls import read_checkout
from payment_service.provider.port import CHECKOUTS_MAX
from payment_service.rate_limiter import RateLimiter
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.domain.payment import IntentFact, Payment
    from payment_service.flows.state.context import Context
    from payment_service.provider.port import Transient

log = structlog.get_logger(__name__)

# Much shorter than for calls that move money: the customer sees an empty page meanwhile, and a repeated read loses
# nothing.
TIMEOUT_S: Final = 3.0
# Per payment: a few open pages or an impatient customer, then one read every two seconds.
READS_BURST: Final = 5
READ_EVERY_S: Final = 2.0
# An intent is created within a second of its order. The budget refills in a second, too.
RETRY_SOON_S: Final = 1
# For provider errors without a Retry-After. A Retry-After is obeyed up to a minute.
PROVIDER_ERROR_RETRY_S: Final = 2
PROVIDER_ERROR_RETRY_MAX_S: Final = 60

_PAYABLE: Final = frozenset({Status.PENDING, Status.REQUIRES_ACTION, Status.DECLINED})
_STEP_DETAILS: Final[dict[Step, str]] = {
    "pay": "The customer can pay.",
    "wait": "The provider is processing the customer's payment: wait for the next event.",
    "done": "The customer has nothing to pay.",
    "open_new": "The payment ended unpaid: open a new one with POST /v1/payments.",
}


class Checkouts:
    """Serve the checkouts of orders. `rate_per_s`: the provider's total budget."""

    def __init__(self, context: Context, *, rate_per_s: float) -> None:
        self._context = context
        self._rate_per_s = rate_per_s
        self._reads = RateLimiter(burst=READS_BURST, every_s=READ_EVERY_S)
        self._slots = asyncio.Semaphore(CHECKOUTS_MAX)
        self._reading: dict[UUID, asyncio.Task[port.Checkout]] = {}

    async def offer(self, order_id: str) -> Checkout:
        """Return the status of the order's last payment and, if it can be paid, how. Raise Refusal."""
        payment = await payments.last_of_order(self._context.pool, order_id)
        if payment is None:
            raise Refusal(
                RefusalReason.NOT_FOUND,
                "No payment exists for this order yet: its record may still be on its way.",
            )
        if payment.status is Status.CREATED:
            message = "The payment is being created at the provider: ask again in a second."
            raise Refusal(RefusalReason.NOT_YET, message, retry_after_s=RETRY_SOON_S)
        canceled = await order_cancellations.is_canceled(self._context.pool, order_id)
        if payment.status not in _PAYABLE or canceled:
            return _closed_response(payment, payment.status, canceled=canceled)
        offered = await self._read_once(payment)
        if offered.fact is None:
            return _response(payment, payment.status, offered)
        if offered.fact.amount != payment.amount:
            log.error("checkout_amount_differs", payment_id=str(payment.id), intent_id=offered.fact.intent_id)
            raise Refusal(
                RefusalReason.NOT_ALLOWED,
                "The amount at the provider differs from the order's: an operator must look at it.",
            )
        if offered.fact.status in _PAYABLE:
            return _response(payment, offered.fact.status, offered)
        await self._enqueue_read(payment, offered.fact)
        return _closed_response(payment, offered.fact.status, canceled=canceled)

    async def _read_once(self, payment: Payment) -> port.Checkout:
        """Start a read or share the one under way. A caller that disconnects does not cancel it for the others."""
        reading = self._reading.get(payment.id)
        if reading is None:
            reading = self._reading[payment.id] = asyncio.create_task(self._read(payment))
            reading.add_done_callback(lambda task: self._forget(payment.id, task))
        return await asyncio.shield(reading)

    def _forget(self, payment_id: UUID, task: asyncio.Task[port.Checkout]) -> None:
        self._reading.pop(payment_id, None)
        if not task.cancelled():
            task.exception()  # waiting callers get the exception; without callers it needs no log

    async def _read(self, payment: Payment) -> port.Checkout:
        if wait_s := self._reads.spend(str(payment.id)):
            raise _busy("This payment's checkout was requested too often", wait_s)
        if self._slots.locked():
            raise _busy("Too many customers are at the checkout now", RETRY_SOON_S)
        async with self._slots:
            if not await budget.spend_on_checkout(self._context.pool, payment.provider, rate_per_s=self._rate_per_s):
                raise _busy("Too many customers are at the checkout now", RETRY_SOON_S)
            offered = await self._ask(payment)
        outcome = "done" if isinstance(offered, port.Checkout) else "transient"
        metrics.PROVIDER_CALLS.labels(payment.provider, "checkout", outcome).inc()
        if isinstance(offered, port.Checkout):
            return offered
        names = {"payment_id": str(payment.id), "code": offered.code, "provider_request_id": offered.request_id}
        log.warning("checkout_not_read", **names)
        wait_s = min(int(offered.retry_after_s), PROVIDER_ERROR_RETRY_MAX_S) or PROVIDER_ERROR_RETRY_S
        raise _busy("The provider is not available now", wait_s)

    async def _ask(self, payment: Payment) -> port.Checkout | Transient:
        provider = self._context.provider_of(payment)
        with metrics.PROVIDER_CALL_SECONDS.labels(payment.provider, "checkout").time():
            return await read_checkout(provider, payment.provider_payment_id or "", limit_s=TIMEOUT_S)

    async def _enqueue_read(self, payment: Payment, fact: IntentFact) -> None:
        """Enqueue a read of the intent, because the provider has a newer state. Its fact is applied like any other."""
        read = read_own_intent(payment, f"checkout:{fact.status}", self._context.providers)
        if read is not None:
            async with self._context.pool.acquire() as connection:
                await operations.enqueue(connection, [read])
            self._context.wake()


def _closed_response(payment: Payment, status: Status, *, canceled: bool) -> Checkout:
    """Respond without payment data. Nothing is to be paid for a canceled order, even while its payment is open."""
    response = _response(payment, status)
    if canceled and response.next in {"open_new", "pay"}:
        return response.model_copy(
            update={"next": "done", "detail": "The order was canceled: there is nothing to pay."}
        )
    return response


def _response(payment: Payment, status: Status, offered: port.Checkout | None = None) -> Checkout:
    step = _step(status)
    return Checkout.model_validate(
        {
            "payment_id": payment.id,
            "order_id": payment.order_id,
            "status": _shown(payment, status),
            "amount": payment.amount.decimal_text,
            "currency": payment.amount.currency.code,
            "provider": payment.provider,
            "next": step,
            "detail": _STEP_DETAILS[step],
            "pay": {"provider": payment.provider, **offered.pay} if offered else None,
        }
    )


def _step(status: Status) -> Step:
    match status:
        case Status.SUCCEEDED | Status.AUTHORIZED:
            return "done"
        case Status.CANCELED | Status.FAILED:
            return "open_new"
        case Status.CREATED | Status.PROCESSING:
            return "wait"
        case Status.PENDING | Status.REQUIRES_ACTION | Status.DECLINED:
            return "pay"


def _shown(payment: Payment, status: Status) -> str:
    """Return the status as `GET /v1/payments/{id}` shows it, which includes refunds."""
    if payment.refunded.minor == 0:
        return status
    return "refunded" if payment.refunded == payment.captured else "partially_refunded"


def _busy(reason: str, wait_s: int) -> Refusal:
    return Refusal(RefusalReason.BUSY, f"{reason}: ask again in {wait_s} s.", retry_after_s=wait_s)
