"""Refunds after creation: pending, late failure, completion by the control API or the clock, cancellation."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from stripe_sandbox.resources.refunds import LATE_FAILURE_S, PENDING_S
from tests.sandbox.conftest import Receiver
from tests.sandbox.refunds import charge_of, effects, events_since, paid, rejected
from tests.sandbox.test_cards import pay
from tests.support.sandbox import SandboxProcess


@pytest.mark.parametrize("number", [None, "4000000000007726"])
def test_refunds_of_the_pending_refund_card_succeed_later(
    client: Any, sandbox: SandboxProcess, number: str | None
) -> None:
    method = "pm_card_pendingRefund"
    if number is not None:
        card = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        method = client.v1.payment_methods.create({"type": "card", "card": card}).id
    intent = paid(client, method)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    assert charge_of(client, intent).amount_refunded == 300
    assert effects(sandbox, refund.id) == [("refund.created", 300)]

    sandbox.advance(PENDING_S)

    refund = client.v1.refunds.retrieve(refund.id)
    assert refund.status == "succeeded"
    assert not hasattr(refund, "pending_reason")
    assert events_since(client, intent) == [
        "refund.created",
        "charge.refunded",
        "refund.updated",
        "charge.refund.updated",
    ]
    previous = client.v1.events.list({"type": "refund.updated", "limit": 1}).data[0].data.previous_attributes
    assert previous.to_dict() == {"status": "pending", "pending_reason": "processing"}
    assert effects(sandbox, refund.id) == [("refund.created", 300), ("refund.succeeded", 300)]


def test_refunds_of_the_refund_fail_card_fail_later(client: Any, sandbox: SandboxProcess) -> None:
    intent = paid(client, "pm_card_refundFail")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    assert charge_of(client, intent).refunded
    assert rejected(client, payment_intent=intent.id).code == "charge_already_refunded"

    sandbox.advance(LATE_FAILURE_S)

    failed = client.v1.refunds.retrieve(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "unknown")
    assert str(failed.failure_balance_transaction).startswith("txn_")
    charge = charge_of(client, intent)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert events_since(client, intent)[2:] == ["refund.failed", "charge.refund.updated"]
    assert effects(sandbox, refund.id) == [
        ("refund.created", 1000),
        ("refund.succeeded", 1000),
        ("refund.failed", 1000),
    ]
    assert client.v1.refunds.create({"payment_intent": intent.id, "amount": 1000}).amount == 1000


def test_refund_of_a_bank_debit_is_pending_and_succeeds_later(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_usBankAccount", payment_method_types=["us_bank_account"])
    sandbox.settle(intent.id)
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "pending"

    sandbox.advance(PENDING_S)

    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"


def test_succeeded_refund_can_be_failed_by_the_control_api(client: Any, sandbox: SandboxProcess) -> None:
    intent = paid(client)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 400})

    failed = sandbox.settle_refund(refund.id, "fail", failure_reason="lost_or_stolen_card")

    assert (failed["status"], failed["failure_reason"]) == ("failed", "lost_or_stolen_card")
    assert charge_of(client, intent).amount_refunded == 0
    with pytest.raises(AssertionError, match="status of failed"):
        sandbox.settle_refund(refund.id, "succeed")


def test_refund_completed_by_the_control_api_is_not_completed_again(client: Any, sandbox: SandboxProcess) -> None:
    intent = paid(client, "pm_card_pendingRefund")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    sandbox.settle_refund(refund.id, "fail", failure_reason="declined")

    sandbox.advance(PENDING_S)

    assert client.v1.refunds.retrieve(refund.id).status == "failed"
    assert effects(sandbox, refund.id) == [("refund.created", 1000), ("refund.failed", 1000)]


def test_refund_can_be_canceled_only_while_it_requires_action(client: Any, sandbox: SandboxProcess) -> None:
    intent = paid(client, "pm_card_pendingRefund")
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 400})
    with pytest.raises(stripe.InvalidRequestError, match="status of pending"):
        client.v1.refunds.cancel(refund.id)
    waiting = sandbox.settle_refund(refund.id, "require_action")
    assert (waiting["status"], waiting["next_action"]["type"]) == ("requires_action", "display_details")

    canceled = client.v1.refunds.cancel(refund.id)

    assert canceled.status == "canceled"
    assert charge_of(client, intent).amount_refunded == 0
    assert effects(sandbox, refund.id) == [("refund.created", 400), ("refund.canceled", 400)]
    assert events_since(client, intent)[2:] == ["refund.updated", "charge.refund.updated"] * 2
    sandbox.advance(PENDING_S)
    assert client.v1.refunds.retrieve(refund.id).status == "canceled"


def test_refund_that_required_action_can_succeed(client: Any, sandbox: SandboxProcess) -> None:
    refund = client.v1.refunds.create({"payment_intent": paid(client, "pm_card_pendingRefund").id})
    sandbox.settle_refund(refund.id, "require_action")

    assert sandbox.settle_refund(refund.id)["status"] == "succeeded"
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"


def test_pending_refund_and_its_timer_survive_kill_9(own_sandbox: SandboxProcess, receiver: Receiver) -> None:
    own_sandbox.start(receiver.url)
    client: Any = own_sandbox.client()
    pending = client.v1.refunds.create({"payment_intent": paid(client, "pm_card_pendingRefund").id})
    failing = client.v1.refunds.create({"payment_intent": paid(client, "pm_card_refundFail").id})
    own_sandbox.kill()

    own_sandbox.start()
    own_sandbox.advance(LATE_FAILURE_S)

    client = own_sandbox.client()
    assert client.v1.refunds.retrieve(pending.id).status == "succeeded"
    assert client.v1.refunds.retrieve(failing.id).status == "failed"
    receiver.wait_for("refund.updated", "refund.failed", *["charge.refund.updated"] * 2)
