"""A payment's history in plain language, from its timeline. The technical entries stay behind a toggle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payment_service.contracts.timeline import (
    CancellationEntry,
    DisputeEntry,
    OperationEntry,
    OrderEntry,
    PaymentAttemptEntry,
    RefundEntry,
    RequestEntry,
    TransitionEntry,
)
from payment_service.pages.formatting import money, words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from payment_service.contracts.timeline import TimelineEntry

_REACHED: Final = {
    "pending": "The payment is ready: the customer can pay.",
    "requires_action": "The bank asks the customer to confirm the payment (3-D Secure).",
    "processing": "The customer's bank is processing the payment.",
    "declined": "The payment was declined. The customer may try again, with this or another card.",
    "authorized": "The bank authorized the amount. It is held until somebody captures it.",
    "succeeded": "The money is collected: the customer has paid.",
    "canceled": "The payment is canceled. The customer was not charged.",
    "failed": "The payment ended without money.",
}
_CALLS: Final = {
    "create": "preparing the payment",
    "capture": "the capture",
    "cancel": "the cancellation",
    "refund": "the refund",
    "retrieve": "reading the payment",
}
_REQUESTS: Final = {
    "refund": "asked for a refund",
    "capture": "asked for the capture",
    "cancel": "asked for the cancellation",
    "refund.request_approval": "asked a second person to approve a refund",
    "refund.decline": "declined the refund",
    "outbox.republish": "published the records again",
    "attention.retry": "let the service try again what was parked",
    "attention.resolve": "decided what was parked",
}
_REFUNDS: Final = {
    "pending": "It is on its way to the customer's bank.",
    "requires_action": "It waits for an action at the provider.",
    "succeeded": "The provider has sent it; banks show it within 5 to 10 days.",
    "failed": "It failed: the customer did not get it.",
    "canceled": "It was canceled: the customer did not get it.",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence of the history. `note`: a person wrote it."""

    at: datetime
    text: str
    note: bool = False


def summarize(entries: Iterable[TimelineEntry], *, provider: str) -> list[Line]:
    """Return the sentences that matter to a customer or to support, in order. `provider`: its name for people."""
    found = list(entries)
    # An attempt has more details than the change of status that it causes.
    attempted = {entry.status for entry in found if isinstance(entry, PaymentAttemptEntry)}
    lines = [_line(entry, provider) for entry in found if not _has_attempt(entry, attempted)]
    return [line for line in lines if line is not None]


def _has_attempt(entry: TimelineEntry, attempted: Collection[str]) -> bool:
    return isinstance(entry, TransitionEntry) and entry.to_status == "declined" and "declined" in attempted


def _line(entry: TimelineEntry, provider: str) -> Line | None:
    match entry:
        case OrderEntry():
            again = f" (payment {entry.payment_attempt} of this order)" if entry.payment_attempt > 1 else ""
            return Line(entry.at, f"The shop ordered {money(entry.amount, entry.currency)}{again}.")
        case CancellationEntry():
            reason = f": {entry.reason}" if entry.reason else ""
            return Line(entry.at, f"The shop canceled the order{reason}.")
        case TransitionEntry(from_status=before, to_status=after) if before != after and after in _REACHED:
            return Line(entry.at, _REACHED[after])
        case RequestEntry():
            return _request(entry)
        case PaymentAttemptEntry():
            return _attempt(entry)
        case OperationEntry(state="parked"):
            return Line(entry.at, f"{provider} gave no clear answer to {_CALLS[entry.operation]}: it needs attention.")
        case RefundEntry():
            made = f" made at {provider}" if entry.external else ""
            status = _REFUNDS.get(entry.status, f"It is {words(entry.status)}.")
            return Line(entry.at, f"A refund of {money(entry.amount, entry.currency)}{made} began. {status}")
        case DisputeEntry():
            amount = money(entry.amount, entry.currency)
            return Line(
                entry.at, f"The customer's bank disputes {amount} ({words(entry.reason)}). It is {words(entry.status)}."
            )
        case _:
            return None


def _attempt(entry: PaymentAttemptEntry) -> Line:
    method = entry.payment_method.in_words()
    match entry.status:
        case "succeeded":
            return Line(entry.at, f"The customer used {method}, and the bank accepted.")
        case "declined":
            code = f" ({words(entry.decline_code)})" if entry.decline_code else ""
            return Line(entry.at, f"The customer tried {method}, and it was declined{code}. They may try again.")
        case _:
            return Line(entry.at, f"The customer used {method}. The bank has not decided yet.")


def _request(entry: RequestEntry) -> Line:
    who = entry.client.partition(":")[2] or entry.client
    if entry.action == "note":
        return Line(entry.at, f"{who}: {entry.asked.get('note', '')}", note=True)
    done = _REQUESTS.get(entry.action, f"requested: {entry.action}")
    amount = f" of {entry.asked['amount']}" if entry.asked.get("amount") else ""
    reason = f", because: {why}" if (why := entry.why or entry.asked.get("reason")) else ""
    return Line(entry.at, f"{who} {done}{amount}{reason}.")
