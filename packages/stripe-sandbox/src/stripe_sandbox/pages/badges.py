"""How states look: a word and a tone, which the style sheet paints."""

from __future__ import annotations

from dataclasses import dataclass

from stripe_sandbox.errors import Json


@dataclass(frozen=True, slots=True)
class Badge:
    """`tone`: good, bad, wait, info or nothing."""

    text: str
    tone: str = ""


INTENT = {
    "succeeded": Badge("succeeded", "good"),
    "requires_capture": Badge("requires_capture", "info"),
    "processing": Badge("processing", "wait"),
    "requires_action": Badge("requires_action", "wait"),
    "requires_confirmation": Badge("requires_confirmation"),
    "requires_payment_method": Badge("requires_payment_method"),
    "canceled": Badge("canceled"),
}

_TONES = {
    "succeeded": "good",
    "delivered": "good",
    "enabled": "good",
    "won": "good",
    "warning_closed": "good",
    "pending": "wait",
    "needs_response": "wait",
    "warning_needs_response": "wait",
    "under_review": "wait",
    "warning_under_review": "wait",
    "requires_action": "wait",
    "failed": "bad",
    "lost": "bad",
    "abandoned": "bad",
    "dropped": "bad",
}


def of(word: str) -> Badge:
    """For charges, refunds, disputes, deliveries and endpoints."""
    return Badge(word, _TONES.get(word, ""))


def of_intent(intent: Json) -> Badge:
    return INTENT[intent["status"]]


def marks(charges: list[Json]) -> list[Badge]:
    """What the intent's status doesn't tell: the latest attempt declined, money given back, money disputed."""
    if not charges:
        return []
    charge = charges[-1]
    found = [Badge("declined", "bad")] if charge["status"] == "failed" else []
    if charge["captured"] and charge["refunded"]:
        found.append(Badge("refunded", "info"))
    elif given_back(charge):
        found.append(Badge("partially refunded", "info"))
    if charge["disputed"]:
        found.append(Badge("disputed", "bad"))
    return found


def given_back(charge: Json) -> int:
    """What was refunded, in minor units. The part of a charge that was never captured counts as refunded at Stripe."""
    captured: int = charge["amount_captured"]
    return captured - refundable(charge) if charge["captured"] else 0


def refundable(charge: Json) -> int:
    """What may still be refunded, in minor units."""
    rest: int = charge["amount"] - charge["amount_refunded"]
    return rest if charge["captured"] else 0
