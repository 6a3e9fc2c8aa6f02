"""Bank debits, which the bank decides on later (https://docs.stripe.com/payments/bank-debits)."""

from __future__ import annotations

from stripe_sandbox.errors import Json
from stripe_sandbox.resources import charges, payment_methods
from stripe_sandbox.resources.cards import BANK_REJECTION
from stripe_sandbox.resources.instruments import Decline, Instrument
from stripe_sandbox.resources.transitions import BOUNCE, PEND, RECALL, SETTLE, enter, require_status, status_error
from stripe_sandbox.state.ledger import record
from stripe_sandbox.state.timers import set_timer, stop_timer
from stripe_sandbox.state.unit_of_work import UnitOfWork

SETTLEMENT = "debit_settles"
# Stripe cancels a processing intent "in rare cases". The documented one is the debit of a US bank account, with a test
# account that stays in processing: https://docs.stripe.com/payments/ach-direct-debit/accept-a-payment
RECALLABLE = frozenset({"us_bank_account"})


def send_to_bank(work: UnitOfWork, intent: Json, charge: Json, instrument: Instrument) -> Json:
    """Send the debit to the bank."""
    if instrument.settles_s is not None:
        set_timer(work, SETTLEMENT, charge["id"], instrument.settles_s)
    return enter(work, intent, PEND, charge)


def settle(work: UnitOfWork, intent: Json, *, succeeded: bool) -> Json:
    """Record that the bank paid or returned the debit, and stop its timer."""
    require_status(intent, "settle")
    instrument = payment_methods.instrument_of(work, _method(work, intent))
    return _decided(work, intent, None if succeeded else instrument.decline or BANK_REJECTION)


def decide_when_due(work: UnitOfWork, charge_id: str) -> None:
    """Apply the outcome of the test account when its timer fires; an earlier decision stands."""
    charge = work.tx.get("charge", charge_id)
    intent = work.tx.get("payment_intent", charge["payment_intent"])
    if intent["status"] == "processing" and intent["latest_charge"] == charge_id:
        _decided(work, intent, payment_methods.instrument_of(work, _method(work, intent)).decline)


def recall(work: UnitOfWork, intent: Json) -> Json:
    """Cancel a debit that the bank has not decided on. Raises `ApiError` 400 if it cannot be recalled."""
    charge = work.tx.get("charge", intent["latest_charge"])
    if charge["payment_method_details"]["type"] not in RECALLABLE:
        raise status_error(intent, "cancel")
    stop_timer(work, SETTLEMENT, charge["id"])
    charge = {**charge, "status": "failed", "failure_message": "The payment was canceled before the bank paid."}
    record(work, "charge.failed", intent, charge, charge["amount"])
    return enter(work, intent, RECALL, charge)


def _decided(work: UnitOfWork, intent: Json, decline: Decline | None) -> Json:
    charge = work.tx.get("charge", intent["latest_charge"])
    stop_timer(work, SETTLEMENT, charge["id"])
    if decline is None:
        charge = charges.captured(charge, charge["amount"])
        return enter(work, {**intent, "amount_received": charge["amount"]}, SETTLE, charge)
    charge = charges.failed(charge, decline)
    error = decline.error(_method(work, intent), charge)
    return enter(work, {**intent, "last_payment_error": error, "payment_method": None}, BOUNCE, charge)


def _method(work: UnitOfWork, intent: Json) -> Json:
    return work.tx.get("payment_method", intent["payment_method"])
