"""The state machine of a payment: `apply(payment, fact) -> Verdict`.

Rule 1: every status is decided here. Nothing else in the service compares or chooses one.

Rule 2: this module uses no database, clock or provider. Facts carry the provider's time.

Rule 3: a payment keeps the greatest fact, by (rank, provider's seconds, precedence, source). The final state therefore
does not depend on the order or repetition of facts.

Rule 4: unexpected money (another amount, another intent, a payment that had ended) is never applied and never dropped.
The verdict parks it for an operator.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from payment_service.domain.captures import authorized, captured_event, succeeded, with_capture_before
from payment_service.domain.facts_without_intent import FreeFact, RefusedFact, WithdrawnFact
from payment_service.domain.payment_event import PaymentEvent
from payment_service.domain.unpaid import unpaid_events
from payment_service_events.published_events import Failed, Initiated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payment_service.domain.payment_attempt import PaymentAttempt
    from payment_service_events.money import Money


class Status(StrEnum):
    """The status of a payment. `succeeded`, `canceled` and `failed` are final."""

    CREATED = "created"
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    DECLINED = "declined"
    AUTHORIZED = "authorized"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Return whether the status is final."""
        return not TRANSITIONS[self]


_UNPAID: Final = frozenset({Status.PENDING, Status.REQUIRES_ACTION, Status.PROCESSING, Status.DECLINED})
_ENDED_UNPAID: Final = frozenset({Status.CANCELED, Status.FAILED})
_ENDS: Final = _ENDED_UNPAID | {Status.SUCCEEDED}

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        Status.CREATED: _UNPAID | {Status.AUTHORIZED} | _ENDS,
        Status.PENDING: (_UNPAID - {Status.PENDING}) | {Status.AUTHORIZED, Status.SUCCEEDED, Status.CANCELED},
        Status.REQUIRES_ACTION: (_UNPAID - {Status.REQUIRES_ACTION})
        | {Status.AUTHORIZED, Status.SUCCEEDED, Status.CANCELED},
        Status.PROCESSING: (_UNPAID - {Status.PROCESSING}) | {Status.AUTHORIZED, Status.SUCCEEDED, Status.CANCELED},
        Status.DECLINED: (_UNPAID - {Status.DECLINED}) | {Status.AUTHORIZED, Status.SUCCEEDED, Status.CANCELED},
        Status.AUTHORIZED: frozenset({Status.SUCCEEDED, Status.CANCELED}),
        Status.SUCCEEDED: frozenset(),
        Status.CANCELED: frozenset(),
        Status.FAILED: frozenset(),
    }
)

# (rank, precedence). A higher rank always wins; within one rank the provider's later second wins, then the precedence.
STATUS_ORDER: Final[Mapping[Status, tuple[int, int]]] = MappingProxyType(
    {
        Status.PENDING: (0, 0),
        Status.REQUIRES_ACTION: (0, 1),
        Status.PROCESSING: (0, 2),
        Status.DECLINED: (0, 3),
        Status.AUTHORIZED: (1, 0),
        Status.SUCCEEDED: (2, 0),
        Status.CANCELED: (2, 0),
        Status.FAILED: (2, 0),
    }
)

# Statuses in which a cancel may be requested. A payment that a bank is processing may be paid already.
CANCELABLE: Final = frozenset(
    {Status.CREATED, Status.PENDING, Status.REQUIRES_ACTION, Status.DECLINED, Status.AUTHORIZED}
)

# Statuses in which an intent that is not the payment's own is canceled. In any other it may hold money.
_STRAY_CANCELABLE: Final = frozenset({Status.PENDING, Status.REQUIRES_ACTION, Status.DECLINED})


@dataclass(frozen=True, slots=True, order=True)
class FactKey:
    """The sort key of facts. `at`: the provider's clock, whole seconds since 1970."""

    rank: int
    at: int
    precedence: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """An attempt to be paid for an order. `attempt` counts the payments of the order from 1.

    `refunded` and `reserved` are parts of `captured`: refunded already, and reserved by pending refunds. `paid_at` is set
    once; `capture_before` is when an authorization ends. Both are the provider's seconds. `method_id`: the provider's id of
    the method that paid.
    """

    id: UUID
    order_id: str
    attempt: int
    user_id: str
    provider: str
    provider_payment_id: str | None
    amount: Money
    captured: Money
    refunded: Money
    reserved: Money
    status: Status
    method: str | None
    sequence: int
    key: FactKey | None
    declines: tuple[str, ...]
    paid_at: int | None
    capture_before: int | None = None
    method_id: str | None = None
    traceparent: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """The reason for a declined attempt. `charge_id` is None if no charge was made."""

    code: str
    reason: str
    charge_id: str | None
    method_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentFact:
    """An intent as the provider reported it at `at` (its clock, seconds).

    `source` is the id of an event or the name of a response, and `from_event` distinguishes them. A decline without a
    charge is published once per event. `cancellation`: the provider's reason for a cancellation. `occurred_at`: when the
    intent reached the status, if the provider reports it; else `at` is the best known, and history leaves a read's open.
    """

    intent_id: str
    status: Status
    at: int
    source: str
    from_event: bool
    amount: Money
    received: Money
    method: str | None
    decline: Decline | None = None
    cancellation: str = ""
    occurred_at: int | None = None
    from_read: bool = False
    capture_before: int | None = None
    method_id: str | None = None
    attempt: PaymentAttempt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeFact:
    """A successful charge, which names the method that the customer used. `captured_at` is None for an authorization."""

    intent_id: str
    charge_id: str
    method: str
    amount: Money
    at: int
    source: str
    captured_at: int | None = None
    capture_before: int | None = None
    attempt: PaymentAttempt | None = None


Fact = IntentFact | ChargeFact | RefusedFact | WithdrawnFact | FreeFact


@dataclass(frozen=True, slots=True)
class Applied:
    """The payment after the fact, and the events to publish, if any."""

    payment: Payment
    events: tuple[PaymentEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """The fact was known, or a greater one was."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stray:
    """An unpaid intent with our metadata that is not the payment's own. `cancel`: it is still open."""

    intent_id: str
    cancel: bool


@dataclass(frozen=True, slots=True)
class Parked:
    """The fact needs an operator: `unexpected_money` or `conflict`."""

    reason: str
    detail: str


Verdict = Applied | Ignored | Stray | Parked


def apply(payment: Payment, fact: Fact) -> Verdict:
    """Fold one fact into a payment. Pure; never raises."""
    match fact:
        case IntentFact():
            return _apply_intent(payment, fact)
        case ChargeFact():
            return _apply_charge(payment, fact)
        case RefusedFact():
            return _apply_refusal(payment, fact)
        case WithdrawnFact():
            return _apply_withdrawal(payment, fact)
        case FreeFact():
            return _apply_free(payment, fact)


def _apply_intent(payment: Payment, fact: IntentFact) -> Verdict:
    if not _owns(payment, fact.intent_id):
        return _judge_stray(payment, fact)
    if problem := _unexpected(payment, fact):
        return Parked("unexpected_money", problem)
    if payment.status.ended and fact.status.ended and payment.status is not fact.status:
        reason = "unexpected_money" if fact.status is Status.SUCCEEDED else "conflict"
        return Parked(reason, f"{fact.intent_id} is {fact.status}, the payment had ended as {payment.status}")
    if fact.received.minor and (fact.status is Status.CANCELED or payment.status in _ENDED_UNPAID):
        return Parked("unexpected_money", f"{fact.intent_id} received {fact.received}, but the payment ended unpaid")
    was = payment
    payment, initiated = _adopt_intent(payment, fact.intent_id, fact.method)
    payment, declined = _apply_decline(payment, fact)
    payment, reached = _advance(payment, fact)
    return Ignored("known") if payment == was else Applied(payment, (*initiated, *declined, *reached))


def _owns(payment: Payment, intent_id: str) -> bool:
    if payment.provider_payment_id is None:
        return not payment.status.ended
    return payment.provider_payment_id == intent_id


def _judge_stray(payment: Payment, fact: IntentFact) -> Verdict:
    if fact.status in _STRAY_CANCELABLE:
        return Stray(fact.intent_id, cancel=True)
    if fact.status is Status.CANCELED:
        return Stray(fact.intent_id, cancel=False)
    own = payment.provider_payment_id or "none"
    return Parked("unexpected_money", f"{fact.intent_id} is {fact.status}, the payment's own intent is {own}")


def _unexpected(payment: Payment, fact: IntentFact) -> str | None:
    if fact.amount != payment.amount:
        return f"{fact.intent_id} is for {fact.amount}, the order for {payment.amount}"
    if fact.received.currency != payment.amount.currency or fact.received.minor > payment.amount.minor:
        return f"{fact.intent_id} received {fact.received} of {payment.amount}"
    if fact.status is Status.SUCCEEDED and fact.received.minor == 0:
        return f"{fact.intent_id} succeeded and received nothing"
    return None


def _adopt_intent(payment: Payment, intent_id: str, method: str | None) -> tuple[Payment, tuple[PaymentEvent, ...]]:
    """Set the first intent with our metadata as the payment's own. It never changes."""
    if payment.provider_payment_id is not None:
        return payment, ()
    adopted = replace(payment, provider_payment_id=intent_id, method=payment.method or method)
    initiated = Initiated(amount=payment.amount, method=adopted.method or "unknown")
    return adopted, (PaymentEvent(f"{intent_id}:created", initiated),)


def _apply_decline(payment: Payment, fact: IntentFact) -> tuple[Payment, tuple[PaymentEvent, ...]]:
    """Publish a decline once per charge, even if a later attempt has begun, but not after an authorization or a final
    status.
    """
    if fact.status is not Status.DECLINED or fact.decline is None or _rank(payment) > 0:
        return payment, ()
    charge_id = fact.decline.charge_id
    if charge_id is None and not fact.from_event:
        return payment, ()
    cause = f"{charge_id or fact.source}:declined"
    if cause in payment.declines:
        return payment, ()
    failed = Failed(
        payment.amount, fact.decline.reason, fact.decline.code, final=False, payment_method_id=fact.decline.method_id
    )
    return replace(payment, declines=(*payment.declines, cause)), (PaymentEvent(cause, failed),)


def _rank(payment: Payment) -> int:
    return payment.key.rank if payment.key else 0


def _advance(payment: Payment, fact: IntentFact) -> tuple[Payment, tuple[PaymentEvent, ...]]:
    was = payment
    rank, precedence = STATUS_ORDER[fact.status]
    key = FactKey(rank, fact.at, precedence, fact.source)
    payment = _capture(payment, fact)
    changed = fact.status is not was.status
    if (was.key is None or key > was.key) and (not changed or fact.status in TRANSITIONS[was.status]):
        payment = replace(payment, status=fact.status, key=key, method=payment.method or fact.method)
    reached = _status_events(was, payment, fact) if payment.status is not was.status else ()
    if payment.captured == was.captured or (reached and payment.status is Status.SUCCEEDED):
        return payment, reached
    return payment, (*reached, captured_event(was, payment))


def _capture(payment: Payment, fact: IntentFact) -> Payment:
    """Take over the amount captured so far, which only grows, and the times that the provider reports.

    An authorized intent has received money after a partial capture with `final_capture=false`
    (https://docs.stripe.com/payments/multicapture). `paid_at` is set by the success and never moves.
    """
    payment = with_capture_before(payment, fact.capture_before)
    if fact.status not in {Status.AUTHORIZED, Status.SUCCEEDED}:
        return payment
    paid_at = payment.paid_at
    if fact.status is Status.SUCCEEDED and paid_at is None:
        paid_at = fact.at if fact.occurred_at is None else fact.occurred_at
    captured = max(payment.captured, fact.received, key=lambda money: money.minor)
    return replace(payment, method_id=payment.method_id or fact.method_id, paid_at=paid_at, captured=captured)


def _status_events(was: Payment, payment: Payment, fact: IntentFact) -> tuple[PaymentEvent, ...]:
    cause = f"{fact.intent_id}:{fact.status}"
    if fact.status is Status.SUCCEEDED and payment.paid_at is not None:
        return (PaymentEvent(cause, succeeded(payment, payment.paid_at)),)
    if fact.status is Status.CANCELED:
        return unpaid_events(payment.amount, "canceled", fact.cancellation, authorized=was.status is Status.AUTHORIZED)
    if fact.status is Status.AUTHORIZED:
        return (PaymentEvent(cause, authorized(payment)),)
    return ()


def _apply_charge(payment: Payment, fact: ChargeFact) -> Verdict:
    if not _owns(payment, fact.intent_id):
        return Parked(
            "unexpected_money", f"{fact.charge_id} succeeded on {fact.intent_id}, not the payment's own intent"
        )
    if fact.amount.currency != payment.amount.currency or fact.amount.minor > payment.amount.minor:
        return Parked("unexpected_money", f"{fact.charge_id} is for {fact.amount}, the order for {payment.amount}")
    adopted, initiated = _adopt_intent(payment, fact.intent_id, None)
    adopted = with_capture_before(replace(adopted, method=fact.method), fact.capture_before)
    adopted = replace(adopted, method_id=adopted.method_id or (fact.attempt.method.id if fact.attempt else None))
    if adopted.paid_at is None and not adopted.status.ended:
        adopted = replace(adopted, paid_at=fact.captured_at)
    return Ignored("known") if adopted == payment else Applied(adopted, initiated)


def _apply_refusal(payment: Payment, fact: RefusedFact) -> Verdict:
    if payment.status is Status.FAILED:
        return Ignored("known")
    if payment.provider_payment_id is not None:
        return Ignored("an intent exists")
    key = FactKey(2, fact.at, 0, fact.source)
    refused = replace(payment, status=Status.FAILED, key=key)
    failed = Failed(amount=payment.amount, reason=fact.reason, code=fact.code, final=True)
    return Applied(refused, (PaymentEvent("refused", failed),))


def _apply_withdrawal(payment: Payment, fact: WithdrawnFact) -> Verdict:
    if payment.status is not Status.CREATED:
        return Ignored("an intent exists" if payment.provider_payment_id else "known")
    key = FactKey(2, fact.at, 0, fact.source)
    canceled = replace(payment, status=Status.CANCELED, key=key)
    return Applied(canceled, unpaid_events(payment.amount, "canceled", fact.code, authorized=False))


def _apply_free(payment: Payment, fact: FreeFact) -> Verdict:
    if payment.status is Status.SUCCEEDED:
        return Ignored("known")
    paid = replace(payment, status=Status.SUCCEEDED, method="none", paid_at=fact.at, key=FactKey(2, fact.at, 0, "free"))
    return Applied(
        paid,
        (
            PaymentEvent("free:created", Initiated(amount=payment.amount, method="none")),
            PaymentEvent("free:succeeded", succeeded(paid, fact.at)),
        ),
    )
