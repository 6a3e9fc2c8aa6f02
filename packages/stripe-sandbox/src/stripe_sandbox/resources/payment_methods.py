"""PaymentMethods, created from test aliases, tokens and numbers."""

from __future__ import annotations

import datetime as dt
import hashlib

from stripe_sandbox.errors import Json, invalid, missing_parameter, missing_resource
from stripe_sandbox.resources import card_checks, other_test_methods
from stripe_sandbox.resources.cards import ALIASES, by_alias, by_number, by_token, passes_luhn
from stripe_sandbox.resources.instruments import Instrument
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id

NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
NO_DETAILS: Json = {
    "address": NO_ADDRESS,
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    method = work.tx.find("payment_method", path["id"])
    if method is None:
        raise missing_resource("PaymentMethod", path["id"], "payment_method")
    return Reply(method)


def create(work: UnitOfWork, params: Json, path: Json) -> Reply:
    return Reply(from_data(work, params, ""))


def resolve(work: UnitOfWork, name: str) -> Json:
    """Return the PaymentMethod `name`; a test alias creates a new one, as at Stripe."""
    method = work.tx.find("payment_method", name)
    if method is not None:
        _reject_used(work, method)
        return method
    instrument = by_alias(name)
    if instrument is None:
        raise other_test_methods.missing("PaymentMethod", name, "payment_method")
    return _new_method(work, instrument, {})


def from_data(work: UnitOfWork, data: Json, prefix: str) -> Json:
    """Create the PaymentMethod that `payment_method_data` describes."""
    kind = data["type"]
    details = data.get(kind)
    if not isinstance(details, dict):
        raise missing_parameter(f"{prefix}[{kind}]" if prefix else kind)
    if kind == "card":
        instrument = _card(details, work.now)
    else:
        instrument = _bank_account(kind, str(details.get("iban") or details.get("account_number")))
    return _new_method(work, instrument, data)


def instrument_of(work: UnitOfWork, method: Json) -> Instrument:
    """Return the test instrument behind a PaymentMethod: stored separately and never shown."""
    row = work.tx.get("instrument", method["id"])
    return ALIASES[row["alias"]]


def mark_used(work: UnitOfWork, method: Json) -> None:
    """Mark as used; a method without a customer can be charged only once."""
    if method["customer"] is None:
        row = work.tx.get("instrument", method["id"])
        work.tx.put("instrument", method["id"], {**row, "used": True})


def _reject_used(work: UnitOfWork, method: Json) -> None:
    if method["customer"] is None and work.tx.get("instrument", method["id"]).get("used"):
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared"
            " with a connected account without Customer attachment, or was detached from a Customer. It may not be"
            " used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.",
            "payment_method",
        )


def _card(details: Json, now: float) -> Instrument:
    if "token" in details:
        found = by_token(details["token"])
        if found is None:
            raise other_test_methods.missing("token", details["token"], "payment_method_data[card][token]")
        return found
    number = str(details.get("number", ""))
    if not number:
        raise missing_parameter("card[number]")
    card_checks.check_form(details, now)
    found = by_number(number)
    if found is not None:
        return found
    other_test_methods.check_number(number.replace(" ", ""), "number")
    if passes_luhn(number):
        raise card_checks.card_error(
            "card_declined",
            "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid test"
            " cards, visit: https://stripe.com/docs/testing.",
            "number",
            "test_mode_live_card",
        )
    raise card_checks.card_error("incorrect_number", "Your card number is incorrect.", "number")


def _bank_account(kind: str, number: str) -> Instrument:
    found = by_number(number)
    if found is None or found.type != kind:
        raise invalid(
            f"The sandbox has no test account of type {kind} with this number: docs/sandbox.md lists those that it covers.",
            f"{kind}[account_number]",
        )
    return found


def _new_method(work: UnitOfWork, instrument: Instrument, data: Json) -> Json:
    given = data.get("billing_details") or {}
    address = {**NO_ADDRESS, **(given.get("address") or {})}
    method = {
        "id": new_id("pm_1"),
        "object": "payment_method",
        "allow_redisplay": data.get("allow_redisplay", "unspecified"),
        "billing_details": {**NO_DETAILS, **given, "address": address},
        instrument.type: _DETAILS[instrument.type](instrument, work.created, address),
        "created": work.created,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": data.get("metadata", {}),
        "type": instrument.type,
    }
    work.tx.put("payment_method", method["id"], method)
    work.tx.put("instrument", method["id"], {"alias": _alias(instrument)})
    return method


def _alias(instrument: Instrument) -> str:
    return f"pm_card_{instrument.name}" if instrument.type == "card" else instrument.name


def _card_details(instrument: Instrument, created: int, address: Json) -> Json:
    networks = [name for name in (instrument.co_brand, instrument.brand) if name is not None]
    return {
        "brand": instrument.brand,
        "checks": card_checks.results(instrument, address),
        "country": instrument.country,
        "display_brand": instrument.brand,
        "exp_month": 12,
        "exp_year": dt.datetime.fromtimestamp(created, dt.UTC).year + 1,
        "fingerprint": _fingerprint(instrument),
        "funding": instrument.funding,
        "generated_from": None,
        "last4": instrument.last4,
        "networks": {"available": networks, "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _us_bank_account_details(instrument: Instrument, created: int, address: Json) -> Json:
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": _fingerprint(instrument),
        "last4": instrument.last4,
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": "110000000",
        "status_details": {},
    }


def _sepa_debit_details(instrument: Instrument, created: int, address: Json) -> Json:
    return {
        "bank_code": instrument.number[4:9],
        "branch_code": None,
        "country": instrument.number[:2],
        "fingerprint": _fingerprint(instrument),
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": instrument.last4,
    }


def _fingerprint(instrument: Instrument) -> str:
    """Return the same value for every use of one number."""
    return hashlib.sha256(instrument.name.encode()).hexdigest()[:16]


_DETAILS = {
    "card": _card_details,
    "us_bank_account": _us_bank_account_details,
    "sepa_debit": _sepa_debit_details,
}
