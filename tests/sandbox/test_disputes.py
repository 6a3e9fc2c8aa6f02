"""Disputes opened by test cards or the control API, and their deadlines."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Receiver
from tests.sandbox.disputes import (
    AMOUNT,
    CARD,
    DAY_S,
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
from tests.support.sandbox import SandboxProcess

OPENED = ["payment_intent.created", "charge.succeeded", "charge.dispute.created"]
CHARGED_BACK = [*OPENED, "charge.dispute.funds_withdrawn", "payment_intent.succeeded"]
INQUIRED = [*OPENED, "payment_intent.succeeded"]


# card → reason, status, case type, network reason code, events
CARDS = {
    "createDispute": ("fraudulent", "needs_response", "chargeback", "10.4", CHARGED_BACK),
    "createDisputeProductNotReceived": ("product_not_received", "needs_response", "chargeback", "13.1", CHARGED_BACK),
    "createDisputeInquiry": ("fraudulent", "warning_needs_response", "inquiry", "10", INQUIRED),
    "createCe3EligibleDispute": ("fraudulent", "needs_response", "chargeback", "10.4", CHARGED_BACK),
    "createComplianceDispute": ("noncompliant", "needs_response", "compliance", None, CHARGED_BACK),
    "createMastercardComplianceDispute": ("noncompliant", "needs_response", "compliance", None, CHARGED_BACK),
    "createAutoRepresentmentEligibleDispute": ("fraudulent", "needs_response", "chargeback", "10.4", CHARGED_BACK),
}


@pytest.mark.parametrize("card", CARDS)
def test_dispute_events_precede_the_success_of_the_intent(client: Any, card: str) -> None:
    intent = pay(client, f"pm_card_{card}")

    [dispute] = disputes_of(client, intent)
    details = dispute.payment_method_details.card
    charge = client.v1.charges.retrieve(intent.latest_charge)
    found = (dispute.reason, dispute.status, details.case_type, details.network_reason_code)
    assert (*found, types_of(client, intent.id, charge.id, dispute.id)) == CARDS[card]
    assert (intent.status, charge.disputed, dispute.charge) == ("succeeded", True, charge.id)
    assert dispute.is_charge_refundable is (details.case_type == "inquiry")


@pytest.mark.parametrize("token", ["tok_createDispute", "tok_visa_createDispute"])
def test_dispute_token_behaves_like_its_card(client: Any, token: str) -> None:
    intent = client.v1.payment_intents.create(
        {**CARD, "payment_method_data": {"type": "card", "card": {"token": token}}, "confirm": True}
    )
    assert [dispute.status for dispute in disputes_of(client, intent)] == ["needs_response"]


def test_dispute_number_behaves_like_its_card(client: Any) -> None:
    card = {"number": "4000000000001976", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    intent = client.v1.payment_intents.create(
        {**CARD, "payment_method_data": {"type": "card", "card": card}, "confirm": True}
    )
    assert [dispute.status for dispute in disputes_of(client, intent)] == ["warning_needs_response"]


def test_payment_can_be_disputed_twice(client: Any) -> None:
    intent = pay(client, "pm_card_createMultipleDisputes")
    assert [dispute.status for dispute in disputes_of(client, intent)] == ["needs_response", "needs_response"]


def test_authorization_is_disputed_only_after_capture(client: Any) -> None:
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


def test_debit_is_disputed_only_after_it_succeeds(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_usBankAccount_dispute", payment_method_types=["us_bank_account"])
    assert disputes_of(client, intent) == []

    sandbox.settle(intent.id)

    [dispute] = disputes_of(client, intent)
    assert (dispute.reason, dispute.status) == ("debit_not_authorized", "needs_response")
    assert "payment_method_details" not in dispute


def test_webhooks_of_a_chargeback_are_delivered(client: Any, sandbox: SandboxProcess, receiver: Receiver) -> None:
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


def test_unknown_dispute_is_404(client: Any) -> None:
    for call in (client.v1.disputes.retrieve, client.v1.disputes.update, client.v1.disputes.close):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            call("du_nothing")
        assert (caught.value.http_status, caught.value.code, caught.value.param) == (404, "resource_missing", "dispute")


def test_disputes_are_listed_by_charge_and_paged(client: Any) -> None:
    intent = pay(client, "pm_card_createMultipleDisputes")
    newest, oldest = client.v1.disputes.list({"charge": intent.latest_charge}).data

    page = client.v1.disputes.list({"charge": intent.latest_charge, "limit": 1})
    assert ([one.id for one in page.data], page.has_more) == ([newest.id], True)
    page = client.v1.disputes.list({"charge": intent.latest_charge, "starting_after": newest.id})
    assert ([one.id for one in page.data], page.has_more) == ([oldest.id], False)
    page = client.v1.disputes.list({"charge": intent.latest_charge, "created": {"gt": newest.created}})
    assert page.data == []


def test_charge_and_intent_can_be_expanded(client: Any) -> None:
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


def test_inquiry_about_part_of_a_charge_can_be_opened(client: Any, sandbox: SandboxProcess) -> None:
    opened = open_on(sandbox, pay(client).latest_charge, inquiry=True, amount=700)
    assert (opened["amount"], opened["status"], opened["is_charge_refundable"]) == (700, "warning_needs_response", True)


def test_second_dispute_can_be_opened_after_the_first_has_ended(client: Any, sandbox: SandboxProcess) -> None:
    dispute = disputed(client)
    rule(sandbox, dispute, "won")
    assert open_on(sandbox, dispute.charge)["status"] == "needs_response"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"amount": AMOUNT + 1}, "amount must be between 1 and 3000"),
        ({"amount": 0}, "amount must be between 1 and 3000"),
        ({"reason": "boredom"}, "reason must be one of"),
        ({"color": "red"}, "color"),
    ],
)
def test_invalid_dispute_is_rejected(client: Any, sandbox: SandboxProcess, how: dict[str, Any], why: str) -> None:
    charge = pay(client).latest_charge
    with pytest.raises(AssertionError, match=why):
        open_on(sandbox, charge, **how)
    assert client.v1.charges.retrieve(charge).disputed is False


def test_charge_that_cannot_be_disputed_is_rejected(client: Any, sandbox: SandboxProcess) -> None:
    authorized = pay(client, capture_method="manual")
    refunded = pay(client)
    client.v1.refunds.create({"payment_intent": refunded.id})
    under_way = disputed(client)
    for charge, why in (
        (authorized.latest_charge, "not captured"),
        (refunded.latest_charge, "fully refunded"),
        (under_way.charge, "open dispute"),
        ("ch_nothing", "No such charge"),
    ):
        with pytest.raises(AssertionError, match=why):
            open_on(sandbox, charge)


def test_debit_can_be_both_refunded_and_disputed(client: Any, sandbox: SandboxProcess) -> None:
    """The shop then loses the money twice: https://docs.stripe.com/refunds."""
    intent = pay(client, "pm_usBankAccount", payment_method_types=["us_bank_account"])
    sandbox.settle(intent.id)
    client.v1.refunds.create({"payment_intent": intent.id})
    charge = client.v1.payment_intents.retrieve(intent.id).latest_charge

    assert open_on(sandbox, charge)["amount"] == AMOUNT


def test_deadline_survives_kill_9(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    contested = disputed(own_sandbox.client())
    uncontested = disputed(own_sandbox.client())
    submit(own_sandbox.client(), contested)
    own_sandbox.kill()
    own_sandbox.start()
    client: Any = own_sandbox.client()
    assert client.v1.disputes.retrieve(uncontested.id).status == "needs_response"

    own_sandbox.advance(PAST_DEADLINE_S)

    assert client.v1.disputes.retrieve(uncontested.id).status == "lost"
    assert types_of(client, uncontested.id)[-1] == "charge.dispute.closed"
    assert client.v1.disputes.retrieve(contested.id).status == "under_review"


def test_deadline_takes_effect_at_its_own_time(own_sandbox: SandboxProcess) -> None:
    """The time is exact even if the clock is advanced far beyond it."""
    own_sandbox.start()
    client: Any = own_sandbox.client()
    dispute = disputed(client)
    due_by = dispute.evidence_details.due_by
    own_sandbox.advance(due_by - own_sandbox.control("GET", "/sandbox/clock")["now"] - 60)
    assert client.v1.disputes.retrieve(dispute.id).status == "needs_response"

    own_sandbox.advance(PAST_DEADLINE_S)

    [closed] = [event for event in events_of(client, dispute.id) if event.type == "charge.dispute.closed"]
    assert closed.created == due_by + 1
