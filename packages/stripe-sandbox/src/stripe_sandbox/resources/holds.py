"""Holds: funds authorized but not captured (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method)."""

from __future__ import annotations

from stripe_sandbox.errors import Json
from stripe_sandbox.resources import charges
from stripe_sandbox.resources.instruments import Instrument
from stripe_sandbox.resources.old_versions import emit_release
from stripe_sandbox.resources.transitions import AUTHORIZE, EXPIRE, enter
from stripe_sandbox.state.ledger import record
from stripe_sandbox.state.timers import set_timer, stop_timer
from stripe_sandbox.state.unit_of_work import UnitOfWork

EXPIRY = "authorization_expires"
DAY_S = 24 * 3600
WINDOW_S = 7 * DAY_S
VISA_MERCHANT_INITIATED_S = 4 * DAY_S + 18 * 3600


def hold(work: UnitOfWork, intent: Json, charge: Json, instrument: Instrument, *, off_session: bool) -> Json:
    """Authorize the full amount until the network's window ends."""
    window_s = VISA_MERCHANT_INITIATED_S if off_session and instrument.brand == "visa" else WINDOW_S
    capture_before = work.created + window_s
    set_timer(work, EXPIRY, charge["id"], capture_before - work.now)
    held = {**intent, "amount_capturable": intent["amount"]}
    return enter(work, held, AUTHORIZE, charges.authorized(charge, capture_before, instrument.risk_level))


def release(work: UnitOfWork, intent: Json, reason: str | None = None) -> Json:
    """Release the whole hold; returns the charge. `reason` is that of the refund in old API versions."""
    charge = work.tx.get("charge", intent["latest_charge"])
    stop_timer(work, EXPIRY, charge["id"])
    record(work, "charge.released", intent, charge, charge["amount"])
    emit_release(work, charge["id"], charge["amount"], reason)
    return charge


def expire(work: UnitOfWork, charge_id: str) -> None:
    """Cancel the payment when its window ends; one captured or canceled before is left alone."""
    charge = work.tx.get("charge", charge_id)
    intent = work.tx.get("payment_intent", charge["payment_intent"])
    if intent["status"] != "requires_capture" or intent["latest_charge"] != charge_id:
        return
    changes = {"amount_capturable": 0, "canceled_at": work.created, "cancellation_reason": "expired"}
    enter(work, {**intent, **changes}, EXPIRE, release(work, intent, "expired_uncaptured_charge"))
