"""Disputes of a payment: `apply_dispute(payment, dispute, fact) -> verdict`.

An inquiry (`warning_…`) asks; a chargeback takes the money until it is won (https://docs.stripe.com/disputes/how-disputes-work).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from payment_service.domain.events import Announcement, DisputeClosed, Disputed
from payment_service.domain.ids import dispute_id
from payment_service.domain.payment import FactKey, Ignored, Parked, Payment
from payment_service.domain.refund import ReadIntent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payment_service_events.money import Money


class DisputeStatus(StrEnum):
    """Where a dispute stands, in Stripe's words (https://docs.stripe.com/api/disputes/object#dispute_object-status)."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    PREVENTED = "prevented"
    LOST = "lost"
    WON = "won"


# (rank, precedence). A chargeback follows an inquiry, which does not open again, and may be won after it was lost.
DISPUTE_STANDING: Final[Mapping[DisputeStatus, tuple[int, int]]] = MappingProxyType(
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
# While a chargeback is open or lost the bank has the money, so a refund would pay twice.
_TAKES_THE_MONEY: Final = frozenset({DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW, DisputeStatus.LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A customer's bank asks for money back. `evidence_due_at`: seconds since 1970, None where nothing is awaited."""

    id: UUID
    payment_id: UUID
    provider_dispute_id: str
    amount: Money
    status: DisputeStatus
    reason: str
    evidence_due_at: int | None
    key: FactKey

    @property
    def takes_the_money(self) -> bool:
        """Whether the bank has the money, or has it for good."""
        return self.status in _TAKES_THE_MONEY

    @property
    def inquiry(self) -> bool:
        """Whether the bank only asks."""
        return self.status.value.startswith("warning_")


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeFact:
    """A dispute as the provider had it at `at` (its clock, seconds). Its currency may differ from the payment's."""

    intent_id: str
    provider_dispute_id: str
    amount: Money
    status: DisputeStatus
    reason: str
    evidence_due_at: int | None
    at: int
    source: str


@dataclass(frozen=True, slots=True)
class DisputeChanged:
    """The dispute as it is now, and what is to be told."""

    dispute: Dispute
    announcements: tuple[Announcement, ...]


DisputeVerdict = DisputeChanged | ReadIntent | Ignored | Parked


def apply_dispute(payment: Payment, was: Dispute | None, fact: DisputeFact) -> DisputeVerdict:
    """Fold a fact into a dispute (None: it is new). Pure; never raises."""
    if payment.provider_payment_id != fact.intent_id:
        return Parked(
            "unexpected_money", f"{fact.provider_dispute_id} disputes {fact.intent_id}, not the payment's own"
        )
    if payment.captured.minor == 0:
        return ReadIntent(f"{fact.provider_dispute_id} disputes what is not captured yet")
    rank, precedence = DISPUTE_STANDING[fact.status]
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
    return DisputeChanged(now, _tell(was, now))


def _tell(was: Dispute | None, now: Dispute) -> tuple[Announcement, ...]:
    """An inquiry, its turning into a chargeback, and the end are told; evidence that is looked at is not."""
    if now.status in _CLOSED:
        if was is not None and was.status is now.status:
            return ()
        return (DisputeClosed(cause=_end_of(was, now), dispute=now.id, **_shown(now)),)
    if was is not None and (was.inquiry == now.inquiry or not was.inquiry):
        return ()
    stage = "inquiry" if now.inquiry else "chargeback"
    due = now.evidence_due_at
    return (Disputed(cause=f"{now.id}:{stage}", dispute=now.id, stage=stage, evidence_due_at=due, **_shown(now)),)


def _end_of(was: Dispute | None, now: Dispute) -> str:
    """Name an end; that of a chargeback which had ended otherwise before by its time too, since it may come again."""
    decided_before = was is not None and was.status in _CLOSED and not was.inquiry
    return f"{now.id}:{now.status}:{now.key.at}" if decided_before else f"{now.id}:{now.status}"


def _shown(dispute: Dispute) -> dict[str, Any]:
    return {"amount": dispute.amount, "reason": dispute.reason, "status": dispute.status.value}
