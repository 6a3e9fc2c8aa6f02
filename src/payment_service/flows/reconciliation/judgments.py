"""Judge an object of the provider against our rows. Pure.

A judgment with a fact is certain: the fold of the fact repairs our row. Any other needs attention. Our row alone never
decides: each judgment is about an object that the provider returned, or said that it does not have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payment_service.domain import differences as codes
from payment_service.domain.differences import Difference, Sides
from payment_service.domain.dispute import DisputeFact
from payment_service.domain.ids import operation_id
from payment_service.domain.payment import ChargeFact, IntentFact, Status
from payment_service.domain.refund import RefundFact
from payment_service.flows.state.system_operations import STRAY, SYSTEM
from payment_service.provider.listed_objects import ListedObject, ObjectKind
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payment_service.db.comparisons import CreatedRow, KnownDispute, KnownPayment, KnownRefund
    from payment_service.domain.facts import AnyFact

# Set by the provider itself, so nobody else canceled.
_AUTOMATIC: Final = frozenset({"automatic", "expired"})
_UNPAID: Final = frozenset({Status.PENDING, Status.REQUIRES_ACTION, Status.DECLINED})
_MISSING: Final = {
    ObjectKind.INTENT: codes.PAYMENT_MISSING,
    ObjectKind.REFUND: codes.REFUND_MISSING,
    ObjectKind.DISPUTE: codes.DISPUTE_MISSING,
}
MISSING: Final = frozenset(_MISSING.values())
_MALFORMED: Final = {
    ObjectKind.INTENT: codes.MALFORMED_INTENT,
    ObjectKind.CHARGE: codes.MALFORMED_CHARGE,
    ObjectKind.REFUND: codes.MALFORMED_REFUND,
    ObjectKind.DISPUTE: codes.MALFORMED_DISPUTE,
}
KINDS: Final = {
    **dict.fromkeys((codes.ORPHAN_CHARGE, codes.METHOD_DIFFERS, codes.MALFORMED_CHARGE), ObjectKind.CHARGE),
    **dict.fromkeys(
        (
            codes.REFUND_UNKNOWN,
            codes.REFUND_MISSING,
            codes.REFUND_OF_ANOTHER,
            codes.REFUND_AMOUNT_DIFFERS,
            codes.REFUND_STATUS_DIFFERS,
            codes.MALFORMED_REFUND,
        ),
        ObjectKind.REFUND,
    ),
    **dict.fromkeys(
        (codes.DISPUTE_UNKNOWN, codes.DISPUTE_MISSING, codes.DISPUTE_DIFFERS, codes.MALFORMED_DISPUTE),
        ObjectKind.DISPUTE,
    ),
}
"""The kind of the object of a code; all others are intents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Our rows about the objects of a page. `reported`: intents with an open difference; `ended`: finished operations."""

    deployment: str
    by_intent: Mapping[str, KnownPayment] = field(default_factory=dict)
    by_id: Mapping[UUID, KnownPayment] = field(default_factory=dict)
    refunds: Mapping[UUID, KnownRefund] = field(default_factory=dict)
    refunds_by_provider_id: Mapping[str, KnownRefund] = field(default_factory=dict)
    disputes: Mapping[str, KnownDispute] = field(default_factory=dict)
    ended: frozenset[UUID] = frozenset()
    reported: frozenset[str] = frozenset()

    def owner(self, listed: ListedObject) -> KnownPayment | None:
        """Return the payment whose own intent the object is, or is about."""
        return self.by_intent.get(listed.intent_id or "")

    def named(self, listed: ListedObject) -> UUID | None:
        """Return the payment that the metadata name, if they are of this deployment."""
        return listed.payment_id if listed.deployment == self.deployment else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """A difference. `fact`: its repair, or None. `in_flight`: a call about the payment may explain it."""

    difference: Difference
    fact: AnyFact | None = None
    in_flight: bool = False


def judge(listed: ListedObject, rows: Rows) -> list[Judgment] | None:
    """Return the differences of an object. None: it is of another program in the same account."""
    if not listed.relevant:
        return []
    match listed.kind:
        case ObjectKind.INTENT:
            return _judge_intent(listed, rows)
        case ObjectKind.CHARGE:
            return _judge_charge(listed, rows)
        case ObjectKind.REFUND:
            return _judge_refund(listed, rows)
        case ObjectKind.DISPUTE:
            return _judge_dispute(listed, rows)


def missing_object(kind: ObjectKind, row: CreatedRow) -> Judgment:
    """Judge a row whose object the provider does not have."""
    difference = Difference(
        sides=Sides.PROVIDER,
        code=_MISSING[kind],
        subject=row.object_id,
        payment_id=row.payment_id,
        detail=f"The provider has no {kind} {row.object_id}.",
        at=row.created_at,
    )
    return Judgment(difference=difference)


def stray_cancel_id(payment_id: UUID, intent_id: str) -> UUID:
    """Return the id of the operation that cancels an intent that is not the payment's own."""
    return operation_id(payment_id, Kind.CANCEL, SYSTEM, f"{STRAY}:{intent_id}")


def _judge_intent(listed: ListedObject, rows: Rows) -> list[Judgment] | None:
    owner, named = rows.owner(listed), rows.named(listed)
    if owner is not None:
        return _judge_own(listed, owner, named, rows)
    if named is None:
        return None
    status = listed.fact.status if isinstance(listed.fact, IntentFact) else "unreadable"
    payment = rows.by_id.get(named)
    if payment is None:
        detail = f"{listed.object_id} ({status}) names payment {named}, which has no row."
        return [_found(listed, codes.PAYMENT_UNKNOWN, named, detail)]
    if not isinstance(listed.fact, IntentFact):
        return [_malformed(listed, payment)]
    if payment.payment.provider_payment_id is None:
        detail = f"{listed.object_id} is {status}, our row has no intent."
        return [_found(listed, codes.INTENT_NOT_RECORDED, payment, detail, fact=listed.fact)]
    return _judge_second(listed, listed.fact, payment, rows)


def _judge_own(listed: ListedObject, owner: KnownPayment, named: UUID | None, rows: Rows) -> list[Judgment]:
    if named is not None and named != owner.payment.id:
        detail = f"{listed.object_id} names payment {named}, our row of it is payment {owner.payment.id}."
        return [_found(listed, codes.INTENT_OF_TWO, owner, detail)]
    if not isinstance(listed.fact, IntentFact):
        return [_malformed(listed, owner)]
    return [*_compare_own(listed, listed.fact, owner), *_compare_metadata(listed, owner, rows)]


def _compare_own(listed: ListedObject, fact: IntentFact, owner: KnownPayment) -> list[Judgment]:
    payment = owner.payment
    if fact.amount.currency != payment.amount.currency:
        detail = f"The provider has {fact.amount}, our row {payment.amount}."
        return [_found(listed, codes.CURRENCY_DIFFERS, owner, detail)]
    if fact.amount != payment.amount:
        detail = f"The provider has {fact.amount}, our row {payment.amount}."
        return [_found(listed, codes.AMOUNT_DIFFERS, owner, detail)]
    if not same_status(payment.status, fact.status):
        detail = f"The provider has {fact.status}, our row {payment.status}."
        return [_found(listed, _status_code(owner, fact), owner, detail, fact=fact)]
    if fact.status is Status.SUCCEEDED and fact.received != payment.captured:
        detail = f"The provider captured {fact.received}, our row has {payment.captured}."
        return [_found(listed, codes.CAPTURED_DIFFERS, owner, detail, fact=fact)]
    return []


def same_status(ours: Status, theirs: Status) -> bool:
    """Compare statuses. An intent loses its decline without an event when it is updated
    (https://docs.stripe.com/api/payment_intents/object#payment_intent_object-last_payment_error).
    """
    return ours is theirs or (ours is Status.DECLINED and theirs is Status.PENDING)


def _status_code(owner: KnownPayment, fact: IntentFact) -> str:
    if fact.status is Status.SUCCEEDED and owner.manual_capture and Kind.CAPTURE not in owner.kinds:
        return codes.CAPTURED_EXTERNALLY
    if fact.status is Status.CANCELED and Kind.CANCEL not in owner.kinds and fact.cancellation not in _AUTOMATIC:
        return codes.CANCELED_EXTERNALLY
    return codes.STATUS_DIFFERS


def _compare_metadata(listed: ListedObject, owner: KnownPayment, rows: Rows) -> list[Judgment]:
    theirs = (listed.deployment, listed.order_id, str(listed.payment_id))
    ours = (rows.deployment, owner.payment.order_id, str(owner.payment.id))
    if theirs == ours:
        return []
    detail = f"The provider has {'/'.join(map(str, theirs))}, our row {'/'.join(ours)}."
    return [_found(listed, codes.METADATA_DIFFERS, owner, detail)]


def _judge_second(listed: ListedObject, fact: IntentFact, payment: KnownPayment, rows: Rows) -> list[Judgment]:
    """Judge an intent of a payment that has another one. A canceled or refunded one holds no money."""
    if fact.status is Status.CANCELED or listed.returned:
        return []
    detail = f"{listed.object_id} is {fact.status}, the payment's own intent is {payment.payment.provider_payment_id}."
    if fact.status not in _UNPAID:
        return [_found(listed, codes.DUPLICATE_CHARGE, payment, detail)]
    ended = stray_cancel_id(payment.payment.id, listed.object_id) in rows.ended
    return [_found(listed, codes.SECOND_INTENT, payment, detail, fact=None if ended else fact)]


def _judge_charge(listed: ListedObject, rows: Rows) -> list[Judgment] | None:
    owner, named = rows.owner(listed), rows.named(listed)
    if owner is not None:
        return _compare_method(listed, owner)
    if named is None:
        return None
    # A difference of its intent is enough for the same cause.
    if listed.returned or listed.intent_id in rows.reported:
        return []
    detail = f"{listed.object_id} on {listed.intent_id or 'no intent'} names payment {named}."
    return [_found(listed, codes.ORPHAN_CHARGE, rows.by_id.get(named) or named, detail)]


def _compare_method(listed: ListedObject, owner: KnownPayment) -> list[Judgment]:
    if not isinstance(listed.fact, ChargeFact):
        return [_malformed(listed, owner)]
    if listed.fact.method == owner.payment.method:
        return []
    detail = f"The provider has {listed.fact.method}, our row {owner.payment.method or 'none'}."
    return [_found(listed, codes.METHOD_DIFFERS, owner, detail, fact=listed.fact)]


def _judge_refund(listed: ListedObject, rows: Rows) -> list[Judgment] | None:
    owner, fact = rows.owner(listed), listed.fact
    if not isinstance(fact, RefundFact):
        return None if owner is None else [_malformed(listed, owner)]
    known = rows.refunds_by_provider_id.get(fact.provider_refund_id)
    if known is None and fact.refund_id is not None:
        named = rows.refunds.get(fact.refund_id)
        known = named if named is not None and named.provider_refund_id is None else None
    if known is None:
        if owner is None:
            return None
        detail = f"{listed.object_id} of {fact.amount} is {fact.status} at the provider and has no row."
        return [_found(listed, codes.REFUND_UNKNOWN, owner, detail, fact=fact)]
    payment = owner or rows.by_id.get(known.payment_id)
    if payment is None or payment.payment.id != known.payment_id:
        detail = f"{listed.object_id} is of {listed.intent_id}, our row of payment {known.payment_id}."
        return [_found(listed, codes.REFUND_OF_ANOTHER, payment or known.payment_id, detail)]
    return _compare_refund(listed, fact, known, payment)


def _compare_refund(
    listed: ListedObject, fact: RefundFact, known: KnownRefund, payment: KnownPayment
) -> list[Judgment]:
    if fact.amount != known.amount:
        detail = f"The provider has {fact.amount}, our row {known.amount}."
        return [_found(listed, codes.REFUND_AMOUNT_DIFFERS, payment, detail)]
    if fact.status is not known.status or known.provider_refund_id is None:
        detail = f"The provider has {fact.status}, our row {known.status}."
        return [_found(listed, codes.REFUND_STATUS_DIFFERS, payment, detail, fact=fact)]
    return []


def _judge_dispute(listed: ListedObject, rows: Rows) -> list[Judgment] | None:
    owner, fact = rows.owner(listed), listed.fact
    if owner is None:
        return None
    if not isinstance(fact, DisputeFact):
        return [_malformed(listed, owner)]
    known = rows.disputes.get(listed.object_id)
    if known is None:
        detail = f"{listed.object_id} of {fact.amount} is {fact.status} at the provider and has no row."
        return [_found(listed, codes.DISPUTE_UNKNOWN, owner, detail, fact=fact)]
    theirs = (fact.status, fact.amount, fact.evidence_due_at)
    ours = (known.status, known.amount, known.evidence_due_at)
    if theirs == ours and known.payment_id == owner.payment.id:
        return []
    detail = f"The provider has {' '.join(map(str, theirs))}, our row {' '.join(map(str, ours))}."
    return [_found(listed, codes.DISPUTE_DIFFERS, owner, detail, fact=fact)]


def _malformed(listed: ListedObject, payment: KnownPayment) -> Judgment:
    return _found(listed, _MALFORMED[listed.kind], payment, f"{listed.object_id} cannot be read as a {listed.kind}.")


def _found(
    listed: ListedObject, code: str, payment: KnownPayment | UUID, detail: str, *, fact: AnyFact | None = None
) -> Judgment:
    known = None if isinstance(payment, UUID) else payment
    difference = Difference(
        sides=Sides.PROVIDER,
        code=code,
        subject=listed.object_id,
        payment_id=payment if isinstance(payment, UUID) else payment.payment.id,
        detail=detail,
        at=datetime.fromtimestamp(listed.created, UTC),
    )
    return Judgment(difference=difference, fact=fact, in_flight=known is not None and known.in_flight)
