"""Statuses as words for people, with the tone of their badge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Badge:
    """A badge: its text and tone (good, bad, wait, info or none)."""

    text: str
    tone: str


_PAYMENTS: Final = {
    "created": Badge("being created", "info"),
    "pending": Badge("waits for the customer", "wait"),
    "requires_action": Badge("customer must confirm", "wait"),
    "processing": Badge("bank is processing", "wait"),
    "declined": Badge("declined, may try again", "bad"),
    "authorized": Badge("authorized, not captured", "info"),
    "succeeded": Badge("paid", "good"),
    "partially_refunded": Badge("partly refunded", "info"),
    "refunded": Badge("refunded", "info"),
    "canceled": Badge("canceled", ""),
    "failed": Badge("failed", "bad"),
}
_REFUNDS: Final = {
    "pending": Badge("on its way", "wait"),
    "requires_action": Badge("needs action", "wait"),
    "succeeded": Badge("refunded", "good"),
    "failed": Badge("failed", "bad"),
    "canceled": Badge("canceled", ""),
}
_DISPUTES: Final = {
    "warning_needs_response": Badge("inquiry, answer it", "wait"),
    "warning_under_review": Badge("inquiry, under review", "info"),
    "warning_closed": Badge("inquiry closed", ""),
    "needs_response": Badge("needs evidence", "bad"),
    "under_review": Badge("under review", "info"),
    "appeal_needs_response": Badge("appeal, needs evidence", "bad"),
    "appeal_under_review": Badge("appeal, under review", "info"),
    "prevented": Badge("prevented", "good"),
    "won": Badge("won", "good"),
    "lost": Badge("lost", "bad"),
}
_ATTEMPTS: Final = {
    "pending": Badge("bank decides", "wait"),
    "declined": Badge("declined", "bad"),
    "succeeded": Badge("accepted", "good"),
}


def of_payment(status: str) -> Badge:
    """Return the badge of a payment's status."""
    return _PAYMENTS.get(status, Badge(status.replace("_", " "), ""))


def of_refund(status: str) -> Badge:
    """Return the badge of a refund's status."""
    return _REFUNDS.get(status, Badge(status.replace("_", " "), ""))


def of_attempt(status: str) -> Badge:
    """Return the badge of the status of an attempt to pay."""
    return _ATTEMPTS.get(status, Badge(status.replace("_", " "), ""))


def of_dispute(status: str) -> Badge:
    """Return the badge of a dispute's status; the provider may add words."""
    return _DISPUTES.get(status, Badge(status.replace("_", " "), "wait"))
