"""Attempts to pay a PaymentIntent: the payment method decides, the intent follows."""

from __future__ import annotations

from stripe_sandbox.errors import Json, doc_url, invalid
from stripe_sandbox.resources import bank_debits, cards, charges, customers, descriptors, holds, payment_methods
from stripe_sandbox.resources.instruments import Challenge, Decline, Instrument
from stripe_sandbox.resources.transitions import (
    APPROVE,
    AWAIT_CONFIRMATION,
    CHALLENGE,
    DECLINE,
    EXHAUST,
    FAIL_AUTHENTICATION,
    REFUSE,
    enter,
    require_status,
    unexpected_state,
)
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id

# Path of the 3-D Secure page. Its last part is new for every attempt and cannot be guessed, so only recipients of the
# intent's `next_action` can pass the step.
AUTHENTICATION_PATH = "/v3/3ds/{id}/{source}"
CONFIRMS_MAX = 50  # Stripe does not publish its limit: https://docs.stripe.com/api/payment_intents/confirm

AUTHENTICATION_FAILURE = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a"
    " new PaymentMethod to attempt to fulfill this PaymentIntent again."
)


def attempt(work: UnitOfWork, intent: Json, params: Json) -> Reply:
    """Confirm `intent` with its payment method."""
    if intent["payment_method"] is None:
        raise unexpected_state(_without_method(intent), intent)
    _require_return_url(work, intent, params)
    if _confirmed_too_often(work, intent):
        canceled = {"canceled_at": work.created, "cancellation_reason": "automatic", "next_action": None}
        return Reply(enter(work, {**intent, **canceled}, EXHAUST))
    intent = {**intent, "last_payment_error": None, "next_action": None}
    method = _method_of(work, intent)
    instrument = payment_methods.instrument_of(work, method)
    _reject_descriptor(intent, instrument)
    off_session = params.get("off_session") not in (None, "false")
    if not _must_authenticate(work, intent, instrument, off_session=off_session):
        return _charge(work, intent, off_session=off_session)
    if off_session:
        return _fail_unauthenticated(work, intent, cards.AUTHENTICATION_REQUIRED)
    if params.get("error_on_requires_action"):
        return _fail_unauthenticated(work, intent, cards.AUTHENTICATION_NOT_HANDLED)
    return Reply(enter(work, {**intent, "next_action": _next_action(work, intent, params)}, CHALLENGE))


def authenticate(work: UnitOfWork, intent: Json, *, succeeded: bool) -> Json:
    """Finish the 3-D Secure step, passed or failed by the customer."""
    require_status(intent, "authenticate")
    method = _method_of(work, intent)
    intent = {**intent, "next_action": None}
    if not succeeded:
        error = {
            "code": "payment_intent_authentication_failure",
            "doc_url": doc_url("payment_intent_authentication_failure"),
            "message": AUTHENTICATION_FAILURE,
            "payment_method": method,
            "type": "invalid_request_error",
        }
        failed = {**intent, "last_payment_error": error, "payment_method": None}
        return enter(work, failed, FAIL_AUTHENTICATION)
    work.tx.put("authenticated", intent["id"], {"payment_method": method["id"]})
    if intent["confirmation_method"] == "manual":
        return enter(work, intent, AWAIT_CONFIRMATION)
    _charge(work, intent, off_session=False)
    return work.tx.get("payment_intent", intent["id"])


def authentication_url(intent: Json) -> str | None:
    """Return the page where the customer authenticates now; None if no step is pending."""
    action = intent["next_action"] or {}
    url: str | None = action.get("redirect_to_url", {}).get("url") or action.get("use_stripe_sdk", {}).get("stripe_js")
    return url


def _charge(work: UnitOfWork, intent: Json, *, off_session: bool) -> Reply:
    method = _method_of(work, intent)
    instrument = payment_methods.instrument_of(work, method)
    payment_methods.mark_used(work, method)
    charge = charges.new_charge(work, intent, method, instrument)
    if instrument.type == "card" and instrument.decline is not None:
        return _decline(work, intent, charge, instrument.decline)
    customers.attach_for_future_use(work, intent, method)
    if instrument.type != "card":
        return Reply(bank_debits.send_to_bank(work, intent, charge, instrument))
    if intent["capture_method"] == "manual":
        return Reply(holds.hold(work, intent, charge, instrument, off_session=off_session))
    paid = {**intent, "amount_received": intent["amount"]}
    return Reply(enter(work, paid, APPROVE, charges.captured(charge, intent["amount"], instrument.risk_level)))


def _decline(work: UnitOfWork, intent: Json, charge: Json, decline: Decline) -> Reply:
    """Return 402 with the intent, which accepts another payment method."""
    charge = charges.failed(charge, decline)
    error = decline.error(_method_of(work, intent), charge)
    declined = {**intent, "last_payment_error": error, "payment_method": None}
    declined = enter(work, declined, DECLINE, charge)
    return Reply({"error": {**error, "payment_intent": declined}}, status=402)


def _fail_unauthenticated(work: UnitOfWork, intent: Json, decline: Decline) -> Reply:
    """Return 402 without a charge: the required authentication never happened, so the network was not asked."""
    error = decline.error(_method_of(work, intent), None)
    refused = enter(work, {**intent, "last_payment_error": error, "payment_method": None}, REFUSE)
    return Reply({"error": {**error, "payment_intent": refused}}, status=402)


def _without_method(intent: Json) -> str:
    message = "You cannot confirm this PaymentIntent because it's missing a payment method. "
    if intent["customer"] is not None:
        return message + (
            f"To confirm the PaymentIntent with {intent['customer']}, specify a payment method attached to this"
            " customer along with the customer ID."
        )
    return message + (
        "You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it again"
        " directly with a payment method or ConfirmationToken."
    )


def _confirmed_too_often(work: UnitOfWork, intent: Json) -> bool:
    """Count this confirmation and return whether there were too many."""
    count = (work.tx.find("confirms", intent["id"]) or {"count": 0})["count"]
    work.tx.put("confirms", intent["id"], {"count": count + 1})
    return bool(count >= CONFIRMS_MAX)


def _must_authenticate(work: UnitOfWork, intent: Json, instrument: Instrument, *, off_session: bool) -> bool:
    done = work.tx.find("authenticated", intent["id"])
    if done is not None and done["payment_method"] == intent["payment_method"]:
        return False
    if instrument.challenge is Challenge.ON_SESSION:
        return not off_session
    return instrument.challenge is Challenge.ALWAYS


def _require_return_url(work: UnitOfWork, intent: Json, params: Json) -> None:
    automatic = intent["automatic_payment_methods"] or {}
    redirects = (
        automatic.get("allow_redirects") == "always" and not work.publishable
    )  # Stripe.js handles redirects itself
    if redirects and "return_url" not in params:
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard."
            " Because some of these payment methods might redirect your customer off of your page,"
            " you must provide a `return_url`. If you don't want to accept redirect-based payment"
            " methods, set `automatic_payment_methods[enabled]` to `true` and"
            " `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents"
            " and Payment Intents."
        )


def _reject_descriptor(intent: Json, instrument: Instrument) -> None:
    if instrument.type == "card" and intent["statement_descriptor"] is not None:
        raise descriptors.not_for_cards()


def _next_action(work: UnitOfWork, intent: Json, params: Json) -> Json:
    """Return a redirect if `return_url` was given, unless Stripe.js handles the step itself."""
    source = new_id("src_1")
    url = work.origin + AUTHENTICATION_PATH.format(id=intent["id"], source=source)
    if "return_url" in params and not params.get("use_stripe_sdk"):
        redirect = {"return_url": params["return_url"], "url": url}
        return {"type": "redirect_to_url", "redirect_to_url": redirect}
    return {
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url, "source": source},
    }


def _method_of(work: UnitOfWork, intent: Json) -> Json:
    return work.tx.get("payment_method", intent["payment_method"])
