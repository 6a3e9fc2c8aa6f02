"""Badges: the text and color class of each state."""

from __future__ import annotations

from dataclasses import dataclass

from stripe_sandbox.errors import Json


@dataclass(frozen=True, slots=True)
class Badge:
    """`tone` is good, bad, wait, info or empty."""

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
    """Return the badge of a charge, refund, dispute, delivery or endpoint."""
    return Badge(word, _TONES.get(word, ""))


def of_intent(intent: Json) -> Badge:
    return INTENT[intent["status"]]


def marks(charges: list[Json]) -> list[Badge]:
    """Return badges for facts the status does not show: declined, refunded, disputed."""
    if not charges:
        return []
    charge = charges[-1]
    found = [Badge("declined", "bad")] if charge["status"] == "failed" else []
    if charge["captured"] and charge["refunded"]:
        found.append(Badge("refunded", "info"))
    elif refunded_amount(charge):
        found.append(Badge("partially refunded", "info"))
    if charge["disputed"]:
        found.append(Badge("disputed", "bad"))
    return found


def refunded_amount(charge: Json) -> int:
    """Return the refunded amount in minor units."""
    refunded: int = charge["amount_refunded"]
    return refunded


def refundable(charge: Json) -> int:
    """Return the amount that can still be refunded, in minor units."""
    rest: int = charge["amount_captured"] - charge["amount_refunded"]
    return rest
