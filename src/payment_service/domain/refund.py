"""The state machine of a payment's refunds: `apply_refund(payment, refunds, fact) -> verdict`.

Pending refunds reserve a part of the captured amount (`reserved`), and successful ones count as `refunded`. Failed and
canceled refunds count as neither.

A refund keeps the greatest fact, as a payment does, so the sums do not depend on the order of facts. A successful
refund may still fail about 30 days later (https://docs.stripe.com/refunds#failed-refunds).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from payment_service.domain.early_facts import ReadIntent, check_intent
from payment_service.domain.ids import external_refund_id
from payment_service.domain.payment import FactKey, Ignored, Parked, Payment
from payment_service.domain.payment_event import PaymentEvent
from payment_service_events.money import Money
from payment_service_events.published_events import Refunded, RefundFailed, RefundInitiated

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID


class RefundStatus(StrEnum):
    """The status of a refund. `succeeded` may still become `failed`."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


# (rank, precedence), as for a payment: a higher rank wins, then the provider's later second, then the precedence.
REFUND_STATUS_ORDER: Final[Mapping[RefundStatus, tuple[int, int]]] = MappingProxyType(
    {
        RefundStatus.PENDING: (0, 0),
        RefundStatus.REQUIRES_ACTION: (0, 1),
        RefundStatus.SUCCEEDED: (1, 0),
        RefundStatus.FAILED: (2, 0),
        RefundStatus.CANCELED: (2, 0),
    }
)
_PENDING: Final = frozenset({RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION})
_WITHOUT_EFFECT: Final = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund. `external`: made at the provider, or requested by a client that is not known any more.

    `key` is None until the provider reports the refund. `bank_reference`: by which the customer's bank finds it.
    `expected_at`: when the customer has the money at the latest, seconds. Both are reported once, often later than the refund.
    """

    id: UUID
    payment_id: UUID
    provider_refund_id: str | None
    amount: Money
    status: RefundStatus
    reason: str
    external: bool
    failure: str = ""
    bank_reference: str | None = None
    expected_at: int | None = None
    key: FactKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequested:
    """A request for a refund. `disputed`: the bank has withdrawn the money, or may."""

    refund_id: UUID
    amount: Money | None
    reason: str
    disputed: bool
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFact:
    """A refund as the provider reported it at `at` (its clock, seconds). `refund_id`: ours, if its metadata names one.

    `payment_id`: the payment named by the metadata, None if it names none. `from_read`: `at` is only the time of a reading,
    and `created_at` is the time at which the provider made the refund.
    """

    intent_id: str
    provider_refund_id: str
    refund_id: UUID | None
    amount: Money
    status: RefundStatus
    failure: str
    at: int
    source: str
    payment_id: UUID | None = None
    created_at: int | None = None
    from_read: bool = False
    bank_reference: str | None = None
    expected_at: int | None = None

    @property
    def occurred_at(self) -> int | None:
        """Return when the refund reached the status: at the event, or when it was made. A read shows no other time."""
        if not self.from_read:
            return self.at
        return None if self.status in _WITHOUT_EFFECT else self.created_at


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundListFact:
    """Refunds of an intent, read together, in the order of their creation. `whole`: the list is complete.

    `with_release`: the released part of a partly captured or canceled payment is listed as a refund.
    """

    from_read: ClassVar[bool] = True

    intent_id: str
    refunds: tuple[RefundFact, ...]
    whole: bool
    at: int
    source: str
    with_release: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRefused:
    """The provider refused to make a refund: nothing was refunded."""

    refund_id: UUID
    code: str
    reason: str
    at: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundTotalFact:
    """The new total of a charge's refunds, pending ones included. The individual refunds are unknown."""

    intent_id: str
    total: Money
    at: int
    source: str


AnyRefundFact = RefundRequested | RefundFact | RefundListFact | RefundRefused | RefundTotalFact


@dataclass(frozen=True, slots=True)
class RefundsChanged:
    """The payment with its sums, the changed refunds, and the events to publish."""

    payment: Payment
    refunds: tuple[Refund, ...]
    events: tuple[PaymentEvent, ...]


@dataclass(frozen=True, slots=True)
class ReadRefunds:
    """The provider's total differs, or the sum would exceed the captured amount: a fact is missing, so read all refunds."""


@dataclass(frozen=True, slots=True)
class NotRefundable:
    """The request cannot be met. `remaining`: the refundable amount (None: nothing is refundable in this state)."""

    code: Literal["nothing_captured", "disputed", "nothing_left", "more_than_remains"]
    remaining: Money | None


RefundVerdict = RefundsChanged | ReadIntent | ReadRefunds | NotRefundable | Ignored | Parked


def apply_refund(payment: Payment, refunds: Mapping[UUID, Refund], fact: AnyRefundFact) -> RefundVerdict:
    """Fold one fact into a payment's refunds (all of them, by id). Pure; never raises."""
    match fact:
        case RefundRequested():
            return _request(payment, refunds, fact)
        case RefundRefused():
            return _refuse(payment, refunds, fact)
        case RefundFact():
            return _apply_facts(payment, refunds, (fact,))
        case RefundListFact():
            return _apply_list(payment, refunds, fact)
        case RefundTotalFact():
            return _compare_total(payment, fact)


def is_pending(refund: Refund) -> bool:
    """Return whether the provider has not decided about the refund yet."""
    return refund.status in _PENDING


def refundable(payment: Payment) -> Money:
    """Return the captured amount that is neither refunded nor reserved."""
    left = payment.captured.minor - payment.refunded.minor - payment.reserved.minor
    return Money(max(0, left), payment.captured.currency)


def _request(payment: Payment, refunds: Mapping[UUID, Refund], fact: RefundRequested) -> RefundVerdict:
    if fact.refund_id in refunds:
        return Ignored("known")
    if payment.captured.minor == 0 or payment.provider_payment_id is None:
        return NotRefundable("nothing_captured", None)
    if fact.disputed:
        return NotRefundable("disputed", None)
    remaining = refundable(payment)
    amount = fact.amount or remaining
    if remaining.minor == 0:
        return NotRefundable("nothing_left", remaining)
    if amount.currency != remaining.currency or not 0 < amount.minor <= remaining.minor:
        return NotRefundable("more_than_remains", remaining)
    requested = Refund(
        id=fact.refund_id,
        payment_id=payment.id,
        provider_refund_id=None,
        amount=amount,
        status=RefundStatus.PENDING,
        reason=fact.reason,
        external=False,
    )
    return _sum_up(payment, refunds, [requested])


def _refuse(payment: Payment, refunds: Mapping[UUID, Refund], fact: RefundRefused) -> RefundVerdict:
    refund = refunds.get(fact.refund_id)
    if refund is None or refund.key is not None:
        return Ignored("known")
    failed = replace(refund, status=RefundStatus.FAILED, failure=fact.code, key=_refusal(fact.source))
    return _sum_up(payment, refunds, [failed])


def _refusal(source: str) -> FactKey:
    """Return the lowest key: any report of the provider about the refund itself wins, including earlier ones."""
    return FactKey(0, 0, 0, source)


def _apply_list(payment: Payment, refunds: Mapping[UUID, Refund], fact: RefundListFact) -> RefundVerdict:
    verdict = _apply_facts(payment, refunds, _without_release(payment, refunds, fact))
    if isinstance(verdict, ReadRefunds):
        return Parked("unexpected_money", f"the refunds of {fact.intent_id} exceed the captured {payment.captured}")
    return verdict


def _without_release(payment: Payment, refunds: Mapping[UUID, Refund], fact: RefundListFact) -> Sequence[RefundFact]:
    """Leave out the refund that stands for the released part of the authorization, if the list has one.

    It is the oldest of that amount, made by the capture or the cancellation itself. It is certainly there if the
    provider's version says so, or if the refunds would exceed the captured amount.
    """
    released = payment.amount.minor - payment.captured.minor
    total = sum(one.amount.minor for one in fact.refunds if one.status not in _WITHOUT_EFFECT)
    certain = fact.with_release or total > payment.captured.minor
    if not fact.whole or not certain or not payment.status.ended:
        return fact.refunds
    known = {refund.provider_refund_id for refund in refunds.values()}
    for one in fact.refunds:
        if one.refund_id is None and one.amount.minor == released and one.provider_refund_id not in known:
            return [other for other in fact.refunds if other is not one]
    return fact.refunds


def _apply_facts(payment: Payment, refunds: Mapping[UUID, Refund], facts: Sequence[RefundFact]) -> RefundVerdict:
    """Apply facts of one moment. Failures come first, since they make room; then the order of creation counts."""
    now = dict(refunds)
    times: dict[UUID, int | None] = {}
    for fact in sorted(facts, key=lambda fact: (fact.status not in _WITHOUT_EFFECT, fact.created_at or fact.at)):
        if (premature := check_intent(payment, fact.intent_id, f"the refund {fact.provider_refund_id}")) is not None:
            return premature
        refund = _find_refund(payment, now, fact)
        if refund.amount != fact.amount:
            return Parked(
                "unexpected_money", f"{fact.provider_refund_id} is for {fact.amount}, requested was {refund.amount}"
            )
        now[refund.id] = _advance(refund, fact)
        if now[refund.id] != refunds.get(refund.id):
            times[refund.id] = fact.occurred_at
    return _sum_up(payment, refunds, [now[key] for key in times], times) if times else Ignored("known")


def _find_refund(payment: Payment, refunds: Mapping[UUID, Refund], fact: RefundFact) -> Refund:
    """Find the refund by our id, then by the provider's. If neither is known, return a new external refund.

    A refund with an unknown id of ours was requested here, but a restored backup lost its row. It keeps that id, so
    that a repeated job finds it and consumers recognize its events.
    """
    name = fact.refund_id if fact.payment_id in {None, payment.id} else None
    named = refunds.get(name) if name is not None else None
    if named is not None and named.provider_refund_id in {None, fact.provider_refund_id}:
        return named
    for refund in refunds.values():
        if refund.provider_refund_id == fact.provider_refund_id:
            return refund
    lost = name if named is None else None
    return Refund(
        id=lost or external_refund_id(payment.id, fact.provider_refund_id),
        payment_id=payment.id,
        provider_refund_id=fact.provider_refund_id,
        amount=fact.amount,
        status=RefundStatus.PENDING,
        reason="",
        external=True,
    )


def _advance(refund: Refund, fact: RefundFact) -> Refund:
    refund = replace(
        refund,
        provider_refund_id=fact.provider_refund_id,
        bank_reference=refund.bank_reference or fact.bank_reference,
        expected_at=refund.expected_at or fact.expected_at,
    )
    rank, precedence = REFUND_STATUS_ORDER[fact.status]
    key = FactKey(rank, fact.at, precedence, fact.source)
    if refund.key is not None and key <= refund.key:
        return refund
    return replace(refund, status=fact.status, failure=fact.failure, key=key)


def _compare_total(payment: Payment, fact: RefundTotalFact) -> RefundVerdict:
    premature = check_intent(payment, fact.intent_id, f"the refunded total {fact.total}")
    if isinstance(premature, Parked):
        return premature
    if fact.total.minor == payment.refunded.minor + payment.reserved.minor:
        return Ignored("known")
    if premature is not None:
        return premature
    return ReadRefunds()


def _sum_up(
    payment: Payment,
    refunds: Mapping[UUID, Refund],
    changed: Sequence[Refund],
    times: Mapping[UUID, int | None] = MappingProxyType({}),
) -> RefundVerdict:
    """Replace the changed refunds one by one, so that each event has the sums right after its refund."""
    now = dict(refunds)
    events: list[PaymentEvent] = []
    for refund in changed:
        now[refund.id] = refund
        payment = _with_sums(payment, now.values())
        event = _event_of(payment, refunds.get(refund.id), refund)
        if event is not None:
            events.append(replace(event, at=times.get(refund.id)))
    if payment.refunded.minor > payment.captured.minor:
        return ReadRefunds()
    return RefundsChanged(payment, tuple(changed), tuple(events))


def _with_sums(payment: Payment, refunds: Collection[Refund]) -> Payment:
    unit = payment.captured.currency
    refunded = sum(refund.amount.minor for refund in refunds if refund.status is RefundStatus.SUCCEEDED)
    reserved = sum(refund.amount.minor for refund in refunds if refund.status in _PENDING)
    return replace(payment, refunded=Money(refunded, unit), reserved=Money(reserved, unit))


def _event_of(payment: Payment, was: Refund | None, now: Refund) -> PaymentEvent | None:
    if was is not None and (was.status is now.status or {was.status, now.status} <= _WITHOUT_EFFECT):
        return None
    # A refused refund may exist after all and fail later. The second event needs another cause.
    refused = now.key is not None and now.key == _refusal(now.key.source)
    cause = f"{now.id}:{'refused' if refused else now.status}"
    refund, total = str(now.id), payment.refunded
    if now.status is RefundStatus.SUCCEEDED:
        full = payment.refunded == payment.captured
        refunded = Refunded(refund_id=refund, amount=now.amount, amount_refunded=total, full=full)
        return PaymentEvent(cause, refunded)
    if now.status in _WITHOUT_EFFECT:
        code = now.failure or now.status.value
        failed = RefundFailed(refund_id=refund, amount=now.amount, amount_refunded=total, code=code)
        return PaymentEvent(cause, failed)
    if was is None:
        initiated = RefundInitiated(refund_id=refund, amount=now.amount, reason=now.reason)
        return PaymentEvent(f"{now.id}:initiated", initiated)
    return None
