"""Disputes (https://docs.stripe.com/disputes/how-disputes-work): inquiries, and chargebacks, which withdraw money.

Outcomes in test mode: https://docs.stripe.com/testing#evidence.
"""

from __future__ import annotations

from stripe_sandbox.errors import Json, invalid, missing_resource
from stripe_sandbox.resources import balance_transactions, charges, dispute_cases, payment_methods, refunds
from stripe_sandbox.resources.dispute_cases import DisputeCase
from stripe_sandbox.resources.dispute_objects import differences, escalated, new_dispute, with_evidence
from stripe_sandbox.resources.events import emit
from stripe_sandbox.resources.pagination import list_reply, page_query
from stripe_sandbox.state import ledger
from stripe_sandbox.state.timers import set_timer, stop_timer
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork
from stripe_sandbox.wire.parameters import merged_metadata

FEE = 1500  # minor units of any currency: charged to test accounts per chargeback, and never returned
DEADLINE = "dispute.deadline"  # the timer of a dispute that needs evidence
RULING = "dispute.ruling"  # the timer of a dispute whose evidence decides it
RULING_S = 5.0  # test accounts decide after four to ten seconds

# The state machine, by status. A status in none of these tables is final.
SUBMITTED = {
    "needs_response": "under_review",
    "under_review": "under_review",
    "warning_needs_response": "warning_under_review",
    "warning_under_review": "warning_under_review",
}
CONCEDED = {
    "needs_response": "lost",
    "under_review": "lost",
    "warning_needs_response": "warning_closed",
    "warning_under_review": "warning_closed",
}
AWAITING_RESPONSE = frozenset({"needs_response", "warning_needs_response"})
RULINGS = {
    ("under_review", "winning_evidence"): "won",
    ("under_review", "losing_evidence"): "lost",
    ("warning_under_review", "winning_evidence"): "warning_closed",
    ("warning_under_review", "losing_evidence"): "warning_closed",
    ("warning_under_review", "escalate_inquiry_evidence"): "needs_response",
}


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    return Reply(existing(work, path["id"]))


def list_all(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """List newest first, by `charge`, `payment_intent`, `created`."""
    wanted = {name: params[name] for name in ("charge", "payment_intent") if name in params}

    def matches(dispute: Json) -> bool:
        return all(dispute[name] == value for name, value in wanted.items())

    return list_reply("/v1/disputes", work.tx.table("dispute").page(page_query("dispute", params), matches))


def update(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Stage evidence and submit it unless `submit` is false; `submit` alone submits staged evidence."""
    dispute = _existing_open(work, path["id"])
    changed = {**dispute, "metadata": merged_metadata(dispute["metadata"], params.get("metadata", {}))}
    changed = with_evidence(changed, params.get("evidence", {}))
    submits = params.get("submit", "evidence" in params) and changed["evidence_details"]["has_evidence"]
    if submits:
        changed = _submitted(work, changed)
    if changed != dispute:
        _put(work, changed)
        emit(work, "charge.dispute.updated", changed, differences(dispute, changed))
    if submits:
        _emit_charge_updated(work, changed)
    return Reply(changed)


def close(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Accept the loss, which is final; an inquiry is closed."""
    dispute = _existing_open(work, path["id"])
    dispute = _end(work, dispute, CONCEDED[dispute["status"]])
    _emit_charge_updated(work, dispute)
    return Reply(dispute)


def existing(work: UnitOfWork, identifier: str) -> Json:
    dispute = work.tx.find("dispute", identifier)
    if dispute is None:
        raise missing_resource("dispute", identifier, "dispute")
    return dispute


def open_for_test_method(work: UnitOfWork, charge: Json) -> None:
    """Open the disputes of the test card or account once its payment is captured."""
    method = work.tx.get("payment_method", charge["payment_method"])
    for dispute_case in dispute_cases.of(payment_methods.instrument_of(work, method)):
        open_dispute(work, charge, dispute_case, charge["amount_captured"])


def open_dispute(work: UnitOfWork, charge: Json, dispute_case: DisputeCase, amount: int) -> Json:
    """Dispute `amount` (minor units) of a captured charge."""
    work.tx.put("charge", charge["id"], {**charge, "disputed": True})
    dispute = new_dispute(work, charge, dispute_case, amount)
    if not dispute_case.inquiry:
        dispute = _with_balance_transaction(work, dispute, -amount, FEE, "Chargeback withdrawal")
    _put(work, dispute)
    _await_evidence(work, dispute)
    emit(work, "charge.dispute.created", dispute)
    _record(work, "dispute.opened", dispute)
    if not dispute_case.inquiry:
        _emit_withdrawal(work, dispute)
    return dispute


def dispute_captured(work: UnitOfWork, charge_id: str, dispute_case: DisputeCase, amount: int | None) -> Json:
    """Dispute a captured payment of any age; `amount` (minor units) defaults to everything not refunded.

    Raises `ApiError` 400 where no customer could dispute it: https://docs.stripe.com/refunds.
    """
    charge = work.tx.find("charge", charge_id)
    if charge is None:
        raise missing_resource("charge", charge_id, "id")
    if not charge["captured"]:
        raise invalid("This charge is not captured; only a captured charge can be disputed.")
    if charge["refunded"] and not charges.is_debit(charge):
        raise invalid("A fully refunded card payment cannot be disputed.")
    if any(dispute["status"] in CONCEDED for dispute in work.tx.owned_by("dispute", charge_id)):
        raise invalid("This charge already has an open dispute: close it first.")
    rest = (charge["amount_captured"] - charge["amount_refunded"]) or charge["amount_captured"]
    amount = rest if amount is None else amount
    if not 0 < amount <= charge["amount_captured"]:
        raise invalid(f"amount must be between 1 and {charge['amount_captured']}, the captured amount.", "amount")
    return open_dispute(work, charge, dispute_case, amount)


def rule(work: UnitOfWork, dispute_id: str, outcome: str) -> Json:
    """Close an open dispute as its issuer. Raises `ApiError` 400 for an outcome that its status forbids."""
    dispute = _existing_open(work, dispute_id)
    possible = ("warning_closed",) if _is_inquiry(dispute) else ("won", "lost")
    if outcome not in possible:
        raise invalid(f"A dispute that is {dispute['status']} can only end as {' or '.join(possible)}.", "outcome")
    return _end(work, dispute, outcome)


def expire(work: UnitOfWork, dispute_id: str) -> None:
    """Close a dispute whose deadline has passed; staged evidence does not count."""
    dispute = existing(work, dispute_id)
    if dispute["status"] in AWAITING_RESPONSE:
        _end(work, dispute, CONCEDED[dispute["status"]])


def decide(work: UnitOfWork, dispute_id: str) -> None:
    """Apply the issuer's decision on the evidence."""
    dispute = existing(work, dispute_id)
    ruling = RULINGS.get((dispute["status"], dispute["evidence"]["uncategorized_text"]))
    if ruling is None:
        return
    if ruling != "needs_response":
        _end(work, dispute, ruling)
    elif work.tx.get("charge", dispute["charge"])["refunded"]:
        _end(work, dispute, "warning_closed")
    else:
        _escalate(work, dispute)


def _submitted(work: UnitOfWork, dispute: Json) -> Json:
    details = dispute["evidence_details"]
    counted = {"submission_count": details["submission_count"] + 1, "past_due": work.now > details["due_by"]}
    dispute = {**dispute, "evidence_details": {**details, **counted}, "status": SUBMITTED[dispute["status"]]}
    stop_timer(work, DEADLINE, dispute["id"])
    if (dispute["status"], dispute["evidence"]["uncategorized_text"]) in RULINGS:
        set_timer(work, RULING, dispute["id"], RULING_S)
    else:
        stop_timer(work, RULING, dispute["id"])
    return dispute


def _escalate(work: UnitOfWork, inquiry: Json) -> None:
    dispute = _with_balance_transaction(
        work, escalated(work, inquiry), -inquiry["amount"], FEE, "Chargeback withdrawal"
    )
    _put(work, dispute)
    _await_evidence(work, dispute)
    emit(work, "charge.dispute.updated", dispute, differences(inquiry, dispute))
    _emit_withdrawal(work, dispute)


def _end(work: UnitOfWork, dispute: Json, status: str) -> Json:
    stop_timer(work, DEADLINE, dispute["id"])
    stop_timer(work, RULING, dispute["id"])
    dispute = {**dispute, "status": status, "is_charge_refundable": status != "lost"}
    if status == "won":
        dispute = _with_balance_transaction(work, dispute, dispute["amount"], 0, "Chargeback reversal")
        emit(work, "charge.dispute.funds_reinstated", dispute)
        _record(work, "dispute.funds_reinstated", dispute)
    _put(work, dispute)
    emit(work, "charge.dispute.closed", dispute)
    _record(work, "dispute.closed", dispute)
    return dispute


def _with_balance_transaction(work: UnitOfWork, dispute: Json, amount: int, fee: int, what: str) -> Json:
    """Return the dispute with one more balance transaction."""
    transaction = balance_transactions.create(
        work,
        type="adjustment",
        amount=amount,
        fee=fee,
        currency=dispute["currency"],
        source=dispute["id"],
        description=f"{what} for {dispute['charge']}",
    )
    return {**dispute, "balance_transactions": [*dispute["balance_transactions"], transaction]}


def _existing_open(work: UnitOfWork, identifier: str) -> Json:
    dispute = existing(work, identifier)
    if dispute["status"] not in CONCEDED:
        raise invalid("This dispute is already closed")
    return dispute


def _is_inquiry(dispute: Json) -> bool:
    return bool(dispute["status"].startswith("warning_"))


def _await_evidence(work: UnitOfWork, dispute: Json) -> None:
    """Set the deadline's timer; evidence in the last second still counts."""
    set_timer(work, DEADLINE, dispute["id"], dispute["evidence_details"]["due_by"] + 1 - work.now)


def _put(work: UnitOfWork, dispute: Json) -> None:
    work.tx.put("dispute", dispute["id"], dispute)


def _emit_withdrawal(work: UnitOfWork, dispute: Json) -> None:
    emit(work, "charge.dispute.funds_withdrawn", dispute)
    _record(work, "dispute.funds_withdrawn", dispute)
    _fail_pending_refunds(work, dispute)


def _fail_pending_refunds(work: UnitOfWork, dispute: Json) -> None:
    """Fail refunds that a chargeback overtakes: card money is returned once, a debit's can be returned twice."""
    if charges.is_debit(work.tx.get("charge", dispute["charge"])):
        return
    for refund in work.tx.owned_by("refund", dispute["charge"]):
        if refund["status"] == "pending":
            refunds.settle(work, refund, "fail", "charge_for_pending_refund_disputed")


def _emit_charge_updated(work: UnitOfWork, dispute: Json) -> None:
    """Emit the event that Stripe sends with each step of the merchant, though no documented field changes."""
    emit(work, "charge.updated", work.tx.get("charge", dispute["charge"]), {})


def _record(work: UnitOfWork, effect: ledger.Effect, dispute: Json) -> None:
    charge = work.tx.get("charge", dispute["charge"])
    intent = work.tx.get("payment_intent", dispute["payment_intent"])
    ledger.record(work, effect, intent, charge, dispute["amount"], source=dispute["id"])
