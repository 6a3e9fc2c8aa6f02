"""Disputes (https://docs.stripe.com/disputes/how-disputes-work): inquiries, and chargebacks, which withdraw money.

How they end in test mode: https://docs.stripe.com/testing#evidence.
"""

from __future__ import annotations

from stripe_sandbox.errors import Json, invalid, missing_resource
from stripe_sandbox.resources import balance_transactions, charges, complaints, payment_methods, refunds
from stripe_sandbox.resources.complaints import Complaint
from stripe_sandbox.resources.dispute_objects import differences, escalated, new_dispute, with_evidence
from stripe_sandbox.resources.events import emit
from stripe_sandbox.resources.listing import answer, page_query
from stripe_sandbox.state import ledger
from stripe_sandbox.state.timers import set_timer, stop_timer
from stripe_sandbox.state.work import Reply, Work
from stripe_sandbox.wire.parameters import merged_metadata

FEE = 1500  # minor units, in whatever currency: what test accounts are charged for a chargeback, and never get back
DEADLINE = "dispute.deadline"  # the timer of a dispute that waits for evidence
RULING = "dispute.ruling"  # the timer of one whose evidence decides it
RULING_S = 5.0  # test accounts rule after four to ten seconds

# The state machine, by status. A status in none of these tables is final.
SUBMITTED = {
    "needs_response": "under_review",
    "under_review": "under_review",
    "warning_needs_response": "warning_under_review",
    "warning_under_review": "warning_under_review",
}
GIVEN_UP = {
    "needs_response": "lost",
    "under_review": "lost",
    "warning_needs_response": "warning_closed",
    "warning_under_review": "warning_closed",
}
UNANSWERED = frozenset({"needs_response", "warning_needs_response"})
RULINGS = {
    ("under_review", "winning_evidence"): "won",
    ("under_review", "losing_evidence"): "lost",
    ("warning_under_review", "winning_evidence"): "warning_closed",
    ("warning_under_review", "losing_evidence"): "warning_closed",
    ("warning_under_review", "escalate_inquiry_evidence"): "needs_response",
}


def retrieve(work: Work, params: Json, path: Json) -> Reply:
    return Reply(existing(work, path["id"]))


def list_all(work: Work, params: Json, path: Json) -> Reply:
    """Newest first, by `charge`, `payment_intent`, `created`."""
    wanted = {name: params[name] for name in ("charge", "payment_intent") if name in params}

    def matches(dispute: Json) -> bool:
        return all(dispute[name] == value for name, value in wanted.items())

    return answer("/v1/disputes", work.tx.table("dispute").page(page_query("dispute", params), matches))


def update(work: Work, params: Json, path: Json) -> Reply:
    """Stage evidence; submit it unless `submit` is false. `submit` alone submits what was staged before."""
    dispute = _undecided(work, path["id"])
    changed = {**dispute, "metadata": merged_metadata(dispute["metadata"], params.get("metadata", {}))}
    changed = with_evidence(changed, params.get("evidence", {}))
    submits = params.get("submit", "evidence" in params) and changed["evidence_details"]["has_evidence"]
    if submits:
        changed = _submitted(work, changed)
    if changed != dispute:
        _put(work, changed)
        emit(work, "charge.dispute.updated", changed, differences(dispute, changed))
    if submits:
        _tell_of_charge(work, changed)
    return Reply(changed)


def close(work: Work, params: Json, path: Json) -> Reply:
    """Accept the loss, for good; an inquiry just ends."""
    dispute = _undecided(work, path["id"])
    dispute = _end(work, dispute, GIVEN_UP[dispute["status"]])
    _tell_of_charge(work, dispute)
    return Reply(dispute)


def existing(work: Work, identifier: str) -> Json:
    dispute = work.tx.find("dispute", identifier)
    if dispute is None:
        raise missing_resource("dispute", identifier, "dispute")
    return dispute


def arise(work: Work, charge: Json) -> None:
    """The money is there: the holders of some test cards dispute it at once."""
    method = work.tx.get("payment_method", charge["payment_method"])
    for complaint in complaints.of(payment_methods.instrument_of(work, method)):
        open_dispute(work, charge, complaint, charge["amount_captured"])


def open_dispute(work: Work, charge: Json, complaint: Complaint, amount: int) -> Json:
    """Dispute `amount` (minor units) of a captured charge."""
    work.tx.put("charge", charge["id"], {**charge, "disputed": True})
    dispute = new_dispute(work, charge, complaint, amount)
    if not complaint.inquiry:
        dispute = _moved(work, dispute, -amount, FEE, "Chargeback withdrawal")
    _put(work, dispute)
    _await_evidence(work, dispute)
    emit(work, "charge.dispute.created", dispute)
    _record(work, "dispute.opened", dispute)
    if not complaint.inquiry:
        _tell_of_withdrawal(work, dispute)
    return dispute


def dispute_captured(work: Work, charge_id: str, complaint: Complaint, amount: int | None) -> Json:
    """A customer disputes a payment of any time; without `amount` all that was not refunded, in minor units.

    Raises `ApiError` 400 where no customer could: https://docs.stripe.com/refunds.
    """
    charge = work.tx.find("charge", charge_id)
    if charge is None:
        raise missing_resource("charge", charge_id, "id")
    if not charge["captured"]:
        raise invalid("Only a captured charge can be disputed; this one is not captured.")
    if charge["refunded"] and not charges.is_debit(charge):
        raise invalid("A card payment that was fully refunded can't be disputed.")
    if any(dispute["status"] in GIVEN_UP for dispute in work.tx.owned_by("dispute", charge_id)):
        raise invalid("A dispute of this charge is open already: close it first.")
    rest = (charge["amount"] - charge["amount_refunded"]) or charge["amount_captured"]
    amount = rest if amount is None else amount
    if not 0 < amount <= charge["amount_captured"]:
        raise invalid(f"amount must be between 1 and {charge['amount_captured']}, what was captured.", "amount")
    return open_dispute(work, charge, complaint, amount)


def rule(work: Work, dispute_id: str, outcome: str) -> Json:
    """The issuer ends an open dispute now. Raises `ApiError` 400 for an end that it can't come to."""
    dispute = _undecided(work, dispute_id)
    possible = ("warning_closed",) if _is_inquiry(dispute) else ("won", "lost")
    if outcome not in possible:
        raise invalid(f"A dispute that is {dispute['status']} can only end as {' or '.join(possible)}.", "outcome")
    return _end(work, dispute, outcome)


def expire(work: Work, dispute_id: str) -> None:
    """The deadline has passed; evidence that is only staged does not help."""
    dispute = existing(work, dispute_id)
    if dispute["status"] in UNANSWERED:
        _end(work, dispute, GIVEN_UP[dispute["status"]])


def decide(work: Work, dispute_id: str) -> None:
    """The issuer has read the evidence."""
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


def _submitted(work: Work, dispute: Json) -> Json:
    details = dispute["evidence_details"]
    counted = {"submission_count": details["submission_count"] + 1, "past_due": work.now > details["due_by"]}
    dispute = {**dispute, "evidence_details": {**details, **counted}, "status": SUBMITTED[dispute["status"]]}
    stop_timer(work, DEADLINE, dispute["id"])
    if (dispute["status"], dispute["evidence"]["uncategorized_text"]) in RULINGS:
        set_timer(work, RULING, dispute["id"], RULING_S)
    else:
        stop_timer(work, RULING, dispute["id"])
    return dispute


def _escalate(work: Work, inquiry: Json) -> None:
    dispute = _moved(work, escalated(work, inquiry), -inquiry["amount"], FEE, "Chargeback withdrawal")
    _put(work, dispute)
    _await_evidence(work, dispute)
    emit(work, "charge.dispute.updated", dispute, differences(inquiry, dispute))
    _tell_of_withdrawal(work, dispute)


def _end(work: Work, dispute: Json, status: str) -> Json:
    stop_timer(work, DEADLINE, dispute["id"])
    stop_timer(work, RULING, dispute["id"])
    dispute = {**dispute, "status": status, "is_charge_refundable": status != "lost"}
    if status == "won":
        dispute = _moved(work, dispute, dispute["amount"], 0, "Chargeback reversal")
        emit(work, "charge.dispute.funds_reinstated", dispute)
        _record(work, "dispute.funds_reinstated", dispute)
    _put(work, dispute)
    emit(work, "charge.dispute.closed", dispute)
    _record(work, "dispute.closed", dispute)
    return dispute


def _moved(work: Work, dispute: Json, amount: int, fee: int, what: str) -> Json:
    """The dispute with one more balance transaction."""
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


def _undecided(work: Work, identifier: str) -> Json:
    dispute = existing(work, identifier)
    if dispute["status"] not in GIVEN_UP:
        raise invalid("This dispute is already closed")
    return dispute


def _is_inquiry(dispute: Json) -> bool:
    return bool(dispute["status"].startswith("warning_"))


def _await_evidence(work: Work, dispute: Json) -> None:
    """The last second still counts."""
    set_timer(work, DEADLINE, dispute["id"], dispute["evidence_details"]["due_by"] + 1 - work.now)


def _put(work: Work, dispute: Json) -> None:
    work.tx.put("dispute", dispute["id"], dispute)


def _tell_of_withdrawal(work: Work, dispute: Json) -> None:
    emit(work, "charge.dispute.funds_withdrawn", dispute)
    _record(work, "dispute.funds_withdrawn", dispute)
    _fail_pending_refunds(work, dispute)


def _fail_pending_refunds(work: Work, dispute: Json) -> None:
    """A card's money goes back once: what is not with the customer yet stays. A debit's can go back twice."""
    if charges.is_debit(work.tx.get("charge", dispute["charge"])):
        return
    for refund in work.tx.owned_by("refund", dispute["charge"]):
        if refund["status"] == "pending":
            refunds.settle(work, refund, "fail", "charge_for_pending_refund_disputed")


def _tell_of_charge(work: Work, dispute: Json) -> None:
    """What Stripe sends beside each step that the shop takes, though no field that it documents has changed."""
    emit(work, "charge.updated", work.tx.get("charge", dispute["charge"]), {})


def _record(work: Work, effect: ledger.Effect, dispute: Json) -> None:
    charge = work.tx.get("charge", dispute["charge"])
    intent = work.tx.get("payment_intent", dispute["payment_intent"])
    ledger.record(work, effect, intent, charge, dispute["amount"], source=dispute["id"])
