"""What a shop's page needs to let a customer pay: read from the provider while the customer waits, passed on, and kept nowhere.

It shares the provider's budget with operations (ARCHITECTURE.md, rule 11). However often pages are loaded again: those of one
payment that come together share one read, those that follow each other soon wait, and all of them together are held to
their share. So neither a page that reloads itself nor a full shop keeps orders from being worked off.
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

# A customer looks at an empty page meanwhile, and nothing is lost by asking again: much shorter than for calls that move money.
TIMEOUT_S: Final = 3.0
# Of one payment: a few pages, or a person who is impatient, and then one read in two seconds.
READS_BURST: Final = 5
READ_EVERY_S: Final = 2.0
# An intent is made within a second of its order, and what is short of budget has some a second later.
SOON_S: Final = 1
# After a trouble of the provider that gives no time of its own. What it gives is obeyed up to a minute.
TROUBLE_RETRY_S: Final = 2
TROUBLE_RETRY_MAX_S: Final = 60

_PAYABLE: Final = frozenset({Status.PENDING, Status.REQUIRES_ACTION, Status.DECLINED})
_SAID: Final[dict[Step, str]] = {
    "pay": "The customer can pay.",
    "wait": "The provider is at work on the customer's payment: wait for what will be announced.",
    "done": "The customer has nothing to pay.",
    "open_new": "The payment ended unpaid: open a new one by POST /v1/payments.",
}


class Checkouts:
    """Answers what pages ask. `rate_per_s`: the provider's budget for all."""

    def __init__(self, context: Context, *, rate_per_s: float) -> None:
        self._context = context
        self._rate_per_s = rate_per_s
        self._reads = RateLimiter(burst=READS_BURST, every_s=READ_EVERY_S)
        self._slots = asyncio.Semaphore(CHECKOUTS_MAX)
        self._reading: dict[UUID, asyncio.Task[port.Checkout]] = {}

    async def offer(self, order_id: str) -> Checkout:
        """Say how the order's last payment stands and, if it can be paid, how. Raises Refusal."""
        payment = await payments.last_of_order(self._context.pool, order_id)
        if payment is None:
            raise Refusal(
                RefusalReason.NOT_FOUND,
                "There is no payment for this order, or none yet: its record may be on its way.",
            )
        if payment.status is Status.CREATED:
            message = "The provider is being told of this payment: ask again in a second."
            raise Refusal(RefusalReason.NOT_YET, message, retry_after_s=SOON_S)
        cancelled = await order_cancellations.is_canceled(self._context.pool, order_id)
        if payment.status not in _PAYABLE or cancelled:
            return _answer_ended(payment, payment.status, cancelled=cancelled)
        found = await self._read_once(payment)
        if found.fact is None:
            return _answer(payment, payment.status, found)
        if found.fact.amount != payment.amount:
            log.error("checkout_amount_differs", payment_id=str(payment.id), intent_id=found.fact.intent_id)
            raise Refusal(
                RefusalReason.NOT_ALLOWED, "The amount at the provider is not the order's: a person must look."
            )
        if found.fact.status in _PAYABLE:
            return _answer(payment, found.fact.status, found)
        await self._have_it_read(payment, found.fact)
        return _answer_ended(payment, found.fact.status, cancelled=cancelled)

    async def _read_once(self, payment: Payment) -> port.Checkout:
        """Read it, or share the read that is under way. A caller that goes away does not end it for the others."""
        reading = self._reading.get(payment.id)
        if reading is None:
            reading = self._reading[payment.id] = asyncio.create_task(self._read(payment))
            reading.add_done_callback(lambda task: self._forget(payment.id, task))
        return await asyncio.shield(reading)

    def _forget(self, payment_id: UUID, task: asyncio.Task[port.Checkout]) -> None:
        self._reading.pop(payment_id, None)
        if not task.cancelled():
            task.exception()  # those who wait have it too; if nobody does, it is no news

    async def _read(self, payment: Payment) -> port.Checkout:
        if wait_s := self._reads.spend(str(payment.id)):
            raise _busy("This payment's checkout was asked for too often", wait_s)
        if self._slots.locked():
            raise _busy("Too many customers are at their checkout now", SOON_S)
        async with self._slots:
            if not await budget.spend_on_checkout(self._context.pool, payment.provider, rate_per_s=self._rate_per_s):
                raise _busy("Too many customers are at their checkout now", SOON_S)
            found = await self._ask(payment)
        outcome = "done" if isinstance(found, port.Checkout) else "transient"
        metrics.PROVIDER_CALLS.labels(payment.provider, "checkout", outcome).inc()
        if isinstance(found, port.Checkout):
            return found
        names = {"payment_id": str(payment.id), "code": found.code, "provider_request_id": found.request_id}
        log.warning("checkout_not_read", **names)
        wait_s = min(int(found.retry_after_s), TROUBLE_RETRY_MAX_S) or TROUBLE_RETRY_S
        raise _busy("The provider can't be asked now", wait_s)

    async def _ask(self, payment: Payment) -> port.Checkout | Transient:
        provider = self._context.provider_of(payment)
        with metrics.PROVIDER_CALL_SECONDS.labels(payment.provider, "checkout").time():
            return await read_checkout(provider, payment.provider_payment_id or "", limit_s=TIMEOUT_S)

    async def _have_it_read(self, payment: Payment, fact: IntentFact) -> None:
        """The provider knows more than we do: have it read as an operation, whose answer is applied like any other, once."""
        read = read_own_intent(payment, f"checkout:{fact.status}", self._context.providers)
        if read is not None:
            async with self._context.pool.acquire() as connection:
                await operations.enqueue(connection, [read])
            self._context.wake()


def _answer_ended(payment: Payment, status: Status, *, cancelled: bool) -> Checkout:
    """Answer without a way to pay. Of a cancelled order nothing is to be paid, even while its payment is being canceled."""
    answer = _answer(payment, status)
    if cancelled and answer.next in {"open_new", "pay"}:
        return answer.model_copy(update={"next": "done", "detail": "The order was cancelled: there is nothing to pay."})
    return answer


def _answer(payment: Payment, status: Status, found: port.Checkout | None = None) -> Checkout:
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
            "detail": _SAID[step],
            "pay": {"provider": payment.provider, **found.pay} if found else None,
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
    """As `GET /v1/payments/{id}` shows it: how much was refunded is part of the status there."""
    if payment.refunded.minor == 0:
        return status
    return "refunded" if payment.refunded == payment.captured else "partially_refunded"


def _busy(reason: str, wait_s: int) -> Refusal:
    return Refusal(RefusalReason.BUSY, f"{reason}: ask again in {wait_s} s.", retry_after_s=wait_s)
