"""Charges: one per attempt that reached the card network or the bank."""

from __future__ import annotations

from stripe_sandbox.errors import Json, missing_resource
from stripe_sandbox.resources import balance_transactions, descriptors, payment_methods
from stripe_sandbox.resources.events import emit
from stripe_sandbox.resources.instruments import Decline, Instrument
from stripe_sandbox.resources.pagination import list_reply, page_query
from stripe_sandbox.state.timers import set_timer
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id

POSTING = "charge.posting"  # the timer of a charge whose balance transaction is due
POSTING_S = 2.0  # Stripe says "a moment later": long enough to observe, short enough to wait for
DAY_S = 24 * 3600
PAYOUT_DAYS = 2  # https://docs.stripe.com/payouts#payout-schedule
NORMAL_RISK = "normal"
_RISK_SCORES = {NORMAL_RISK: 20, "elevated": 66}

# Fields of a payment method that its charges lack, and fields of charges that the method lacks.
_METHOD_ONLY = frozenset(
    {
        "display_brand",
        "financial_connections_account",
        "generated_from",
        "networks",
        "status_details",
        "three_d_secure_usage",
    }
)
_BANK_EXTRAS: dict[str, Json] = {"us_bank_account": {"payment_reference": None}, "sepa_debit": {"mandate": None}}


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    charge = work.tx.find("charge", path["id"])
    if charge is None:
        raise missing_resource("charge", path["id"], "id")
    return Reply(charge)


def list_all(work: UnitOfWork, params: Json, path: Json) -> Reply:
    intents = [params["payment_intent"]] if "payment_intent" in params else None

    def wanted(charge: Json) -> bool:
        return "customer" not in params or bool(charge["customer"] == params["customer"])

    return list_reply("/v1/charges", work.tx.table("charge").page(page_query("charge", params), wanted, intents))


def new_charge(work: UnitOfWork, intent: Json, method: Json, instrument: Instrument) -> Json:
    """Return a charge before its outcome is known: pending, nothing captured."""
    charge_id = new_id("ch_3" if instrument.type == "card" else "py_3")
    return {
        "id": charge_id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "captured": False,
        "created": work.created,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _details(work, intent, method, instrument),
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": f"{work.origin}/sandbox/receipts/{charge_id}",
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "status": "pending",
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
        **descriptors.of_charge(intent["statement_descriptor_suffix"]),
    }


def captured(charge: Json, amount: int, risk_level: str = NORMAL_RISK) -> Json:
    return {**_paid(charge, risk_level), "captured": True, "amount_captured": amount}


def posted(work: UnitOfWork, intent: Json, charge: Json) -> Json:
    """Return the charge with its balance transaction, or set a timer for it if capture is asynchronous.

    With `capture_method=automatic_async` a charge succeeds without one; `charge.updated` follows a moment later
    (https://docs.stripe.com/payments/payment-intents/asynchronous-capture).
    """
    if intent["capture_method"] == "automatic_async" and not is_debit(charge):
        set_timer(work, POSTING, charge["id"], POSTING_S)
        return charge
    return _with_balance_transaction(work, charge)


def post_to_balance(work: UnitOfWork, charge_id: str) -> None:
    """Create the balance transaction when the timer set by `posted` fires."""
    charge = work.tx.get("charge", charge_id)
    if charge["balance_transaction"] is not None:
        return
    charge = _with_balance_transaction(work, charge)
    work.tx.put("charge", charge_id, charge)
    emit(work, "charge.updated", charge, {"balance_transaction": None})


def is_debit(charge: Json) -> bool:
    """Return whether the charge is a bank debit, which Stripe calls a payment, instead of a card charge."""
    return bool(charge["id"].startswith("py_"))


def _with_balance_transaction(work: UnitOfWork, charge: Json) -> Json:
    amount = charge["amount_captured"]
    transaction = balance_transactions.create(
        work,
        type="payment" if is_debit(charge) else "charge",
        amount=amount,
        fee=balance_transactions.fee_of(amount),
        currency=charge["currency"],
        source=charge["id"],
        description=charge["description"],
        available_on=_available_on(work, charge),
    )
    return {**charge, "balance_transaction": transaction["id"]}


def _available_on(work: UnitOfWork, charge: Json) -> int:
    """Return midnight (UTC) of the second day; now for the test card that bypasses the pending balance."""
    method = work.tx.get("payment_method", charge["payment_method"])
    if payment_methods.instrument_of(work, method).name.startswith("bypassPending"):
        return work.created
    return (work.created // DAY_S + PAYOUT_DAYS) * DAY_S


def authorized(charge: Json, capture_before: int, risk_level: str) -> Json:
    """Return the charge as authorized; the hold ends at `capture_before` (Unix seconds)."""
    card = {**charge["payment_method_details"]["card"], "capture_before": capture_before}
    return {**_paid(charge, risk_level), "payment_method_details": {**charge["payment_method_details"], "card": card}}


def failed(charge: Json, decline: Decline) -> Json:
    blocked = decline.decline_code == "fraudulent"
    outcome = {
        "advice_code": decline.advice_code,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "not_sent_to_network" if blocked else "declined_by_network",
        "reason": "highest_risk_level" if blocked else decline.decline_code,
        "risk_level": "highest" if blocked else NORMAL_RISK,
        "risk_score": 79 if blocked else _RISK_SCORES[NORMAL_RISK],
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "blocked" if blocked else "issuer_declined",
    }
    return {
        **charge,
        "failure_code": decline.failure_code or decline.code,
        "failure_message": decline.message,
        "outcome": outcome,
        "status": "failed",
    }


def _paid(charge: Json, risk_level: str) -> Json:
    outcome = {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": risk_level,
        "risk_score": _RISK_SCORES[risk_level],
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    return {**charge, "paid": True, "status": "succeeded", "outcome": outcome}


def _details(work: UnitOfWork, intent: Json, method: Json, instrument: Instrument) -> Json:
    kind = instrument.type
    details = {key: value for key, value in method[kind].items() if key not in _METHOD_ONLY}
    details |= _card_extras(work, intent, instrument) if kind == "card" else _BANK_EXTRAS[kind]
    return {kind: details, "type": kind}


def _card_extras(work: UnitOfWork, intent: Json, instrument: Instrument) -> Json:
    return {
        "amount_authorized": intent["amount"],
        "authorization_code": "123456",
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": instrument.brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
        "three_d_secure": None,
    }
