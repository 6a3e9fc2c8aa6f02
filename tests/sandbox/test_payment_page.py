"""The page of one payment: what it tells, and its buttons."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.pages import look, pay, press
from tests.support.sandbox import SandboxProcess


def test_a_payment_declined_and_then_paid_tells_both_attempts(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, "pm_card_visa_chargeDeclinedInsufficientFunds", metadata={"order_id": "tells-both"})
    declined = look(sandbox, f"/payments/{intent.id}")
    assert "declined" in declined.words
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    paid = look(sandbox, f"/payments/{intent.id}")
    assert "19.99 EUR succeeded" in paid.words
    assert "insufficient_funds" in paid.words
    assert "captured 19.99 EUR" in paid.words
    kinds = ("payment_intent.created", "charge.failed", "payment_intent.payment_failed", "charge.succeeded")
    places = [paid.words.index(kind) for kind in kinds]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("method", "capture", "buttons"),
    [
        (None, "automatic", ["Cancel the payment"]),
        ("pm_card_threeDSecure2Required", "automatic", ["Pass 3-D Secure", "Fail 3-D Secure", "Cancel the payment"]),
        ("pm_card_visa", "manual", ["Capture", "Cancel the payment"]),
        ("pm_card_visa", "automatic", ["Refund", "Open a dispute", "Open an inquiry"]),
    ],
)
def test_a_payment_has_the_buttons_that_fit_its_state(
    sandbox: SandboxProcess, client: Any, method: str | None, capture: str, buttons: list[str]
) -> None:
    intent = pay(client, method, capture_method=capture)
    assert look(sandbox, f"/payments/{intent.id}").buttons == buttons


def test_three_d_secure_can_be_passed_and_failed(sandbox: SandboxProcess, client: Any) -> None:
    passing, failing = (pay(client, "pm_card_threeDSecure2Required") for _ in range(2))
    assert "The customer passed 3-D Secure." in press(sandbox, f"/payments/{passing.id}/pass").words
    assert "The customer failed 3-D Secure." in press(sandbox, f"/payments/{failing.id}/fail").words
    states = [client.v1.payment_intents.retrieve(intent.id).status for intent in (passing, failing)]
    assert states == ["succeeded", "requires_payment_method"]


def test_a_part_is_captured_and_a_part_of_that_refunded(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, capture_method="manual")
    press(sandbox, f"/payments/{intent.id}/capture", amount="15.00")
    shown = press(sandbox, f"/payments/{intent.id}/refund", amount="4.01")
    assert "partially refunded" in shown.words
    assert [(entry["effect"], entry["amount"]) for entry in sandbox.ledger() if entry["payment_intent"] == intent.id][
        -2:
    ] == [("refund.created", 401), ("refund.succeeded", 401)]
    assert 'value="10.99"' in shown.text
    shown = press(sandbox, f"/payments/{intent.id}/refund", amount="")
    assert "Refund" not in shown.buttons
    assert sum(refund.amount for refund in client.v1.refunds.list({"payment_intent": intent.id}).data) == 1500


@pytest.mark.parametrize("amount", ["19.999", "-1", "1e2", "20.00", "0", "a lot", "\uff11"])
def test_an_amount_that_is_none_or_too_much_is_refused_and_moves_nothing(
    sandbox: SandboxProcess, client: Any, amount: str
) -> None:
    intent = pay(client)
    before = len(sandbox.ledger())
    shown = look(sandbox, f"/payments/{intent.id}/refund", {"amount": amount})
    assert shown.status == 400
    assert shown.problem
    assert "19.99 EUR" in shown.words
    assert len(sandbox.ledger()) == before


def test_a_button_that_no_longer_fits_says_why(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client)
    shown = look(sandbox, f"/payments/{intent.id}/cancel", {})
    assert shown.status == 400
    assert "succeeded" in shown.problem


def test_a_dispute_is_opened_and_won(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client)
    shown = press(sandbox, f"/payments/{intent.id}/dispute")
    assert "needs_response" in shown.words
    assert shown.buttons == ["Won", "Lost"]
    dispute = client.v1.disputes.list({"payment_intent": intent.id}).data[0]
    shown = press(sandbox, f"/payments/{intent.id}/dispute-won", object=dispute.id)
    assert client.v1.disputes.retrieve(dispute.id).status == "won"
    assert "Won" not in shown.buttons


def test_a_refund_fails_late_by_a_button(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client)
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    press(sandbox, f"/payments/{intent.id}/refund-fail", object=refund.id)
    assert client.v1.refunds.retrieve(refund.id).status == "failed"


def test_a_debit_settles_by_a_button(sandbox: SandboxProcess, client: Any) -> None:
    debit = {"type": "sepa_debit", "sepa_debit": {"iban": "AT611904300234573201"}}
    method = client.v1.payment_methods.create({**debit, "billing_details": {"name": "A", "email": "a@example.com"}})
    intent = pay(client, None, payment_method_types=["sepa_debit"])
    mandate = {"customer_acceptance": {"type": "offline"}}
    client.v1.payment_intents.confirm(intent.id, {"payment_method": method.id, "mandate_data": mandate})
    assert "Bounce the debit" in look(sandbox, f"/payments/{intent.id}").buttons
    press(sandbox, f"/payments/{intent.id}/settle")
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"
