"""Refund objects (https://docs.stripe.com/api/refunds/object)."""

from __future__ import annotations

import hashlib

from stripe_sandbox.errors import Json
from stripe_sandbox.resources import charges
from stripe_sandbox.state.unit_of_work import UnitOfWork, new_id
from stripe_sandbox.wire.parameters import merged_metadata

ARN_DIGITS = 23  # the length of an acquirer reference number
INSTRUCTIONS_S = 45 * 24 * 3600  # the customer's time to say where to send the money


def new_refund(work: UnitOfWork, charge: Json, amount: int, params: Json, *, status: str) -> Json:
    """Return a refund of `amount` with the parameters of its creation."""
    refund = {
        "id": new_id("pyr_1" if charges.is_debit(charge) else "re_3"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": work.created,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": _destination(charge["payment_method_details"]["type"]),
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }
    if status == "pending":
        refund["pending_reason"] = "processing"
    if "instructions_email" in params:
        refund["instructions_email"] = params["instructions_email"]
    return refund


def _destination(kind: str) -> Json:
    if kind != "card":
        return {"type": kind}
    reference = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    return {"card": {**reference, "type": "refund"}, "type": kind}


def traced(refund: Json) -> Json:
    """Return the destination with its acquirer reference number, by which the customer's bank finds the refund."""
    number = int.from_bytes(hashlib.sha256(refund["id"].encode()).digest()) % 10**ARN_DIGITS
    card = {
        **refund["destination_details"]["card"],
        "reference": f"{number:0{ARN_DIGITS}}",
        "reference_status": "available",
    }
    return {**refund["destination_details"], "card": card}


def next_action(work: UnitOfWork) -> Json:
    """Return the request for the customer's bank data."""
    details = {
        "email_sent": {"email_sent_at": work.created, "email_sent_to": "customer@example.com"},
        "expires_at": work.created + INSTRUCTIONS_S,
    }
    return {"display_details": details, "type": "display_details"}
