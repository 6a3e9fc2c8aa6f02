"""Items that need attention in words: what each means, and what the runbook says to do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from markupsafe import Markup

from payment_service.domain import differences


@dataclass(frozen=True, slots=True)
class Guidance:
    """The meaning of an item and the heading of its section in docs/runbook.md. `advice`: what to do for just this reason."""

    title: str
    meaning: str
    section: str
    advice: str = ""


_OPERATION: Final = Guidance(
    "A call to the provider without a clear result",
    "The customer waits for this payment or refund, and later calls of the same payment wait too.",
    "A parked operation",
)
_RECORD: Final = Guidance(
    "A record that Kafka refuses",
    "The shop does not learn what happened to this payment.",
    "A parked record",
)
_QUARANTINE: Final = Guidance(
    "A record or webhook that the service cannot accept",
    "The customer of such an order cannot pay.",
    "PaymentQuarantined",
)
_OTHER: Final = Guidance(
    "Money without a payment",
    "A provider reports money that names no payment.",
    "An unmatched transfer",
)
_EVENTS: Final = {
    "unexpected_money": "The provider reports money that the payment does not expect.",
    "conflict": "The provider reports an end that differs from the payment's, without money.",
    "malformed": "The service cannot read the event, and it does not name an object to read instead.",
    "another_provider": "The event names a payment of another provider.",
    "not_applicable": "The database refused it, for example because its intent belongs to another payment.",
    "unmatched": "No payment matched it for 72 hours.",
}
_EVENT: Final = "A parked event"
_UNEXPECTED_MONEY: Final = "PaymentUnexpectedMoney"
_DIFFERENCE: Final = "PaymentDifferencesOpen"
SECTIONS: Final = (
    *(one.section for one in (_OPERATION, _RECORD, _QUARANTINE, _OTHER)),
    _EVENT,
    _UNEXPECTED_MONEY,
    _DIFFERENCE,
)
# `make docs` derives it from docs/runbook.md.
RUNBOOK_FILE: Final = Path(__file__).with_name("runbook.json")


@cache
def runbook() -> dict[str, Markup]:
    """Return the sections of the runbook as HTML, by their headings."""
    return {title: Markup(text) for title, text in json.loads(RUNBOOK_FILE.read_text()).items()}  # noqa: S704 - our own file


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
            meaning = _EVENTS.get(reason, reason.replace("_", " "))
            section = _UNEXPECTED_MONEY if reason == "unexpected_money" else _EVENT
            return Guidance("An event that the service does not apply", meaning, section)
        case "difference":
            advice = differences.describe(reason).action
            title = "A difference between the provider and our data"
            return Guidance(title, "Only a person can decide which side is right.", _DIFFERENCE, advice)
        case _:
            return _OTHER
