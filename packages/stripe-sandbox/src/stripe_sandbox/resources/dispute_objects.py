"""The Dispute object (https://docs.stripe.com/api/disputes/object) and its evidence."""

from __future__ import annotations

from stripe_sandbox.errors import Json
from stripe_sandbox.resources.dispute_cases import DisputeCase
from stripe_sandbox.resources.payment_methods import NO_ADDRESS
from stripe_sandbox.state.unit_of_work import UnitOfWork, new_id

DAY_S = 24 * 3600
RESPONSE_DAYS = 8  # until the end of that day, as in test accounts; the networks give 7 to 21 days

EVIDENCE_TEXTS = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)

TRANSACTION_TEXTS = (
    "customer_account_id",
    "customer_device_fingerprint",
    "customer_device_id",
    "customer_email_address",
    "customer_purchase_ip",
    "product_description",
)
"""Text fields of a transaction in compelling evidence: https://docs.stripe.com/disputes/api/visa-ce3"""

COMPELLING = "visa_compelling_evidence_3"
PRIOR_TRANSACTIONS = 2  # undisputed transactions that the program requires


def new_dispute(work: UnitOfWork, charge: Json, dispute_case: DisputeCase, amount: int) -> Json:
    """Return a dispute of `amount` (minor units of the charge) before any money moves."""
    programs = [dispute_case.program] if dispute_case.program else []
    return {
        "id": new_id("du_1"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": work.created,
        "currency": charge["currency"],
        "enhanced_eligibility_types": programs,
        "evidence": {**dict.fromkeys(EVIDENCE_TEXTS), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": due_by(work),
            "enhanced_eligibility": {name: _eligibility(name, {}) for name in programs},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": dispute_case.inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        **_method_details(charge, dispute_case),
        "reason": dispute_case.reason,
        "status": dispute_case.status,
    }


def due_by(work: UnitOfWork) -> int:
    """Return the last second (Unix time, UTC) for evidence on a dispute opened now."""
    return (work.created // DAY_S + RESPONSE_DAYS + 1) * DAY_S - 1


def with_evidence(dispute: Json, given: Json) -> Json:
    """Return the dispute with the `given` evidence staged; None clears a text."""
    enhanced = dict(dispute["evidence"]["enhanced_evidence"])
    for name, value in (given.get("enhanced_evidence") or {}).items():
        enhanced[name] = _compelling(value) if name == COMPELLING else value
    evidence = {**dispute["evidence"], **given, "enhanced_evidence": enhanced}
    details = dispute["evidence_details"]
    changes = {
        "has_evidence": bool(enhanced) or any(evidence[name] is not None for name in EVIDENCE_TEXTS),
        "enhanced_eligibility": {name: _eligibility(name, enhanced) for name in details["enhanced_eligibility"]},
    }
    return {**dispute, "evidence": evidence, "evidence_details": {**details, **changes}}


def escalated(work: UnitOfWork, inquiry: Json) -> Json:
    """Return an inquiry escalated to a chargeback, with a new deadline."""
    changes: Json = {
        "evidence_details": {**inquiry["evidence_details"], "due_by": due_by(work)},
        "is_charge_refundable": False,
        "status": "needs_response",
    }
    if "payment_method_details" in inquiry:
        details = inquiry["payment_method_details"]
        changes["payment_method_details"] = {**details, "card": {**details["card"], "case_type": "chargeback"}}
    return {**inquiry, **changes}


def differences(old: Json, new: Json) -> Json:
    """Return the old values of what changed, for `previous_attributes`; objects with changed fields only."""
    changed: Json = {}
    for name, value in old.items():
        if isinstance(value, dict) and isinstance(new[name], dict):
            if value != new[name]:
                names = value.keys() | new[name].keys()
                changed[name] = {key: value.get(key) for key in names if value.get(key) != new[name].get(key)}
        elif value != new[name]:
            changed[name] = value
    return changed


def _method_details(charge: Json, dispute_case: DisputeCase) -> Json:
    """Return Stripe's details for cards; there are none for bank debits."""
    card = charge["payment_method_details"].get("card")
    if card is None:
        return {}
    details = {
        "brand": card["brand"],
        "case_type": dispute_case.case_type,
        "network": card["network"],
        "network_reason_code": dispute_case.network_reason_code,
    }
    return {"payment_method_details": {"card": details, "type": "card"}}


def _eligibility(program: str, enhanced: Json) -> Json:
    """Return the evidence status for the network's program."""
    given = enhanced.get(program) or {}
    if program != COMPELLING:
        return {"status": "fee_acknowledged" if given.get("fee_acknowledged") else "requires_fee_acknowledgement"}
    required = []
    if (given.get("disputed_transaction") or {}).get("merchandise_or_services") is None:
        required.append("missing_merchandise_or_services")
    if len(given.get("prior_undisputed_transactions", ())) < PRIOR_TRANSACTIONS:
        required.append("missing_prior_undisputed_transactions")
    return {"required_actions": required, "status": "requires_action" if required else "qualified"}


def _compelling(given: Json) -> Json:
    """Return compelling evidence with every field, given or not."""
    transaction = given.get("disputed_transaction")
    prior = given.get("prior_undisputed_transactions", ())
    return {
        "disputed_transaction": transaction and {"merchandise_or_services": None, **_transaction(transaction)},
        "prior_undisputed_transactions": [_transaction(one) for one in prior],
    }


def _transaction(given: Json) -> Json:
    address = given.get("shipping_address")
    whole = None if address is None else {**NO_ADDRESS, **address}
    return {**dict.fromkeys(TRANSACTION_TEXTS), **given, "shipping_address": whole}
