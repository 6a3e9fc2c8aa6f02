"""Refunds of a payment: `apply_refund(payment, refunds, fact) -> verdict`.

Pending refunds hold a part of what was captured (`reserved`), those that succeeded have given it back (`refunded`), and those
that failed or were canceled hold nothing. A refund keeps the greatest fact, as a payment does, so the sums don't depend on the
order in which facts arrive. A refund that succeeded may still fail, some 30 days later
(https://docs.stripe.com/refunds#failed-refunds).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from payment_service.domain.events import Announcement, Refunded, RefundFailed, RefundInitiated
from payment_service.domain.ids import external_refund_id
from payment_service.domain.payment import FactKey, Ignored, Parked, Payment
from payment_service_events.money import Money

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID


class RefundStatus(StrEnum):
    """Where a refund stands. `succeeded` may still become `failed`."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


# (rank, precedence), as a payment's: a higher rank wins, then the provider's later second, then the precedence.
REFUND_STANDING: Final[Mapping[RefundStatus, tuple[int, int]]] = MappingProxyType(
    {
        RefundStatus.PENDING: (0, 0),
        RefundStatus.REQUIRES_ACTION: (0, 1),
        RefundStatus.SUCCEEDED: (1, 0),
        RefundStatus.FAILED: (2, 0),
        RefundStatus.CANCELED: (2, 0),
    }
)
_HOLDING: Final = frozenset({RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION})
_WITHOUT_EFFECT: Final = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money on its way back. `foreign`: made at the provider, or asked of us by whom we don't know any more. `key` is None until the provider has told of it."""

    id: UUID
    payment_id: UUID
    provider_refund_id: str | None
    amount: Money
    status: RefundStatus
    reason: str
    external: bool
    failure: str = ""
    key: FactKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequested:
    """Somebody asks for a refund. `disputed`: the bank has taken the money back, or may."""

    refund_id: UUID
    amount: Money | None
    reason: str
    disputed: bool
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFact:
    """A refund as the provider had it at `at` (its clock, seconds). `refund_id`: ours, where its metadata names one.

    `payment_id`: whose it is by the same metadata; None where that is not told.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundListFact:
    """Refunds of an intent, read together. `whole`: there are no others."""

    intent_id: str
    refunds: tuple[RefundFact, ...]
    whole: bool
    at: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRefused:
    """The provider refused to make a refund: nothing was given back."""

    refund_id: UUID
    code: str
    reason: str
    at: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundsMoved:
    """A charge's total of refunds, pending ones included, is now `total`; which refunds they are is not told."""

    intent_id: str
    total: Money
    at: int
    source: str


AnyRefundFact = RefundRequested | RefundFact | RefundListFact | RefundRefused | RefundsMoved


@dataclass(frozen=True, slots=True)
class RefundsChanged:
    """The payment with its sums, the refunds that changed, and what is to be told."""

    payment: Payment
    refunds: tuple[Refund, ...]
    announcements: tuple[Announcement, ...]


@dataclass(frozen=True, slots=True)
class ReadIntent:
    """The capture that this fact builds on is not known yet: read the intent, and take the fact again."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReadRefunds:
    """The sum would be more than was captured, so a fact is missing: read all refunds of the intent."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotRefundable:
    """The request can't be met. `remaining`: what could be refunded (None: nothing ever, in this state)."""

    code: str
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
            return _take(payment, refunds, (fact,))
        case RefundListFact():
            return _take_list(payment, refunds, fact)
        case RefundsMoved():
            return _compare(payment, fact)


def refundable(payment: Payment) -> Money:
    """What of the captured amount is neither refunded nor reserved."""
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
    asked = Refund(
        id=fact.refund_id,
        payment_id=payment.id,
        provider_refund_id=None,
        amount=amount,
        status=RefundStatus.PENDING,
        reason=fact.reason,
        external=False,
    )
    return _book(payment, refunds, [asked])


def _refuse(payment: Payment, refunds: Mapping[UUID, Refund], fact: RefundRefused) -> RefundVerdict:
    refund = refunds.get(fact.refund_id)
    if refund is None or refund.key is not None:
        return Ignored("known")
    failed = replace(refund, status=RefundStatus.FAILED, failure=fact.code, key=_refusal(fact.source))
    return _book(payment, refunds, [failed])


def _refusal(source: str) -> FactKey:
    """Below all: whatever the provider tells of this refund itself weighs more, also what it told before."""
    return FactKey(0, 0, 0, source)


def _take_list(payment: Payment, refunds: Mapping[UUID, Refund], fact: RefundListFact) -> RefundVerdict:
    verdict = _take(payment, refunds, fact.refunds)
    if isinstance(verdict, ReadRefunds):
        return Parked("unexpected_money", f"the refunds of {fact.intent_id} are more than {payment.captured} captured")
    return verdict


def _take(payment: Payment, refunds: Mapping[UUID, Refund], facts: Iterable[RefundFact]) -> RefundVerdict:
    now = dict(refunds)
    for fact in facts:
        if payment.provider_payment_id != fact.intent_id:
            return Parked(
                "unexpected_money", f"{fact.provider_refund_id} refunds {fact.intent_id}, not the payment's own"
            )
        if payment.captured.minor == 0:
            return ReadIntent(f"{fact.provider_refund_id} refunds what is not captured yet")
        refund = _find(payment, now, fact)
        if refund.amount != fact.amount:
            return Parked(
                "unexpected_money", f"{fact.provider_refund_id} is for {fact.amount}, asked for {refund.amount}"
            )
        now[refund.id] = _advance(refund, fact)
    changed = [refund for refund in now.values() if refund != refunds.get(refund.id)]
    return _book(payment, refunds, changed) if changed else Ignored("known")


def _find(payment: Payment, refunds: Mapping[UUID, Refund], fact: RefundFact) -> Refund:
    """Find by our own name, then by the provider's; with neither it was made by hand and is new here.

    One that bears a name of ours which is not known was asked of us: a restored backup has lost its row. It keeps that name, so
    that the same job finds it and what is announced of it is known to those who listen.
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
    refund = replace(refund, provider_refund_id=fact.provider_refund_id)
    rank, precedence = REFUND_STANDING[fact.status]
    key = FactKey(rank, fact.at, precedence, fact.source)
    if refund.key is not None and key <= refund.key:
        return refund
    return replace(refund, status=fact.status, failure=fact.failure, key=key)


def _compare(payment: Payment, fact: RefundsMoved) -> RefundVerdict:
    if payment.provider_payment_id != fact.intent_id:
        return Parked("unexpected_money", f"{fact.intent_id} was refunded and is not the payment's own intent")
    if fact.total.minor == payment.refunded.minor + payment.reserved.minor:
        return Ignored("known")
    if payment.captured.minor == 0:
        return ReadIntent(f"{fact.intent_id} was refunded before its capture is known")
    return ReadRefunds(f"{fact.total} are refunded at the provider")


def _book(payment: Payment, refunds: Mapping[UUID, Refund], changed: list[Refund]) -> RefundVerdict:
    """Put changed refunds beside the others, and sum them up."""
    now = {**refunds, **{refund.id: refund for refund in changed}}
    unit = payment.captured.currency
    refunded = sum(refund.amount.minor for refund in now.values() if refund.status is RefundStatus.SUCCEEDED)
    reserved = sum(refund.amount.minor for refund in now.values() if refund.status in _HOLDING)
    if refunded > payment.captured.minor:
        return ReadRefunds(f"{Money(refunded, unit)} of {payment.captured} captured would be refunded")
    payment = replace(payment, refunded=Money(refunded, unit), reserved=Money(reserved, unit))
    told = [_tell(payment, refunds.get(refund.id), refund) for refund in changed]
    return RefundsChanged(payment, tuple(changed), tuple(one for one in told if one is not None))


def _tell(payment: Payment, was: Refund | None, now: Refund) -> Announcement | None:
    if was is not None and (was.status is now.status or {was.status, now.status} <= _WITHOUT_EFFECT):
        return None
    # A refund that was refused may have been made after all, and fail then: a second announcement, under another name.
    refused = now.key is not None and now.key == _refusal(now.key.source)
    cause = f"{now.id}:{'refused' if refused else now.status}"
    if now.status is RefundStatus.SUCCEEDED:
        full = payment.refunded == payment.captured
        return Refunded(cause=cause, refund_id=now.id, amount=now.amount, total=payment.refunded, full=full)
    if now.status in _WITHOUT_EFFECT:
        code = now.failure or now.status.value
        return RefundFailed(cause=cause, refund_id=now.id, amount=now.amount, total=payment.refunded, code=code)
    if was is None:
        return RefundInitiated(cause=f"{now.id}:initiated", refund_id=now.id, amount=now.amount, reason=now.reason)
    return None
