"""The page of one payment: its content and its buttons."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.pages import pay, request_page, submit_form
from tests.support.sandbox import SandboxProcess


def test_page_shows_the_declined_and_the_successful_attempt(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, "pm_card_visa_chargeDeclinedInsufficientFunds", metadata={"order_id": "two-attempts"})
    declined = request_page(sandbox, f"/payments/{intent.id}")
    assert "declined" in declined.visible_text
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    paid = request_page(sandbox, f"/payments/{intent.id}")
    assert "19.99 EUR succeeded" in paid.visible_text
    assert "insufficient_funds" in paid.visible_text
    assert "captured 19.99 EUR" in paid.visible_text
    kinds = ("payment_intent.created", "charge.failed", "payment_intent.payment_failed", "charge.succeeded")
    positions = [paid.visible_text.index(kind) for kind in kinds]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("method", "capture", "actions"),
    [
        (None, "automatic", ["cancel"]),
        ("pm_card_threeDSecure2Required", "automatic", ["pass", "fail", "cancel"]),
        ("pm_card_visa", "manual", ["capture", "cancel"]),
        ("pm_card_visa", "automatic", ["refund", "dispute", "inquire"]),
    ],
)
def test_page_has_the_actions_allowed_in_each_state(
    sandbox: SandboxProcess, client: Any, method: str | None, capture: str, actions: list[str]
) -> None:
    intent = pay(client, method, capture_method=capture)
    assert request_page(sandbox, f"/payments/{intent.id}").actions == actions


def test_three_d_secure_can_be_completed_or_failed(sandbox: SandboxProcess, client: Any) -> None:
    passing, failing = (pay(client, "pm_card_threeDSecure2Required") for _ in range(2))
    assert "pass" not in submit_form(sandbox, f"/payments/{passing.id}/pass").actions
    assert "fail" not in submit_form(sandbox, f"/payments/{failing.id}/fail").actions
    states = [client.v1.payment_intents.retrieve(intent.id).status for intent in (passing, failing)]
    assert states == ["succeeded", "requires_payment_method"]


def test_payment_can_be_captured_and_refunded_partially(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, capture_method="manual")
    submit_form(sandbox, f"/payments/{intent.id}/capture", amount="15.00")
    page = submit_form(sandbox, f"/payments/{intent.id}/refund", amount="4.01")
    assert "partially refunded" in page.visible_text
    assert [(entry["effect"], entry["amount"]) for entry in sandbox.ledger() if entry["payment_intent"] == intent.id][
        -2:
    ] == [("refund.created", 401), ("refund.succeeded", 401)]
    assert 'value="10.99"' in page.text
    page = submit_form(sandbox, f"/payments/{intent.id}/refund", amount="")
    assert "refund" not in page.actions
    assert sum(refund.amount for refund in client.v1.refunds.list({"payment_intent": intent.id}).data) == 1500


@pytest.mark.parametrize("amount", ["19.999", "-1", "1e2", "20.00", "0", "a lot", "\uff11"])
def test_invalid_refund_amount_is_rejected_and_moves_no_money(
    sandbox: SandboxProcess, client: Any, amount: str
) -> None:
    intent = pay(client)
    before = len(sandbox.ledger())
    page = request_page(sandbox, f"/payments/{intent.id}/refund", {"amount": amount})
    assert page.status == 400
    assert page.error
    assert "19.99 EUR" in page.visible_text
    assert len(sandbox.ledger()) == before


def test_illegal_action_is_rejected_with_the_status(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client)
    page = request_page(sandbox, f"/payments/{intent.id}/cancel", {})
    assert page.status == 400
    assert "succeeded" in page.error


def test_dispute_can_be_opened_and_won(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client)
    page = submit_form(sandbox, f"/payments/{intent.id}/dispute")
    assert "needs_response" in page.visible_text
    assert page.actions == ["dispute-won", "dispute-lost"]
    dispute = client.v1.disputes.list({"payment_intent": intent.id}).data[0]
    page = submit_form(sandbox, f"/payments/{intent.id}/dispute-won", object=dispute.id)
    assert client.v1.disputes.retrieve(dispute.id).status == "won"
    assert "dispute-won" not in page.actions


def test_refund_can_be_failed_later(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client)
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    submit_form(sandbox, f"/payments/{intent.id}/refund-fail", object=refund.id)
    assert client.v1.refunds.retrieve(refund.id).status == "failed"


def test_bank_debit_can_be_completed(sandbox: SandboxProcess, client: Any) -> None:
    debit = {"type": "sepa_debit", "sepa_debit": {"iban": "AT611904300234573201"}}
    method = client.v1.payment_methods.create({**debit, "billing_details": {"name": "A", "email": "a@example.com"}})
    intent = pay(client, None, payment_method_types=["sepa_debit"])
    mandate = {"customer_acceptance": {"type": "offline"}}
    client.v1.payment_intents.confirm(intent.id, {"payment_method": method.id, "mandate_data": mandate})
    assert "bounce" in request_page(sandbox, f"/payments/{intent.id}").actions
    submit_form(sandbox, f"/payments/{intent.id}/settle")
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"
