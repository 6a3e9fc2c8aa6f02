"""Events as API versions before `2025-03-31.basil` render them, for webhook endpoints with such a version.

In those versions a partial capture or a cancellation makes a Refund of the released part, which also counts in the
charge's `amount_refunded`, and an expired authorization has the cancellation reason `automatic`
(https://docs.stripe.com/changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow).
"""

from __future__ import annotations

from stripe_sandbox.errors import Json
from stripe_sandbox.resources import refund_objects
from stripe_sandbox.resources.endpoints import subscribes_to
from stripe_sandbox.resources.events import ONLY_OLD, emit
from stripe_sandbox.state.unit_of_work import UnitOfWork

BASIL = "2025-03-31"  # versions begin with their date, so they compare as text
# Before it, `refund.*` was sent only for refunds without a charge, which the sandbox does not have:
# https://docs.stripe.com/changelog/acacia/2024-10-28/refund-webhook-update
REFUND_EVENTS_SINCE = "2024-10-28"


def is_old(endpoint: Json) -> bool:
    """Return whether the endpoint's version is older than basil."""
    version: str | None = endpoint["api_version"]
    return version is not None and version < BASIL


def receives(endpoint: Json, event: Json) -> bool:
    """Return whether the endpoint receives the event."""
    if not subscribes_to(endpoint, event["type"]):
        return False
    if event.get(ONLY_OLD, False) and not is_old(endpoint):
        return False
    version = endpoint["api_version"] or BASIL
    return not event["type"].startswith("refund.") or bool(version >= REFUND_EVENTS_SINCE)


def emit_release(work: UnitOfWork, charge_id: str, amount: int, reason: str | None = None) -> None:
    """Emit the events of the released `amount` (minor units), if an endpoint has a version in which they exist."""
    endpoints = work.tx.table("webhook_endpoint").rows.values()
    if amount == 0 or not any(is_old(endpoint) for endpoint in endpoints):
        return
    charge = work.tx.get("charge", charge_id)
    refund = refund_objects.new_refund(work, charge, amount, {"reason": reason}, status="succeeded")
    emit(work, "refund.created", refund, only_old=True)
    emit(work, "charge.refunded", charge, only_old=True)


def data_of(event: Json) -> Json:
    """Return the data of an event as an old version renders it."""
    subject: Json = event["data"]["object"]
    if subject["object"] == "charge":
        return {**event["data"], "object": _charge(subject, event["type"])}
    if subject["object"] == "payment_intent" and subject["cancellation_reason"] == "expired":
        return {**event["data"], "object": {**subject, "cancellation_reason": "automatic"}}
    data: Json = event["data"]
    return data


def _charge(charge: Json, kind: str) -> Json:
    captured: int = charge["amount_captured"]
    if not charge["captured"] and kind not in ("charge.refunded", "charge.expired"):
        return charge
    refunded = charge["amount_refunded"] + charge["amount"] - captured
    whole = refunded == charge["amount"]
    return {
        **charge,
        "amount_captured": captured if charge["captured"] else None,
        "amount_refunded": refunded,
        "refunded": whole,
    }
