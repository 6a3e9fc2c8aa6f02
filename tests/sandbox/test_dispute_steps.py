"""The result of each step in each status of a dispute, and the money it moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import stripe

from tests.sandbox.disputes import (
    AMOUNT,
    FEE,
    PAST_DEADLINE_S,
    PAST_RULING_S,
    disputed,
    disputes_of,
    events_of,
    open_on,
    pay,
    rule,
    submit,
    types_of,
)
from tests.support.eventually import eventually
from tests.support.sandbox import SandboxProcess

REJECTED = "rejected"


ACTIONS: dict[str, Callable[[Any, SandboxProcess, Any], Any]] = {
    "metadata": lambda client, _, it: client.v1.disputes.update(it.id, {"metadata": {"case": "4471"}}),
    "stage": lambda client, _, it: client.v1.disputes.update(
        it.id, {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": False}
    ),
    "submit": lambda client, _, it: submit(client, it),
    "submit winning": lambda client, _, it: submit(client, it, "winning_evidence"),
    "submit losing": lambda client, _, it: submit(client, it, "losing_evidence"),
    "submit escalating": lambda client, _, it: submit(client, it, "escalate_inquiry_evidence"),
    "close": lambda client, _, it: client.v1.disputes.close(it.id),
    "deadline": lambda _, sandbox, __: sandbox.advance(PAST_DEADLINE_S),
    "issuer: won": lambda _, sandbox, it: rule(sandbox, it, "won"),
    "issuer: lost": lambda _, sandbox, it: rule(sandbox, it, "lost"),
    "issuer: warning_closed": lambda _, sandbox, it: rule(sandbox, it, "warning_closed"),
}


# status → status after each of ACTIONS, in order, once the issuer has decided
TABLE = {
    "needs_response": (
        *("needs_response", "needs_response", "under_review", "won", "lost", "under_review"),
        *("lost", "lost", "won", "lost", REJECTED),
    ),
    "under_review": (
        *("under_review", "under_review", "under_review", "won", "lost", "under_review"),
        *("lost", "under_review", "won", "lost", REJECTED),
    ),
    "warning_needs_response": (
        *("warning_needs_response", "warning_needs_response", "warning_under_review"),
        *("warning_closed", "warning_closed", "needs_response"),
        *("warning_closed", "warning_closed", REJECTED, REJECTED, "warning_closed"),
    ),
    "warning_under_review": (
        *("warning_under_review", "warning_under_review", "warning_under_review"),
        *("warning_closed", "warning_closed", "needs_response"),
        *("warning_closed", "warning_under_review", REJECTED, REJECTED, "warning_closed"),
    ),
    **{final: (*[REJECTED] * 7, final, *[REJECTED] * 3) for final in ("won", "lost", "warning_closed")},
}
CELLS = [(status, action, end) for status, ends in TABLE.items() for action, end in zip(ACTIONS, ends, strict=True)]


def in_status(client: Any, sandbox: SandboxProcess, status: str) -> Any:
    dispute = disputed(client, "createDisputeInquiry" if status.startswith("warning") else "createDispute")
    if status.endswith("under_review"):
        return submit(client, dispute)
    if status in ("won", "lost", "warning_closed"):
        rule(sandbox, dispute, status)
    return client.v1.disputes.retrieve(dispute.id)


@pytest.mark.parametrize(("status", "action", "end"), CELLS)
def test_each_step_in_each_status_has_the_expected_result(
    client: Any, sandbox: SandboxProcess, status: str, action: str, end: str
) -> None:
    """A rejected step changes nothing. The balance is reduced exactly while a chargeback is open or lost."""
    dispute = in_status(client, sandbox, status)
    assert dispute.status == status
    step = ACTIONS[action]

    if end == REJECTED:
        with pytest.raises((stripe.InvalidRequestError, AssertionError)):
            step(client, sandbox, dispute)
        assert client.v1.disputes.retrieve(dispute.id) == dispute
        return
    step(client, sandbox, dispute)
    sandbox.advance(PAST_RULING_S)

    dispute = client.v1.disputes.retrieve(dispute.id)
    withdrawn = end in ("needs_response", "under_review", "lost")
    assert dispute.status == end
    assert dispute.is_charge_refundable is not withdrawn
    assert sum(moved.amount for moved in dispute.balance_transactions) == (-AMOUNT if withdrawn else 0)
    closed = types_of(client, dispute.id).count("charge.dispute.closed")
    assert closed == (1 if end in ("won", "lost", "warning_closed") else 0)


def test_winning_evidence_is_under_review_before_the_dispute_is_won(client: Any, sandbox: SandboxProcess) -> None:
    dispute = submit(client, disputed(client), "winning_evidence")
    assert dispute.status == "under_review"

    sandbox.advance(PAST_RULING_S)

    dispute = client.v1.disputes.retrieve(dispute.id)
    assert (dispute.status, dispute.is_charge_refundable) == ("won", True)
    events = events_of(client, dispute.id, dispute.charge)
    assert [event.type for event in events if event.type != "charge.updated"][1:] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]
    [updated] = [event for event in events if event.type == "charge.dispute.updated"]
    assert updated.data.previous_attributes.to_dict() == {
        "status": "needs_response",
        "evidence": {"uncategorized_text": None},
        "evidence_details": {"has_evidence": False, "submission_count": 0},
    }


def test_issuer_decides_in_real_time(client: Any) -> None:
    """The decision comes within seconds without advancing the clock."""
    dispute = submit(client, disputed(client), "losing_evidence")
    eventually(lambda: client.v1.disputes.retrieve(dispute.id).status == "lost")


def test_won_chargeback_returns_the_amount_but_not_the_fee(client: Any, sandbox: SandboxProcess) -> None:
    before = len(sandbox.ledger())
    intent = pay(client, "pm_card_createDispute", metadata={"order_id": "dispute-1"})
    [dispute] = disputes_of(client, intent)
    rule(sandbox, dispute, "won")

    taken, returned = client.v1.disputes.retrieve(dispute.id).balance_transactions
    assert (taken.type, taken.reporting_category, taken.amount, taken.fee) == ("adjustment", "dispute", -AMOUNT, FEE)
    assert (returned.reporting_category, returned.amount, returned.fee) == ("dispute_reversal", AMOUNT, 0)
    assert [one.description for one in taken.fee_details] == ["Dispute fee"]
    assert client.v1.balance_transactions.retrieve(taken.id).source == dispute.id

    entries = [(one["effect"], one["source"], one["amount"]) for one in sandbox.ledger(before)]
    assert entries == [
        ("intent.created", None, AMOUNT),
        ("charge.captured", None, AMOUNT),
        ("dispute.opened", dispute.id, AMOUNT),
        ("dispute.funds_withdrawn", dispute.id, AMOUNT),
        ("dispute.funds_reinstated", dispute.id, AMOUNT),
        ("dispute.closed", dispute.id, AMOUNT),
    ]
    assert {one["metadata"]["order_id"] for one in sandbox.ledger(before)} == {"dispute-1"}


def test_inquiry_withdraws_funds_only_when_escalated(client: Any, sandbox: SandboxProcess) -> None:
    inquiry = disputed(client, "createDisputeInquiry")
    assert inquiry.balance_transactions == []

    submit(client, inquiry, "escalate_inquiry_evidence")
    sandbox.advance(PAST_RULING_S)

    dispute = client.v1.disputes.retrieve(inquiry.id)
    assert (dispute.status, dispute.payment_method_details.card.case_type) == ("needs_response", "chargeback")
    assert [(one.amount, one.fee) for one in dispute.balance_transactions] == [(-AMOUNT, FEE)]
    assert types_of(client, dispute.id) == [
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.updated",
        "charge.dispute.funds_withdrawn",
    ]


def test_escalated_inquiry_has_a_new_deadline(client: Any, sandbox: SandboxProcess) -> None:
    dispute = submit(client, disputed(client, "createDisputeInquiry"), "escalate_inquiry_evidence")
    sandbox.advance(PAST_RULING_S)
    sandbox.advance(PAST_DEADLINE_S)
    assert client.v1.disputes.retrieve(dispute.id).status == "lost"


def test_refunded_inquiry_is_closed_instead_of_escalated(client: Any, sandbox: SandboxProcess) -> None:
    inquiry = disputed(client, "createDisputeInquiry")
    client.v1.refunds.create({"charge": inquiry.charge})
    submit(client, inquiry, "escalate_inquiry_evidence")
    sandbox.advance(PAST_RULING_S)
    assert client.v1.disputes.retrieve(inquiry.id).status == "warning_closed"


def test_chargeback_blocks_refunds_until_it_is_won(client: Any, sandbox: SandboxProcess) -> None:
    dispute = disputed(client)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"charge": dispute.charge, "amount": 100})
    assert caught.value.code == "charge_disputed"

    rule(sandbox, dispute, "won")

    assert client.v1.refunds.create({"charge": dispute.charge, "amount": 100}).status == "succeeded"


def test_pending_refund_fails_when_its_charge_is_disputed(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_card_pendingRefund")
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})
    open_on(sandbox, intent.latest_charge, amount=AMOUNT)

    refund = client.v1.refunds.retrieve(refund.id)
    assert (refund.status, refund.failure_reason) == ("failed", "charge_for_pending_refund_disputed")
    assert client.v1.charges.retrieve(intent.latest_charge).amount_refunded == 0


def test_closed_dispute_stays_closed(client: Any, sandbox: SandboxProcess) -> None:
    dispute = client.v1.disputes.close(disputed(client).id)
    assert dispute.status == "lost"
    for action in ("metadata", "submit", "close"):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            ACTIONS[action](client, sandbox, dispute)
        error = caught.value
        assert (error.http_status, error.code, error.param) == (400, None, None)
        assert error.user_message == "This dispute is already closed"
