"""One attempt to pay an intent: the card decides, the intent follows."""

from __future__ import annotations

from stripe_sandbox.errors import Json, doc_url, invalid
from stripe_sandbox.resources import cards, charges, payment_methods
from stripe_sandbox.resources.cards import Challenge, Decline, Instrument
from stripe_sandbox.resources.transitions import (
    APPROVE,
    AUTHORIZE,
    AWAIT_CONFIRMATION,
    BOUNCE,
    CHALLENGE,
    DECLINE,
    FAIL_AUTHENTICATION,
    PEND,
    SETTLE,
    demand,
    enter,
    unexpected_state,
)
from stripe_sandbox.state.work import Reply, Work, new_id

AUTHENTICATION_FAILURE = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a"
    " new PaymentMethod to attempt to fulfill this PaymentIntent again."
)


def attempt(work: Work, intent: Json, params: Json) -> Reply:
    """Confirm `intent` with its payment method."""
    _require_return_url(intent, params)
    if intent["payment_method"] is None:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can"
            " either update the PaymentIntent with a payment method and then confirm it again, or"
            " confirm it again directly with a payment method.",
            intent,
        )
    intent = {**intent, "last_payment_error": None, "next_action": None}
    method = _method_of(work, intent)
    instrument = payment_methods.instrument_of(work, method)
    off_session = params.get("off_session") not in (None, "false")
    if not _must_authenticate(work, intent, instrument, off_session=off_session):
        return _charge(work, intent)
    if off_session:
        return _decline(work, intent, cards.AUTHENTICATION_REQUIRED)
    if params.get("error_on_requires_action"):
        return _decline(work, intent, cards.AUTHENTICATION_NOT_HANDLED)
    next_action = _next_action(work, intent, params.get("return_url"))
    return Reply(enter(work, {**intent, "next_action": next_action}, CHALLENGE))


def authenticate(work: Work, intent: Json, *, succeeded: bool) -> Json:
    """The customer has done, or failed, the 3-D Secure step."""
    demand(intent, "authenticate")
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
    _charge(work, intent)
    return work.tx.get("payment_intent", intent["id"])


def settle(work: Work, intent: Json, *, succeeded: bool) -> Json:
    """The bank has paid, or bounced, an asynchronous debit."""
    demand(intent, "settle")
    charge = work.tx.get("charge", intent["latest_charge"])
    if succeeded:
        charge = charges.captured(charge, charge["amount"])
        received = {**intent, "amount_received": charge["amount"]}
        return enter(work, received, SETTLE, charge)
    charge = charges.failed(charge, cards.BANK_REJECTION)
    error = _payment_error(cards.BANK_REJECTION, charge, _method_of(work, intent))
    return enter(work, {**intent, "last_payment_error": error, "payment_method": None}, BOUNCE, charge)


def _charge(work: Work, intent: Json) -> Reply:
    method = _method_of(work, intent)
    instrument = payment_methods.instrument_of(work, method)
    if instrument.decline is not None:
        return _decline(work, intent, instrument.decline)
    charge = charges.new_charge(work, intent, method, instrument)
    if instrument.type != "card":
        return Reply(enter(work, intent, PEND, charge))
    amount = intent["amount"]
    if intent["capture_method"] == "manual":
        held = {**intent, "amount_capturable": amount}
        return Reply(enter(work, held, AUTHORIZE, charges.authorized(charge)))
    paid = {**intent, "amount_received": amount}
    return Reply(enter(work, paid, APPROVE, charges.captured(charge, amount)))


def _decline(work: Work, intent: Json, decline: Decline) -> Reply:
    """402 with the intent, which is open again for another payment method."""
    method = _method_of(work, intent)
    instrument = payment_methods.instrument_of(work, method)
    charge = charges.failed(charges.new_charge(work, intent, method, instrument), decline)
    error = _payment_error(decline, charge, method)
    declined = {**intent, "last_payment_error": error, "payment_method": None}
    declined = enter(work, declined, DECLINE, charge)
    return Reply({"error": {**error, "payment_intent": declined}}, status=402)


def _payment_error(decline: Decline, charge: Json, method: Json) -> Json:
    error: Json = {
        "charge": charge["id"],
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": doc_url(decline.code),
        "message": decline.message,
        "payment_method": method,
        "type": "card_error",
    }
    if decline.advice_code is not None:
        error["advice_code"] = decline.advice_code
    if decline.param is not None:
        error["param"] = decline.param
    return error


def _must_authenticate(work: Work, intent: Json, instrument: Instrument, *, off_session: bool) -> bool:
    done = work.tx.find("authenticated", intent["id"])
    if done is not None and done["payment_method"] == intent["payment_method"]:
        return False
    if instrument.challenge is Challenge.ON_SESSION:
        return not off_session
    return instrument.challenge is Challenge.ALWAYS


def _require_return_url(intent: Json, params: Json) -> None:
    automatic = intent["automatic_payment_methods"] or {}
    if automatic.get("allow_redirects") == "always" and "return_url" not in params:
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard."
            " Because some of these payment methods might redirect your customer off of your page,"
            " you must provide a `return_url`. If you don't want to accept redirect-based payment"
            " methods, set `automatic_payment_methods[enabled]` to `true` and"
            " `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents"
            " and Payment Intents."
        )


def _next_action(work: Work, intent: Json, return_url: str | None) -> Json:
    url = f"{work.origin}/sandbox/payment_intents/{intent['id']}/authenticate"
    if return_url is not None:
        redirect = {"return_url": return_url, "url": url}
        return {"type": "redirect_to_url", "redirect_to_url": redirect}
    source = new_id("src_1")
    return {
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url, "source": source},
    }


def _method_of(work: Work, intent: Json) -> Json:
    return work.tx.get("payment_method", intent["payment_method"])
