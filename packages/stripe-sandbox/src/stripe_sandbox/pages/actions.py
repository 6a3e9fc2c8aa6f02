"""The buttons of a payment: their effects and when they are offered.

Each runs the same operation as the API or the control API, in its own unit of work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stripe_sandbox.errors import Json
from stripe_sandbox.pages import money
from stripe_sandbox.pages.badges import refundable
from stripe_sandbox.resources import bank_debits, captures, disputes, intents, payment_attempts, refunds
from stripe_sandbox.resources.dispute_cases import DisputeCase
from stripe_sandbox.resources.transitions import ALLOWED_STATUSES
from stripe_sandbox.state.unit_of_work import UnitOfWork

Form = dict[str, str]


@dataclass(frozen=True, slots=True)
class Action:
    """A button's text, the notice shown when it is done, its style, and the operation it runs."""

    text: str
    done: str
    tone: str
    run: Callable[[UnitOfWork, Json, Form], object]


@dataclass(frozen=True, slots=True)
class Button:
    """An action on a page: its name in the URL, and its amount in minor units if it takes one."""

    name: str
    action: Action
    amount: int | None = None


def _authenticate(*, succeeded: bool) -> Callable[[UnitOfWork, Json, Form], object]:
    return lambda work, intent, form: payment_attempts.authenticate(work, intent, succeeded=succeeded)


def _settle(*, succeeded: bool) -> Callable[[UnitOfWork, Json, Form], object]:
    return lambda work, intent, form: bank_debits.settle(work, intent, succeeded=succeeded)


def _capture(work: UnitOfWork, intent: Json, form: Form) -> None:
    captures.capture(work, _amount(form, intent, "amount_to_capture"), {"id": intent["id"]})


def _cancel(work: UnitOfWork, intent: Json, form: Form) -> None:
    intents.cancel(work, {"cancellation_reason": "requested_by_customer"}, {"id": intent["id"]})


def _refund(work: UnitOfWork, intent: Json, form: Form) -> None:
    refunds.create(work, {"payment_intent": intent["id"], **_amount(form, intent, "amount")}, {})


def _dispute(*, inquiry: bool) -> Callable[[UnitOfWork, Json, Form], object]:
    def run(work: UnitOfWork, intent: Json, form: Form) -> None:
        disputes.dispute_captured(work, intent["latest_charge"] or "", DisputeCase("fraudulent", inquiry), None)

    return run


def _settle_refund(outcome: str) -> Callable[[UnitOfWork, Json, Form], object]:
    return lambda work, intent, form: refunds.settle(work, refunds.existing(work, form.get("object", "")), outcome)


def _close_dispute(outcome: str) -> Callable[[UnitOfWork, Json, Form], object]:
    return lambda work, intent, form: disputes.rule(work, form.get("object", ""), outcome)


def _amount(form: Form, intent: Json, name: str) -> Json:
    """Return the amount field as a parameter; an empty field means the full amount."""
    text = form.get("amount", "").strip()
    return {name: money.parse(text, intent["currency"])} if text else {}


ACTIONS = {
    "pass": Action("Pass 3-D Secure", "The customer passed 3-D Secure.", "first", _authenticate(succeeded=True)),
    "fail": Action("Fail 3-D Secure", "The customer failed 3-D Secure.", "", _authenticate(succeeded=False)),
    "settle": Action("Settle the debit", "The bank paid the debit.", "first", _settle(succeeded=True)),
    "bounce": Action("Bounce the debit", "The bank bounced the debit.", "", _settle(succeeded=False)),
    "capture": Action("Capture", "Captured.", "first", _capture),
    "cancel": Action("Cancel the payment", "The payment is canceled.", "danger", _cancel),
    "refund": Action("Refund", "The refund was created.", "first", _refund),
    "dispute": Action("Open a dispute", "The customer disputed the payment.", "", _dispute(inquiry=False)),
    "inquire": Action("Open an inquiry", "The customer's bank opened an inquiry.", "", _dispute(inquiry=True)),
    "refund-succeed": Action("Succeed", "The refund succeeded.", "", _settle_refund("succeed")),
    "refund-fail": Action("Fail", "The refund failed.", "", _settle_refund("fail")),
    "dispute-won": Action("Won", "The shop won the dispute.", "", _close_dispute("won")),
    "dispute-lost": Action("Lost", "The shop lost the dispute.", "", _close_dispute("lost")),
    "dispute-dismissed": Action("Dismiss", "The inquiry was dismissed.", "", _close_dispute("warning_closed")),
}

ENDED = frozenset({"won", "lost", "warning_closed", "prevented"})
"""Final statuses of a dispute."""

# Buttons by operation; the operation's allowed statuses apply to the button too.
_OF_INTENT = {
    "authenticate": ("pass", "fail"),
    "settle": ("settle", "bounce"),
    "capture": ("capture",),
    "cancel": ("cancel",),
}


def for_payment(intent: Json, charges: list[Json], disputed: list[Json]) -> list[Button]:
    """Return the buttons that the payment's state allows."""
    allowed = (operation for operation in _OF_INTENT if intent["status"] in ALLOWED_STATUSES[operation])
    names = [name for operation in allowed for name in _OF_INTENT[operation]]
    found = [_button(name, intent["amount_capturable"] if name == "capture" else None) for name in names]
    rest = refundable(charges[-1]) if charges else 0
    if rest and not any(_charged_back(dispute) for dispute in disputed):
        found.append(_button("refund", rest))
    if rest and all(dispute["status"] in ENDED for dispute in disputed):
        found += [_button("dispute"), _button("inquire")]
    return found


def _charged_back(dispute: Json) -> bool:
    return not dispute["status"].startswith("warning_") and dispute["status"] not in ("won", "prevented")


def for_refund(refund: Json) -> list[Button]:
    outcomes = {"refund-succeed": "succeed", "refund-fail": "fail"}
    return [_button(name) for name, outcome in outcomes.items() if refund["status"] in refunds.OUTCOME_ORIGINS[outcome]]


def for_dispute(dispute: Json) -> list[Button]:
    if dispute["status"] in ENDED:
        return []
    inquiry = dispute["status"].startswith("warning_")
    return [_button(name) for name in (("dispute-dismissed",) if inquiry else ("dispute-won", "dispute-lost"))]


def _button(name: str, amount: int | None = None) -> Button:
    return Button(name, ACTIONS[name], amount)
