"""Items that need attention in words: what each means, and what the runbook says to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from payment_service.domain import differences


@dataclass(frozen=True, slots=True)
class Guidance:
    """The meaning of an item and its paragraph of the runbook (docs/runbook.md)."""

    title: str
    meaning: str
    advice: str
    section: str


_OPERATION: Final = Guidance(
    "A call to the provider without a clear result",
    "The customer waits for this payment or refund, and later calls of the same payment wait too.",
    "Find the call at the provider by its request id, and correct the cause. Then try again: the service reads first and sends "
    "only what two reads, 60 s apart, do not find. It never sends a refund twice. If it cannot find out, look in the provider's "
    "dashboard and record what you saw.",
    "A parked operation",
)
_RECORD: Final = Guidance(
    "A record that Kafka refuses",
    "The shop does not learn what happened to this payment.",
    "Raise the topic's `max.message.bytes`, then try again. A topic that refuses all records is probed every 5 s and resumes by "
    "itself. No record is skipped.",
    "A parked record",
)
_QUARANTINE: Final = Guidance(
    "A record or webhook that the service cannot accept",
    "The customer of such an order cannot pay.",
    "The sender corrects it and sends it again. If the cause was ours, such as a limit, try it again after the correction. Close "
    "what nobody will send or accept again.",
    "PaymentQuarantined",
)
_OTHER: Final = Guidance(
    "Money without a payment",
    "A provider reports money that names no payment.",
    "Find its owner by name and amount and assign it with `payment-service bank confirm`, or transfer it back and close it.",
    "An unmatched transfer",
)
_EVENTS: Final = {
    "unexpected_money": (
        "The provider reports money that the payment does not expect.",
        "Compare with the provider. Refund there what the customer paid twice, then close it.",
    ),
    "conflict": (
        "The provider reports an end that differs from the payment's, without money.",
        "Compare with the provider, then close it.",
    ),
    "malformed": (
        "The service cannot read the event, and it does not name an object to read instead.",
        "Report it. A newer version tries it once.",
    ),
    "another_provider": ("The event names a payment of another provider.", "Close it."),
    "not_applicable": (
        "The database refused it, for example because its intent belongs to another payment.",
        "Read the log, then close it or report it.",
    ),
    "unmatched": ("No payment matched it for 72 hours.", "If the payment exists now, try again. Otherwise close it."),
}


def guidance(what: str, reason: str) -> Guidance:
    """Return the words for an item."""
    match what:
        case "operation":
            return _OPERATION
        case "record":
            return _RECORD
        case "quarantine":
            return _QUARANTINE
        case "event":
            meaning, advice = _EVENTS.get(
                reason, (reason.replace("_", " "), "Compare with the provider, then close it.")
            )
            return Guidance("An event that the service does not apply", meaning, advice, "A parked event")
        case "difference":
            advice = differences.describe(reason).action
            title = "A difference between the provider and our data"
            return Guidance(title, "Only a person can decide which side is right.", advice, "PaymentDifferencesOpen")
        case _:
            return _OTHER
