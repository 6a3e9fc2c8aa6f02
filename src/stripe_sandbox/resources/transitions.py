"""The PaymentIntent's state machine as a table, and the one function that walks it.

Statuses and events: https://docs.stripe.com/payments/paymentintents/lifecycle and
https://docs.stripe.com/api/events/types. The charge's event is generated before the intent's.
"""

from __future__ import annotations

from dataclasses import dataclass

from stripe_sandbox.errors import ApiError, Json
from stripe_sandbox.resources.events import emit
from stripe_sandbox.state import ledger
from stripe_sandbox.state.work import Work


@dataclass(frozen=True, slots=True)
class Transition:
    """From any status in `origins` to `status`; `effect` is the ledger's word for it."""

    name: str
    origins: frozenset[str]
    status: str
    charge_event: str | None
    intent_event: str | None
    effect: str | None


UNPAID = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
PROCESSING = frozenset({"processing"})
HELD = frozenset({"requires_capture"})
CHALLENGED = frozenset({"requires_action"})

APPROVE = Transition(
    "approve",
    UNPAID,
    "succeeded",
    "charge.succeeded",
    "payment_intent.succeeded",
    "charge.captured",
)
AUTHORIZE = Transition(
    "authorize",
    UNPAID,
    "requires_capture",
    "charge.succeeded",
    "payment_intent.amount_capturable_updated",
    "charge.authorized",
)
CHALLENGE = Transition("challenge", UNPAID, "requires_action", None, "payment_intent.requires_action", None)
PEND = Transition("pend", UNPAID, "processing", "charge.pending", "payment_intent.processing", "charge.pending")
DECLINE = Transition(
    "decline",
    UNPAID,
    "requires_payment_method",
    "charge.failed",
    "payment_intent.payment_failed",
    "charge.failed",
)
FAIL_AUTHENTICATION = Transition(
    "fail_authentication",
    CHALLENGED,
    "requires_payment_method",
    None,
    "payment_intent.payment_failed",
    None,
)
AWAIT_CONFIRMATION = Transition("await_confirmation", CHALLENGED, "requires_confirmation", None, None, None)
SETTLE = Transition(
    "settle",
    PROCESSING,
    "succeeded",
    "charge.succeeded",
    "payment_intent.succeeded",
    "charge.captured",
)
BOUNCE = Transition(
    "bounce",
    PROCESSING,
    "requires_payment_method",
    "charge.failed",
    "payment_intent.payment_failed",
    "charge.failed",
)
CAPTURE = Transition(
    "capture",
    HELD,
    "succeeded",
    "charge.captured",
    "payment_intent.succeeded",
    "charge.captured",
)
CANCEL = Transition("cancel", UNPAID | HELD, "canceled", None, "payment_intent.canceled", "intent.canceled")

LEGAL = {
    "confirm": UNPAID,
    "update": UNPAID,
    "authenticate": CHALLENGED,
    "settle": PROCESSING,
    "capture": HELD,
    "cancel": UNPAID | HELD,
}


def demand(intent: Json, operation: str) -> None:
    """Raises `ApiError` 400 with the intent, as Stripe does, when its status forbids it."""
    if intent["status"] in LEGAL[operation]:
        return
    raise unexpected_state(
        f"You cannot {operation} this PaymentIntent because it has a status of"
        f" {intent['status']}. Only a PaymentIntent with one of the following statuses allows it:"
        f" {', '.join(sorted(LEGAL[operation]))}.",
        intent,
    )


def unexpected_state(message: str, intent: Json) -> ApiError:
    return ApiError(
        400,
        message,
        code="payment_intent_unexpected_state",
        extra={"payment_intent": intent},
    )


def enter(
    work: Work,
    intent: Json,
    transition: Transition,
    charge: Json | None = None,
    amount: int | None = None,
) -> Json:
    """Store the intent in its new status, emit the events, write the ledger; returns the intent."""
    intent = {**intent, "status": transition.status}
    if charge is not None:
        intent["latest_charge"] = charge["id"]
        work.tx.put("charge", charge["id"], charge)
    work.tx.put("payment_intent", intent["id"], intent)
    if transition.charge_event is not None and charge is not None:
        emit(work, transition.charge_event, charge)
    if transition.intent_event is not None:
        emit(work, transition.intent_event, intent)
    if transition.effect is not None:
        ledger.record(work, transition.effect, intent, charge, amount or intent["amount"])
    return intent
