"""The PaymentIntent's state machine as a table, and the function that applies a transition.

Statuses: https://docs.stripe.com/payments/paymentintents/lifecycle. Events: https://docs.stripe.com/api/events/types.
The charge's event comes before the intent's.
"""

from __future__ import annotations

from dataclasses import dataclass

from stripe_sandbox.errors import ApiError, Json
from stripe_sandbox.resources import charges, disputes
from stripe_sandbox.resources.events import emit
from stripe_sandbox.state import ledger
from stripe_sandbox.state.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition by one of `operations`, from any status in `origins`, to `status`.

    `effect` is its entry in the ledger. The bank triggers `settle` and the clock `expire`; API calls trigger the rest.
    """

    name: str
    operations: tuple[str, ...]
    when: str
    origins: frozenset[str]
    status: str
    charge_event: str | None = None
    intent_event: str | None = None
    effect: ledger.Effect | None = None

    @property
    def events(self) -> list[str]:
        """The events it emits, in order."""
        return [event for event in (self.charge_event, self.intent_event) if event is not None]


UNPAID = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
PROCESSING = frozenset({"processing"})
HELD = frozenset({"requires_capture"})
CHALLENGED = frozenset({"requires_action"})

CREATE = Transition(
    "create",
    ("create",),
    "without a payment method",
    frozenset(),
    "requires_payment_method",
    None,
    "payment_intent.created",
    "intent.created",
)
CREATE_WITH_METHOD = Transition(
    "create_with_method",
    ("create",),
    "with a payment method; `confirm=true` continues from here",
    frozenset(),
    "requires_confirmation",
    None,
    "payment_intent.created",
    "intent.created",
)
ATTACH = Transition("attach", ("update",), "to a payment method", UNPAID, "requires_confirmation")
APPROVE = Transition(
    "approve",
    ("confirm", "authenticate"),
    "approved, automatic capture",
    UNPAID,
    "succeeded",
    "charge.succeeded",
    "payment_intent.succeeded",
    "charge.captured",
)
AUTHORIZE = Transition(
    "authorize",
    ("confirm", "authenticate"),
    "approved, manual capture",
    UNPAID,
    "requires_capture",
    "charge.succeeded",
    "payment_intent.amount_capturable_updated",
    "charge.authorized",
)
CHALLENGE = Transition(
    "challenge",
    ("confirm",),
    "authentication required",
    UNPAID,
    "requires_action",
    None,
    "payment_intent.requires_action",
)
PEND = Transition(
    "pend",
    ("confirm",),
    "the bank decides later",
    UNPAID,
    "processing",
    "charge.pending",
    "payment_intent.processing",
    "charge.pending",
)
DECLINE = Transition(
    "decline",
    ("confirm", "authenticate"),
    "declined",
    UNPAID,
    "requires_payment_method",
    "charge.failed",
    "payment_intent.payment_failed",
    "charge.failed",
)
REFUSE = Transition(
    "refuse",
    ("confirm",),
    "authentication required, but off session",
    UNPAID,
    "requires_payment_method",
    None,
    "payment_intent.payment_failed",
)
EXHAUST = Transition(
    "exhaust",
    ("confirm",),
    "confirmed too often",
    UNPAID,
    "canceled",
    None,
    "payment_intent.canceled",
    "intent.canceled",
)
FAIL_AUTHENTICATION = Transition(
    "fail_authentication",
    ("authenticate",),
    "failed",
    CHALLENGED,
    "requires_payment_method",
    None,
    "payment_intent.payment_failed",
)
AWAIT_CONFIRMATION = Transition(
    "await_confirmation",
    ("authenticate",),
    "passed, manual confirmation",
    CHALLENGED,
    "requires_confirmation",
)
SETTLE = Transition(
    "settle",
    ("settle",),
    "the bank pays",
    PROCESSING,
    "succeeded",
    "charge.succeeded",
    "payment_intent.succeeded",
    "charge.captured",
)
BOUNCE = Transition(
    "bounce",
    ("settle",),
    "the bank returns the debit",
    PROCESSING,
    "requires_payment_method",
    "charge.failed",
    "payment_intent.payment_failed",
    "charge.failed",
)
CAPTURE = Transition(
    "capture",
    ("capture",),
    "full or partial",
    HELD,
    "succeeded",
    "charge.captured",
    "payment_intent.succeeded",
    "charge.captured",
)
CANCEL = Transition(
    "cancel",
    ("cancel",),
    "releases the hold, if there is one",
    UNPAID | HELD,
    "canceled",
    None,
    "payment_intent.canceled",
    "intent.canceled",
)
RECALL = Transition(
    "recall",
    ("cancel",),
    "a debit that the bank can recall: us_bank_account",
    PROCESSING,
    "canceled",
    None,
    "payment_intent.canceled",
    "intent.canceled",
)
EXPIRE = Transition(
    "expire",
    ("expire",),
    "the authorization expires",
    HELD,
    "canceled",
    "charge.expired",
    "payment_intent.canceled",
    "intent.canceled",
)

TRANSITIONS = (
    CREATE,
    CREATE_WITH_METHOD,
    ATTACH,
    APPROVE,
    AUTHORIZE,
    CHALLENGE,
    PEND,
    DECLINE,
    REFUSE,
    EXHAUST,
    FAIL_AUTHENTICATION,
    AWAIT_CONFIRMATION,
    SETTLE,
    BOUNCE,
    CAPTURE,
    CANCEL,
    RECALL,
    EXPIRE,
)

ALLOWED_STATUSES = {
    "confirm": UNPAID,
    "update": UNPAID,
    "authenticate": CHALLENGED,
    "settle": PROCESSING,
    "capture": HELD,
    "cancel": UNPAID | HELD | PROCESSING,
    "expire": HELD,
}

_STATUS_ERRORS = {
    "confirm": "You cannot confirm this PaymentIntent because it has a status of {}. Only a PaymentIntent with one of"
    " the following statuses may be confirmed: requires_payment_method, requires_confirmation, requires_action.",
    "capture": "This PaymentIntent could not be captured because it has a status of {}. Only a PaymentIntent with one"
    " of the following statuses may be captured: requires_capture.",
    "cancel": "You cannot cancel this PaymentIntent because it has a status of {}. Only a PaymentIntent with one of"
    " the following statuses may be canceled: requires_payment_method, requires_capture, requires_reauthorization,"
    " requires_confirmation, requires_action, expired, processing.",
    "authenticate": "This PaymentIntent cannot be authenticated because it has a status of {}; it must be"
    " requires_action.",
    "settle": "This PaymentIntent cannot be settled because it has a status of {}; it must be processing.",
}
_STATUS_ERRORS_SUCCEEDED = {
    "confirm": "You cannot confirm this PaymentIntent because it has already succeeded after being previously"
    " confirmed.",
    "capture": "The remaining amount on this PaymentIntent could not be captured because the remainder of the"
    " authorized amount has been released.",
}


def require_status(intent: Json, operation: str) -> None:
    """Raise `ApiError` 400 with the intent, as Stripe does, if its status forbids `operation`."""
    if intent["status"] not in ALLOWED_STATUSES[operation]:
        raise status_error(intent, operation)


def require_updatable(intent: Json, param: str) -> None:
    """Raise `ApiError` 400 unless `param` can still be updated; description and metadata always can."""
    status = intent["status"]
    if status in ALLOWED_STATUSES["update"]:
        return
    raise unexpected_state(
        f"This PaymentIntent's {param} could not be updated because it has a status of {status}. You may only"
        f" update the {param} of a PaymentIntent with one of the following statuses: requires_payment_method,"
        " requires_confirmation, requires_action.",
        intent,
        param,
    )


def status_error(intent: Json, operation: str) -> ApiError:
    """Return the 400 for an operation that the intent's status forbids."""
    messages = (
        _STATUS_ERRORS_SUCCEEDED
        if intent["status"] == "succeeded" and operation in _STATUS_ERRORS_SUCCEEDED
        else _STATUS_ERRORS
    )
    return unexpected_state(messages[operation].format(intent["status"]), intent)


def unexpected_state(message: str, intent: Json, param: str | None = None) -> ApiError:
    return ApiError(
        400,
        message,
        code="payment_intent_unexpected_state",
        param=param,
        extra={"payment_intent": intent},
    )


def enter(
    work: UnitOfWork,
    intent: Json,
    transition: Transition,
    charge: Json | None = None,
    amount: int | None = None,
) -> Json:
    """Store the intent in its new status, emit the events, record the ledger entry; returns the intent."""
    if transition.origins and intent["status"] not in transition.origins:
        raise AssertionError(f"{transition.name} from {intent['status']}")
    intent = {**intent, "status": transition.status}
    if charge is not None and transition.effect == "charge.captured":
        charge = charges.posted(work, intent, charge)
    if charge is not None:
        intent["latest_charge"] = charge["id"]
        work.tx.put("charge", charge["id"], charge)
    work.tx.put("payment_intent", intent["id"], intent)
    if transition.effect is not None:
        ledger.record(work, transition.effect, intent, charge, amount or intent["amount"])
    if transition.charge_event is not None and charge is not None:
        emit(work, transition.charge_event, charge)
    if charge is not None and transition.effect == "charge.captured":
        disputes.open_for_test_method(work, charge)
    if transition.intent_event is not None:
        emit(work, transition.intent_event, intent)
    return intent
