"""Captures of authorized payments (https://docs.stripe.com/api/payment_intents/capture)."""

from __future__ import annotations

from stripe_sandbox.errors import ApiError, Json, invalid
from stripe_sandbox.resources import currencies, descriptors, holds, old_versions
from stripe_sandbox.resources.intents import existing
from stripe_sandbox.resources.transitions import CAPTURE, enter, require_status
from stripe_sandbox.state.timers import stop_timer
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork
from stripe_sandbox.wire.parameters import merged_metadata


def capture(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Capture all or part of the authorized amount, once; release the rest."""
    intent = existing(work, path["id"])
    require_status(intent, "capture")
    descriptors.check(params)
    if "statement_descriptor" in params:
        raise descriptors.not_for_cards()
    if not params.get("final_capture", True):
        raise _no_multicapture()
    amount = _amount(intent, params)
    suffix = params.get("statement_descriptor_suffix", intent["statement_descriptor_suffix"])
    charge = work.tx.get("charge", intent["latest_charge"])
    stop_timer(work, holds.EXPIRY, charge["id"])
    captured = {"captured": True, "amount_captured": amount}
    charge = {**charge, **captured, **descriptors.of_charge(suffix)}
    metadata = merged_metadata(intent["metadata"], params.get("metadata", {}))
    changes = {"amount_capturable": 0, "amount_received": amount, "metadata": metadata}
    changes |= {"statement_descriptor_suffix": suffix}
    intent = enter(work, {**intent, **changes}, CAPTURE, charge, amount=amount)
    old_versions.emit_release(work, charge["id"], charge["amount"] - amount)
    return Reply(intent)


def _amount(intent: Json, params: Json) -> int:
    """Return the amount to capture. Raises `ApiError` 400; for zero, Stripe names the parameter `amount`."""
    amount: int = params["amount_to_capture"] if "amount_to_capture" in params else intent["amount_capturable"]
    about = {"payment_intent": intent}
    if amount < 0:
        raise ApiError(400, "Invalid non-negative integer", param="amount_to_capture", extra=about)
    if amount == 0:
        message = "This value must be greater than or equal to 1."
        raise ApiError(400, message, code="parameter_invalid_integer", param="amount", extra=about)
    if amount > intent["amount_capturable"]:
        raise ApiError(
            400,
            "The payment could not be captured because the requested capture amount is greater than the amount you"
            " can capture for this charge.",
            code="amount_too_large",
            param="amount_to_capture",
            extra=about,
        )
    currencies.check_multiple(amount, intent["currency"], "amount_to_capture")
    return amount


def _no_multicapture() -> ApiError:
    """Multicapture is for eligible accounts only, which the sandbox's account is not."""
    return invalid(
        "This PaymentIntent is not eligible for multicapture: final_capture can't be false.",
        "final_capture",
        "payment_intent_invalid_parameter",
    )
