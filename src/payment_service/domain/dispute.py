"""The state machine of a payment's disputes: `apply_dispute(payment, dispute, fact) -> verdict`.

An inquiry (`warning_…`) only asks. A chargeback withdraws the money until it is won
(https://docs.stripe.com/disputes/how-disputes-work).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from payment_service.domain.events import PaymentEvent, utc
from payment_service.domain.ids import dispute_id
from payment_service.domain.payment import FactKey, Ignored, Parked, Payment
from payment_service.domain.refund import ReadIntent
from payment_service_events.types import DisputeClosed, Disputed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payment_service_events.money import Money


class DisputeStatus(StrEnum):
    """The status of a dispute, in Stripe's words (https://docs.stripe.com/api/disputes/object#dispute_object-status)."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    PREVENTED = "prevented"
    LOST = "lost"
    WON = "won"


# (rank, precedence). A chargeback follows an inquiry, which never reopens. A lost chargeback may still be won.
DISPUTE_STATUS_ORDER: Final[Mapping[DisputeStatus, tuple[int, int]]] = MappingProxyType(
    {
        DisputeStatus.WARNING_NEEDS_RESPONSE: (0, 0),
        DisputeStatus.WARNING_UNDER_REVIEW: (0, 1),
        DisputeStatus.WARNING_CLOSED: (1, 0),
        DisputeStatus.NEEDS_RESPONSE: (2, 0),
        DisputeStatus.UNDER_REVIEW: (2, 1),
        DisputeStatus.PREVENTED: (3, 0),
        DisputeStatus.LOST: (3, 1),
        DisputeStatus.WON: (3, 2),
    }
)
_CLOSED: Final = frozenset(
    {DisputeStatus.WARNING_CLOSED, DisputeStatus.PREVENTED, DisputeStatus.LOST, DisputeStatus.WON}
)
OPEN_DISPUTES: Final = frozenset(DisputeStatus) - _CLOSED
# While a chargeback is open or lost the bank has the money, so a refund would pay twice.
_FUNDS_WITHDRAWN: Final = frozenset({DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW, DisputeStatus.LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A bank's request to return money. `evidence_due_at`: seconds since 1970, None if no evidence is expected."""

    id: UUID
    payment_id: UUID
    provider_dispute_id: str
    amount: Money
    status: DisputeStatus
    reason: str
    evidence_due_at: int | None
    key: FactKey

    @property
    def funds_withdrawn(self) -> bool:
        """Return whether the bank has withdrawn the money."""
        return self.status in _FUNDS_WITHDRAWN

    @property
    def inquiry(self) -> bool:
        """Return whether the dispute is an inquiry."""
        return self.status.value.startswith("warning_")


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeFact:
    """A dispute as the provider reported it at `at` (its clock, seconds). Its currency may differ from the payment's."""

    intent_id: str
    provider_dispute_id: str
    amount: Money
    status: DisputeStatus
    reason: str
    evidence_due_at: int | None
    at: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeListFact:
    """All disputes of an intent as the provider listed them."""

    disputes: tuple[DisputeFact, ...]
    at: int
    source: str


@dataclass(frozen=True, slots=True)
class DisputeChanged:
    """The dispute after the fact, and the events to publish."""

    dispute: Dispute
    events: tuple[PaymentEvent, ...]


DisputeVerdict = DisputeChanged | ReadIntent | Ignored | Parked


def apply_dispute(payment: Payment, was: Dispute | None, fact: DisputeFact) -> DisputeVerdict:
    """Fold a fact into a dispute (None: it is new). Pure; never raises."""
    if payment.provider_payment_id != fact.intent_id:
        return Parked(
            "unexpected_money", f"{fact.provider_dispute_id} disputes {fact.intent_id}, not the payment's own"
        )
    if payment.captured.minor == 0:
        return ReadIntent(f"{fact.provider_dispute_id} disputes money that is not captured yet")
    rank, precedence = DISPUTE_STATUS_ORDER[fact.status]
    key = FactKey(rank, fact.at, precedence, fact.source)
    if was is not None and key <= was.key:
        return Ignored("known")
    now = Dispute(
        id=dispute_id(payment.id, fact.provider_dispute_id),
        payment_id=payment.id,
        provider_dispute_id=fact.provider_dispute_id,
        amount=fact.amount,
        status=fact.status,
        reason=fact.reason,
        evidence_due_at=fact.evidence_due_at,
        key=key,
    )
    if was is not None and replace(was, key=key) == now:
        return DisputeChanged(now, ())
    return DisputeChanged(now, _events_of(was, now))


def _events_of(was: Dispute | None, now: Dispute) -> tuple[PaymentEvent, ...]:
    """Return an event for an inquiry, its change to a chargeback, and the end. Evidence under review has none."""
    if now.status in _CLOSED:
        if was is not None and was.status is now.status:
            return ()
        closed = DisputeClosed(dispute_id=str(now.id), amount=now.amount, reason=now.reason, status=now.status.value)
        return (PaymentEvent(_close_cause(was, now), closed),)
    if was is not None and (was.inquiry == now.inquiry or not was.inquiry):
        return ()
    stage = "inquiry" if now.inquiry else "chargeback"
    disputed = Disputed(
        dispute_id=str(now.id),
        stage=stage,
        amount=now.amount,
        reason=now.reason,
        status=now.status.value,
        evidence_due_by=utc(now.evidence_due_at) if now.evidence_due_at is not None else None,
    )
    return (PaymentEvent(f"{now.id}:{stage}", disputed),)


def _close_cause(was: Dispute | None, now: Dispute) -> str:
    """Return the cause of a closing event. If a chargeback closes again with another result, add its time to tell both
    apart.
    """
    decided_before = was is not None and was.status in _CLOSED and not was.inquiry
    return f"{now.id}:{now.status}:{now.key.at}" if decided_before else f"{now.id}:{now.status}"
