"""Decisions of the ledger as provider events: built once, stored, and translated into facts. Pure.

The id of an event is made of its content, so a transfer that is imported twice is one event.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from payment_service.domain.payment import IntentFact, Status
from payment_service.domain.refund import RefundFact, RefundStatus
from payment_service.domain.unexpected import UnexpectedFact
from payment_service.provider.port import Disposition, ProviderEvent
from payment_service_events.currency import currency
from payment_service_events.money import Money

if TYPE_CHECKING:
    from payment_service.bank_transfer.statement import Transfer
    from payment_service.domain.facts import AnyFact

PROVIDER: Final = "bank_transfer"
MATCHED: Final = "transfer.matched"  # the amount of an open intent
UNEXPECTED: Final = "transfer.unexpected"  # names a payment, with another amount or at the wrong time
UNMATCHED: Final = "transfer.unmatched"  # names no payment
CLOSED: Final = "transfer.closed"  # was unmatched, until an operator closed it: it pays nothing any more
REFUND_ENDED: Final = "refund.ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A requested payment. `ended_at` is the time of the booking or of the cancellation."""

    reference: str
    payment_id: UUID
    amount: Money
    status: Status
    created_at: datetime
    ended_at: datetime | None

    def fact(self, *, source: str, as_created: bool = False) -> IntentFact:
        """Return the intent as a fact, as it is now or as it was created."""
        status = Status.PENDING if as_created else self.status
        at = self.created_at if as_created or self.ended_at is None else self.ended_at
        return IntentFact(
            intent_id=self.reference,
            status=status,
            at=int(at.timestamp()),
            source=source,
            from_event=False,
            amount=self.amount,
            received=self.amount if status is Status.SUCCEEDED else Money(0, self.amount.currency),
            method=PROVIDER,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRefund:
    """A requested transfer back, with the result that an operator entered."""

    refund_id: UUID
    payment_id: UUID
    reference: str
    amount: Money
    status: RefundStatus
    failure: str
    updated_at: datetime

    def fact(self, *, source: str) -> RefundFact:
        """Return the refund as a fact."""
        return RefundFact(
            intent_id=self.reference,
            provider_refund_id=provider_refund_id(self.refund_id),
            refund_id=self.refund_id,
            amount=self.amount,
            status=self.status,
            failure=self.failure,
            at=int(self.updated_at.timestamp()),
            source=source,
            payment_id=self.payment_id,
        )


def provider_refund_id(refund_id: UUID) -> str:
    """Return the ledger's id of a refund."""
    return f"transfer-back-{refund_id}"


def transfer_event(
    transfer: Transfer, account: str, intent: Intent | None, reason: str, *, was_unmatched: bool = False
) -> ProviderEvent:
    """Build the event of a transfer. `intent` is the one it names. `reason` says why it does not pay that, or is empty.

    `was_unmatched`: an earlier event reported it without a reference, so this one needs another id.
    """
    kind = UNMATCHED if intent is None else UNEXPECTED if reason else MATCHED
    data = {
        "transaction_id": transfer.transaction_id,
        "amount": transfer.amount.minor,
        "currency": transfer.amount.currency.code,
        "booked_on": transfer.booked_on.isoformat(),
        "text": transfer.text,
        "reason": reason,
    }
    if intent is not None:
        data |= {"reference": intent.reference, "payment_id": str(intent.payment_id), "asked": str(intent.amount)}
    name = f"transfer:{account}:{transfer.transaction_id}"
    return _event(f"{name}:found" if was_unmatched else name, kind, booked_at(transfer), data)


def refund_event(refund: LedgerRefund) -> ProviderEvent:
    """Build the event of a transfer back whose result an operator entered."""
    data = {
        "refund_id": str(refund.refund_id),
        "payment_id": str(refund.payment_id),
        "reference": refund.reference,
        "amount": refund.amount.minor,
        "currency": refund.amount.currency.code,
        "status": refund.status.value,
        "failure": refund.failure,
    }
    return _event(f"refund:{refund.refund_id}:{refund.status}", REFUND_ENDED, refund.updated_at, data)


def booked_at(transfer: Transfer) -> datetime:
    """Return the time of a booking. Banks report only the day."""
    return datetime.combine(transfer.booked_on, time(), UTC)


def _event(event_id: str, kind: str, at: datetime, data: dict[str, Any]) -> ProviderEvent:
    return translate({"id": event_id, "type": kind, "created": int(at.timestamp()), "data": data})


def translate(event: dict[str, Any]) -> ProviderEvent:
    """Translate a stored event. An unknown type has no fact."""
    data = event["data"]
    named = data.get("payment_id")
    return ProviderEvent(
        provider=PROVIDER,
        event_id=event["id"],
        event_type=event["type"],
        occurred_at=event["created"],
        payload=json.dumps(event, ensure_ascii=False),
        disposition=Disposition.EXTERNAL if event["type"] == UNMATCHED else Disposition.APPLY,
        payment_id=UUID(named) if named else None,
        intent_id=data.get("reference"),
        fact=_fact(event["type"], data, at=event["created"], source=event["id"]),
    )


def _fact(kind: str, data: dict[str, Any], *, at: int, source: str) -> AnyFact | None:
    amount = Money(data["amount"], currency(data["currency"]))
    match kind:
        case "transfer.matched":
            return IntentFact(
                intent_id=data["reference"],
                status=Status.SUCCEEDED,
                at=at,
                source=source,
                from_event=True,
                amount=amount,
                received=amount,
                method=PROVIDER,
            )
        case "transfer.unexpected":
            detail = f"{data['transaction_id']} transferred {amount}, requested was {data['asked']}: {data['reason']}"
            return UnexpectedFact(detail=detail, at=at, source=source)
        case "refund.ended":
            return RefundFact(
                intent_id=data["reference"],
                provider_refund_id=provider_refund_id(UUID(data["refund_id"])),
                refund_id=UUID(data["refund_id"]),
                amount=amount,
                status=RefundStatus(data["status"]),
                failure=data["failure"],
                at=at,
                source=source,
            )
        case _:
            return None
