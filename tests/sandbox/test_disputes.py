"""Disputes: which cards bring them about, how each status takes each step, and the money they move."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Receiver
from tests.support.eventually import eventually
from tests.support.sandbox import SandboxProcess

AMOUNT = 3000
FEE = 1500
DAY_S = 24 * 3600
PAST_DEADLINE_S = 10 * DAY_S
PAST_RULING_S = 6
CARD: dict[str, Any] = {"amount": AMOUNT, "currency": "usd", "payment_method_types": ["card"]}

OPENED = ["payment_intent.created", "charge.succeeded", "charge.dispute.created"]
CHARGED_BACK = [*OPENED, "charge.dispute.funds_withdrawn", "payment_intent.succeeded"]
INQUIRED = [*OPENED, "payment_intent.succeeded"]

# card → reason, status, case type, network's code, events
CARDS = {
    "createDispute": ("fraudulent", "needs_response", "chargeback", "10.4", CHARGED_BACK),
    "createDisputeProductNotReceived": ("product_not_received", "needs_response", "chargeback", "13.1", CHARGED_BACK),
    "createDisputeInquiry": ("fraudulent", "warning_needs_response", "inquiry", "10", INQUIRED),
    "createCe3EligibleDispute": ("fraudulent", "needs_response", "chargeback", "10.4", CHARGED_BACK),
    "createComplianceDispute": ("noncompliant", "needs_response", "compliance", None, CHARGED_BACK),
    "createMastercardComplianceDispute": ("noncompliant", "needs_response", "compliance", None, CHARGED_BACK),
    "createAutoRepresentmentEligibleDispute": ("fraudulent", "needs_response", "chargeback", "10.4", CHARGED_BACK),
}


def pay(client: Any, method: str = "pm_card_visa", **more: Any) -> Any:
    return client.v1.payment_intents.create({**CARD, "payment_method": method, "confirm": True, **more})


def disputes_of(client: Any, intent: Any) -> list[Any]:
    found: list[Any] = client.v1.disputes.list({"payment_intent": intent.id}).data
    return found


def disputed(client: Any, card: str = "createDispute") -> Any:
    [dispute] = disputes_of(client, pay(client, f"pm_card_{card}"))
    return dispute


def submit(client: Any, dispute: Any, text: str = "The customer signed for it.") -> Any:
    return client.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": text}})


def events_of(client: Any, *ids: str) -> list[Any]:
    """Events about any of these objects, oldest first."""
    found = client.v1.events.list({"limit": 100}).data
    return [event for event in reversed(found) if event.data.object.id in ids]


def types_of(client: Any, *ids: str) -> list[str]:
    return [event.type for event in events_of(client, *ids)]


def rule(sandbox: SandboxProcess, dispute: Any, outcome: str) -> dict[str, Any]:
    return sandbox.control("POST", f"/sandbox/disputes/{dispute.id}/close", {"outcome": outcome})


def open_on(sandbox: SandboxProcess, charge_id: str, **how: Any) -> dict[str, Any]:
    return sandbox.control("POST", f"/sandbox/charges/{charge_id}/dispute", how)


@pytest.mark.parametrize("card", CARDS)
def test_a_dispute_card_pays_and_is_disputed_before_the_intent_has_succeeded(client: Any, card: str) -> None:
    intent = pay(client, f"pm_card_{card}")

    [dispute] = disputes_of(client, intent)
    details = dispute.payment_method_details.card
    charge = client.v1.charges.retrieve(intent.latest_charge)
    told = (dispute.reason, dispute.status, details.case_type, details.network_reason_code)
    assert (*told, types_of(client, intent.id, charge.id, dispute.id)) == CARDS[card]
    assert (intent.status, charge.disputed, dispute.charge) == ("succeeded", True, charge.id)
    assert dispute.is_charge_refundable is (details.case_type == "inquiry")


@pytest.mark.parametrize("token", ["tok_createDispute", "tok_visa_createDispute"])
def test_a_token_disputes_as_its_card_does(client: Any, token: str) -> None:
    intent = client.v1.payment_intents.create(
        {**CARD, "payment_method_data": {"type": "card", "card": {"token": token}}, "confirm": True}
    )
    assert [dispute.status for dispute in disputes_of(client, intent)] == ["needs_response"]


def test_a_number_disputes_as_its_card_does(client: Any) -> None:
    card = {"number": "4000000000001976", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    intent = client.v1.payment_intents.create(
        {**CARD, "payment_method_data": {"type": "card", "card": card}, "confirm": True}
    )
    assert [dispute.status for dispute in disputes_of(client, intent)] == ["warning_needs_response"]


def test_a_payment_can_be_disputed_twice(client: Any) -> None:
    intent = pay(client, "pm_card_createMultipleDisputes")
    assert [dispute.status for dispute in disputes_of(client, intent)] == ["needs_response", "needs_response"]


def test_what_is_held_is_disputed_only_once_it_is_captured(client: Any) -> None:
    intent = pay(client, "pm_card_createDispute", capture_method="manual")
    assert disputes_of(client, intent) == []

    client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 1000})

    [dispute] = disputes_of(client, intent)
    assert dispute.amount == 1000
    captured = types_of(client, intent.id, intent.latest_charge, dispute.id)[3:]
    assert captured == [
        "charge.captured",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ]


def test_a_debit_is_disputed_once_it_has_settled(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_usBankAccount_dispute", payment_method_types=["us_bank_account"])
    assert disputes_of(client, intent) == []

    sandbox.settle(intent.id)

    [dispute] = disputes_of(client, intent)
    assert (dispute.reason, dispute.status) == ("debit_not_authorized", "needs_response")
    assert "payment_method_details" not in dispute


def test_the_webhooks_of_a_chargeback_arrive(client: Any, sandbox: SandboxProcess, receiver: Receiver) -> None:
    sandbox.set_webhook(receiver.url)
    dispute = disputed(client)
    submit(client, dispute, "winning_evidence")
    sandbox.advance(PAST_RULING_S)

    receiver.wait_for(
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    )


def test_evidence_is_due_at_the_end_of_the_eighth_day(client: Any) -> None:
    dispute = disputed(client)
    due = dt.datetime.fromtimestamp(dispute.evidence_details.due_by, dt.UTC)
    opened = dt.datetime.fromtimestamp(dispute.created, dt.UTC)

    assert (due.date() - opened.date()).days == 8
    assert due.time() == dt.time(23, 59, 59)


REFUSED = "refused"

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

# status → where it is after each of the actions, in their order, and the issuer's ruling
TABLE = {
    "needs_response": (
        *("needs_response", "needs_response", "under_review", "won", "lost", "under_review"),
        *("lost", "lost", "won", "lost", REFUSED),
    ),
    "under_review": (
        *("under_review", "under_review", "under_review", "won", "lost", "under_review"),
        *("lost", "under_review", "won", "lost", REFUSED),
    ),
    "warning_needs_response": (
        *("warning_needs_response", "warning_needs_response", "warning_under_review"),
        *("warning_closed", "warning_closed", "needs_response"),
        *("warning_closed", "warning_closed", REFUSED, REFUSED, "warning_closed"),
    ),
    "warning_under_review": (
        *("warning_under_review", "warning_under_review", "warning_under_review"),
        *("warning_closed", "warning_closed", "needs_response"),
        *("warning_closed", "warning_under_review", REFUSED, REFUSED, "warning_closed"),
    ),
    **{final: (*[REFUSED] * 7, final, *[REFUSED] * 3) for final in ("won", "lost", "warning_closed")},
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
def test_each_status_takes_each_step_as_the_table_says(
    client: Any, sandbox: SandboxProcess, status: str, action: str, end: str
) -> None:
    """A refusal changes nothing; the balance has lost the amount exactly while a chargeback is open or lost."""
    dispute = in_status(client, sandbox, status)
    assert dispute.status == status
    step = ACTIONS[action]

    if end == REFUSED:
        with pytest.raises((stripe.InvalidRequestError, AssertionError)):
            step(client, sandbox, dispute)
        assert client.v1.disputes.retrieve(dispute.id) == dispute
        return
    step(client, sandbox, dispute)
    sandbox.advance(PAST_RULING_S)

    dispute = client.v1.disputes.retrieve(dispute.id)
    gone = end in ("needs_response", "under_review", "lost")
    assert dispute.status == end
    assert dispute.is_charge_refundable is not gone
    assert sum(moved.amount for moved in dispute.balance_transactions) == (-AMOUNT if gone else 0)
    closed = types_of(client, dispute.id).count("charge.dispute.closed")
    assert closed == (1 if end in ("won", "lost", "warning_closed") else 0)


def test_winning_evidence_is_under_review_until_the_issuer_has_read_it(client: Any, sandbox: SandboxProcess) -> None:
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


def test_the_clock_on_the_wall_lets_the_issuer_rule(client: Any) -> None:
    """Without anybody moving the clock, a ruling comes within seconds."""
    dispute = submit(client, disputed(client), "losing_evidence")
    eventually(lambda: client.v1.disputes.retrieve(dispute.id).status == "lost")


def test_a_chargeback_takes_the_amount_and_a_fee_and_a_win_gives_the_amount_back(
    client: Any, sandbox: SandboxProcess
) -> None:
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


def test_an_inquiry_takes_nothing_until_it_is_escalated(client: Any, sandbox: SandboxProcess) -> None:
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


def test_an_escalated_inquiry_has_a_deadline_again(client: Any, sandbox: SandboxProcess) -> None:
    dispute = submit(client, disputed(client, "createDisputeInquiry"), "escalate_inquiry_evidence")
    sandbox.advance(PAST_RULING_S)
    sandbox.advance(PAST_DEADLINE_S)
    assert client.v1.disputes.retrieve(dispute.id).status == "lost"


def test_an_inquiry_whose_payment_was_refunded_ends_instead_of_being_escalated(
    client: Any, sandbox: SandboxProcess
) -> None:
    inquiry = disputed(client, "createDisputeInquiry")
    client.v1.refunds.create({"charge": inquiry.charge})
    submit(client, inquiry, "escalate_inquiry_evidence")
    sandbox.advance(PAST_RULING_S)
    assert client.v1.disputes.retrieve(inquiry.id).status == "warning_closed"


def test_a_chargeback_forbids_refunds_until_it_is_won(client: Any, sandbox: SandboxProcess) -> None:
    dispute = disputed(client)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"charge": dispute.charge, "amount": 100})
    assert caught.value.code == "charge_disputed"

    rule(sandbox, dispute, "won")

    assert client.v1.refunds.create({"charge": dispute.charge, "amount": 100}).status == "succeeded"


def test_staged_evidence_is_submitted_by_another_request(client: Any) -> None:
    dispute = disputed(client)
    staged = client.v1.disputes.update(dispute.id, {"evidence": {"customer_name": "Ada"}, "submit": False})
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    assert staged.evidence_details.submission_count == 0

    sent = client.v1.disputes.update(dispute.id, {"submit": True})

    assert (sent.status, sent.evidence.customer_name) == ("under_review", "Ada")
    assert sent.evidence_details.submission_count == 1


def test_staged_evidence_does_not_hold_up_the_deadline(client: Any, sandbox: SandboxProcess) -> None:
    dispute = disputed(client)
    client.v1.disputes.update(dispute.id, {"evidence": {"customer_name": "Ada"}, "submit": False})
    sandbox.advance(PAST_DEADLINE_S)
    assert client.v1.disputes.retrieve(dispute.id).status == "lost"


def test_evidence_that_comes_late_is_marked(client: Any, sandbox: SandboxProcess) -> None:
    dispute = submit(client, disputed(client))
    assert dispute.evidence_details.past_due is False
    sandbox.advance(PAST_DEADLINE_S)
    assert submit(client, dispute, "One more thing.").evidence_details.past_due is True


def test_a_submission_without_evidence_submits_nothing(client: Any) -> None:
    dispute = disputed(client)
    assert client.v1.disputes.update(dispute.id, {"submit": True}) == dispute


def test_evidence_is_merged_and_an_empty_text_clears_it(client: Any) -> None:
    dispute = disputed(client)
    for evidence in ({"customer_name": "Ada", "receipt": "file_1"}, {"customer_name": ""}):
        dispute = client.v1.disputes.update(dispute.id, {"evidence": evidence, "submit": False})
    assert (dispute.evidence.customer_name, dispute.evidence.receipt) == (None, "file_1")


def test_the_fee_of_a_compliance_dispute_is_acknowledged_with_the_evidence(client: Any) -> None:
    dispute = disputed(client, "createComplianceDispute")
    asked = dispute.evidence_details.enhanced_eligibility.visa_compliance
    assert (dispute.enhanced_eligibility_types, asked.status) == (["visa_compliance"], "requires_fee_acknowledgement")

    granted = {"enhanced_evidence": {"visa_compliance": {"fee_acknowledged": True}}}
    dispute = client.v1.disputes.update(dispute.id, {"evidence": granted})

    assert dispute.evidence_details.enhanced_eligibility.visa_compliance.status == "fee_acknowledged"


def test_compelling_evidence_qualifies_once_two_earlier_payments_are_named(client: Any) -> None:
    dispute = disputed(client, "createCe3EligibleDispute")
    prior = [{"charge": pay(client).latest_charge, "customer_account_id": "7"} for _ in range(2)]

    def eligibility(**given: Any) -> Any:
        evidence = {"enhanced_evidence": {"visa_compelling_evidence_3": given}}
        changed = client.v1.disputes.update(dispute.id, {"evidence": evidence, "submit": False})
        return changed.evidence_details.enhanced_eligibility.visa_compelling_evidence_3

    one = eligibility(prior_undisputed_transactions=prior[:1])
    assert (one.status, one.required_actions) == (
        "requires_action",
        ["missing_merchandise_or_services", "missing_prior_undisputed_transactions"],
    )
    goods = {"merchandise_or_services": "merchandise", "shipping_address": {"city": "Rome"}}
    both = eligibility(prior_undisputed_transactions=prior, disputed_transaction=goods)
    assert (both.status, both.required_actions) == ("qualified", [])


def test_a_refund_under_way_fails_when_its_card_payment_is_charged_back(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_card_pendingRefund")
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})
    open_on(sandbox, intent.latest_charge, amount=AMOUNT)

    refund = client.v1.refunds.retrieve(refund.id)
    assert (refund.status, refund.failure_reason) == ("failed", "charge_for_pending_refund_disputed")
    assert client.v1.charges.retrieve(intent.latest_charge).amount_refunded == 0


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"evidence": {"colour": "red"}}, "parameter_unknown", "evidence[colour]"),
        (
            {"evidence": {"uncategorized_text": "x" * 20_001}},
            "parameter_invalid_string_length",
            "evidence[uncategorized_text]",
        ),
        ({"evidence": "none"}, None, "evidence"),
        ({"submit": "maybe"}, None, "submit"),
        ({"amount": 1}, "parameter_unknown", "amount"),
    ],
)
def test_a_bad_update_is_refused_and_changes_nothing(
    client: Any, change: dict[str, Any], code: str | None, param: str
) -> None:
    dispute = disputed(client)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.disputes.update(dispute.id, change)
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (400, code, param)
    assert client.v1.disputes.retrieve(dispute.id) == dispute


def test_a_closed_dispute_stays_closed(client: Any, sandbox: SandboxProcess) -> None:
    dispute = client.v1.disputes.close(disputed(client).id)
    assert dispute.status == "lost"
    for action in ("metadata", "submit", "close"):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            ACTIONS[action](client, sandbox, dispute)
        error = caught.value
        assert (error.http_status, error.code, error.param) == (400, None, None)
        assert error.user_message == "This dispute is already closed"


def test_an_unknown_dispute_is_404(client: Any) -> None:
    for call in (client.v1.disputes.retrieve, client.v1.disputes.update, client.v1.disputes.close):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            call("du_nothing")
        assert (caught.value.http_status, caught.value.code, caught.value.param) == (404, "resource_missing", "dispute")


def test_disputes_are_listed_by_charge_and_page_by_page(client: Any) -> None:
    intent = pay(client, "pm_card_createMultipleDisputes")
    newest, oldest = client.v1.disputes.list({"charge": intent.latest_charge}).data

    page = client.v1.disputes.list({"charge": intent.latest_charge, "limit": 1})
    assert ([one.id for one in page.data], page.has_more) == ([newest.id], True)
    page = client.v1.disputes.list({"charge": intent.latest_charge, "starting_after": newest.id})
    assert ([one.id for one in page.data], page.has_more) == ([oldest.id], False)
    page = client.v1.disputes.list({"charge": intent.latest_charge, "created": {"gt": newest.created}})
    assert page.data == []


def test_the_charge_and_the_intent_can_be_expanded(client: Any) -> None:
    dispute = disputed(client)
    dispute = client.v1.disputes.retrieve(dispute.id, {"expand": ["charge", "payment_intent"]})
    assert (dispute.charge.disputed, dispute.payment_intent.status) == (True, "succeeded")


def test_any_captured_charge_can_be_disputed_at_any_time(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client)
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})
    sandbox.advance(60 * DAY_S)

    opened = open_on(sandbox, intent.latest_charge, reason="duplicate")

    assert (opened["amount"], opened["reason"], opened["status"]) == (2000, "duplicate", "needs_response")
    assert client.v1.charges.retrieve(intent.latest_charge).disputed is True


def test_an_inquiry_about_a_part_can_be_opened(client: Any, sandbox: SandboxProcess) -> None:
    opened = open_on(sandbox, pay(client).latest_charge, inquiry=True, amount=700)
    assert (opened["amount"], opened["status"], opened["is_charge_refundable"]) == (700, "warning_needs_response", True)


def test_after_one_dispute_has_ended_another_can_be_opened(client: Any, sandbox: SandboxProcess) -> None:
    dispute = disputed(client)
    rule(sandbox, dispute, "won")
    assert open_on(sandbox, dispute.charge)["status"] == "needs_response"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"amount": AMOUNT + 1}, "amount must be between 1 and 3000"),
        ({"amount": 0}, "amount must be between 1 and 3000"),
        ({"reason": "boredom"}, "reason must be one of"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_dispute_that_makes_no_sense_is_not_opened(
    client: Any, sandbox: SandboxProcess, how: dict[str, Any], why: str
) -> None:
    charge = pay(client).latest_charge
    with pytest.raises(AssertionError, match=why):
        open_on(sandbox, charge, **how)
    assert client.v1.charges.retrieve(charge).disputed is False


def test_what_nobody_could_dispute_is_not_disputed(client: Any, sandbox: SandboxProcess) -> None:
    held = pay(client, capture_method="manual")
    refunded = pay(client)
    client.v1.refunds.create({"payment_intent": refunded.id})
    under_way = disputed(client)
    for charge, why in (
        (held.latest_charge, "not captured"),
        (refunded.latest_charge, "fully refunded"),
        (under_way.charge, "open already"),
        ("ch_nothing", "No such charge"),
    ):
        with pytest.raises(AssertionError, match=why):
            open_on(sandbox, charge)


def test_a_debit_can_be_both_refunded_and_disputed(client: Any, sandbox: SandboxProcess) -> None:
    """Which loses the money twice: https://docs.stripe.com/refunds."""
    intent = pay(client, "pm_usBankAccount", payment_method_types=["us_bank_account"])
    sandbox.settle(intent.id)
    client.v1.refunds.create({"payment_intent": intent.id})
    charge = client.v1.payment_intents.retrieve(intent.id).latest_charge

    assert open_on(sandbox, charge)["amount"] == AMOUNT


def test_a_deadline_survives_kill_9(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    answered = disputed(own_sandbox.client())
    unanswered = disputed(own_sandbox.client())
    submit(own_sandbox.client(), answered)
    own_sandbox.kill()
    own_sandbox.start()
    client: Any = own_sandbox.client()
    assert client.v1.disputes.retrieve(unanswered.id).status == "needs_response"

    own_sandbox.advance(PAST_DEADLINE_S)

    assert client.v1.disputes.retrieve(unanswered.id).status == "lost"
    assert types_of(client, unanswered.id)[-1] == "charge.dispute.closed"
    assert client.v1.disputes.retrieve(answered.id).status == "under_review"


def test_a_deadline_passes_at_its_own_moment(own_sandbox: SandboxProcess) -> None:
    """Not a second before, however far the clock is moved at once."""
    own_sandbox.start()
    client: Any = own_sandbox.client()
    dispute = disputed(client)
    due_by = dispute.evidence_details.due_by
    own_sandbox.advance(due_by - own_sandbox.control("GET", "/sandbox/clock")["now"] - 60)
    assert client.v1.disputes.retrieve(dispute.id).status == "needs_response"

    own_sandbox.advance(PAST_DEADLINE_S)

    [closed] = [event for event in events_of(client, dispute.id) if event.type == "charge.dispute.closed"]
    assert closed.created == due_by + 1
