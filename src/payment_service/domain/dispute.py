"""The state machine of a payment's disputes: `apply_dispute(payment, dispute, fact) -> verdict`.

An inquiry (`warning_…`) only asks. A chargeback withdraws the money until it is won
(https://docs.stripe.com/disputes/how-disputes-work). After a lost chargeback the shop may appeal (`appeal_…`).

The list of statuses is open. An unknown status is stored and published as it is, and the provider's own fields say who
has the money.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from payment_service.domain.early_facts import ReadIntent, check_intent
from payment_service.domain.ids import dispute_id
from payment_service.domain.payment import FactKey, Ignored, Parked, Payment
from payment_service.domain.payment_event import PaymentEvent, utc
from payment_service_events.published_events import DisputeClosed, Disputed

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
    APPEAL_NEEDS_RESPONSE = "appeal_needs_response"
    APPEAL_UNDER_REVIEW = "appeal_under_review"
    PREVENTED = "prevented"
    LOST = "lost"
    WON = "won"


def read_status(word: str) -> str:
    """Return the known status of this word, or the word itself."""
    return DisputeStatus(word) if word in _KNOWN else word


_KNOWN: Final = frozenset(DisputeStatus)
# (rank, precedence). A chargeback follows an inquiry, which never reopens. A decision may be appealed and changed: within
# a rank the provider's later second wins.
DISPUTE_STATUS_ORDER: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        DisputeStatus.WARNING_NEEDS_RESPONSE: (0, 0),
        DisputeStatus.WARNING_UNDER_REVIEW: (0, 1),
        DisputeStatus.WARNING_CLOSED: (1, 0),
        DisputeStatus.NEEDS_RESPONSE: (2, 0),
        DisputeStatus.UNDER_REVIEW: (2, 1),
        DisputeStatus.PREVENTED: (3, 0),
        DisputeStatus.LOST: (3, 1),
        DisputeStatus.APPEAL_NEEDS_RESPONSE: (3, 2),
        DisputeStatus.APPEAL_UNDER_REVIEW: (3, 3),
        DisputeStatus.WON: (3, 5),
    }
)
# Unknown statuses by their prefix. Any other is a step of an open chargeback.
_UNKNOWN_ORDER: Final[Mapping[str, tuple[int, int]]] = MappingProxyType({"warning": (0, 2), "appeal": (3, 4)})
_OTHER_ORDER: Final = (2, 2)
_DECIDED_RANK: Final = 3
CLOSED: Final = frozenset(
    {DisputeStatus.WARNING_CLOSED, DisputeStatus.PREVENTED, DisputeStatus.LOST, DisputeStatus.WON}
)
# While a chargeback is open or lost the bank has the money, so a refund would pay twice. For a status that is not listed
# here, the provider's own fields decide.
_FUNDS_WITHDRAWN: Final[Mapping[str, bool]] = MappingProxyType(
    {
        DisputeStatus.WARNING_NEEDS_RESPONSE: False,
        DisputeStatus.WARNING_UNDER_REVIEW: False,
        DisputeStatus.WARNING_CLOSED: False,
        DisputeStatus.NEEDS_RESPONSE: True,
        DisputeStatus.UNDER_REVIEW: True,
        DisputeStatus.PREVENTED: False,
        DisputeStatus.LOST: True,
        DisputeStatus.WON: False,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A bank's request to return money. `evidence_due_at`: seconds since 1970, None if no evidence is expected.

    `status`: a DisputeStatus, or the provider's word. `funds_withdrawn`: the bank has the money.
    """

    id: UUID
    payment_id: UUID
    provider_dispute_id: str
    amount: Money
    status: str
    reason: str
    evidence_due_at: int | None
    funds_withdrawn: bool
    key: FactKey

    @property
    def stage(self) -> str:
        """Return the stage of an open dispute: inquiry, chargeback, appeal, or unknown."""
        if self.status.startswith("warning_"):
            return "inquiry"
        if self.status.startswith("appeal_"):
            return "appeal"
        return "chargeback" if self.status in _KNOWN else "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeFact:
    """A dispute as the provider reported it at `at` (its clock, seconds). Its currency may differ from the payment's.

    `bank_has_money`: what the provider's fields say, for a status that does not say it. If in doubt, the bank has it.
    `from_read`: `at` is only the time of a reading, and `created_at` is the time at which the dispute was opened.
    """

    intent_id: str
    provider_dispute_id: str
    amount: Money
    status: str
    reason: str
    evidence_due_at: int | None
    at: int
    source: str
    bank_has_money: bool = True
    created_at: int | None = None
    from_read: bool = False

    @property
    def occurred_at(self) -> int | None:
        """Return when the dispute reached the status: at the event, or when it was opened. A read shows no other time."""
        if not self.from_read:
            return self.at
        return None if self.status in CLOSED else self.created_at


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
    if (premature := check_intent(payment, fact.intent_id, f"the dispute {fact.provider_dispute_id}")) is not None:
        return premature
    rank, precedence = _order_of(fact.status)
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
        funds_withdrawn=_FUNDS_WITHDRAWN.get(fact.status, fact.bank_has_money),
        key=key,
    )
    if was is not None and replace(was, key=key) == now:
        return DisputeChanged(now, ())
    return DisputeChanged(now, _events_of(was, now))


def _order_of(status: str) -> tuple[int, int]:
    return DISPUTE_STATUS_ORDER.get(status) or _UNKNOWN_ORDER.get(status.partition("_")[0], _OTHER_ORDER)


def _events_of(was: Dispute | None, now: Dispute) -> tuple[PaymentEvent, ...]:
    """Return an event for an inquiry, its change to a chargeback, each status of an appeal or of an unknown stage, and
    the end. Evidence under review has none.
    """
    if was is not None and was.status == now.status:
        return ()
    if now.status in CLOSED:
        closed = DisputeClosed(dispute_id=str(now.id), amount=now.amount, reason=now.reason, status=str(now.status))
        return (PaymentEvent(_close_cause(was, now), closed),)
    before = was.stage if was is not None else ""
    if now.stage == before and now.stage in {"inquiry", "chargeback"}:
        return ()
    disputed = Disputed(
        dispute_id=str(now.id),
        stage=now.stage,
        amount=now.amount,
        reason=now.reason,
        status=str(now.status),
        evidence_due_by=utc(now.evidence_due_at) if now.evidence_due_at is not None else None,
    )
    return (PaymentEvent(_stage_cause(before, now), disputed),)


def _stage_cause(before: str, now: Dispute) -> str:
    """Return the cause of a stage. An appeal or an unknown status may return, so its time tells both apart."""
    if now.stage in {"inquiry", "chargeback"} and before != "unknown":
        return f"{now.id}:{now.stage}"
    return f"{now.id}:{now.status}:{now.key.at}"


def _close_cause(was: Dispute | None, now: Dispute) -> str:
    """Return the cause of a closing event. After an earlier decision, add the time to tell the decisions apart."""
    decided_before = was is not None and was.key.rank == _DECIDED_RANK
    return f"{now.id}:{now.status}:{now.key.at}" if decided_before else f"{now.id}:{now.status}"
