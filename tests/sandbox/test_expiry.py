"""Scheduled changes of payments: authorizations expire, and debits succeed or fail, each at its own time."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.support.sandbox import SandboxProcess

DAY_S = 24 * 3600
WEEK_S = 7 * DAY_S
VISA_MERCHANT_INITIATED_S = 4 * DAY_S + 18 * 3600
SLACK_S = 60  # checked this long before the scheduled time; more than a loaded machine needs


def authorize(client: Any, method: str = "pm_card_visa", **more: Any) -> stripe.PaymentIntent:
    intent: stripe.PaymentIntent = client.v1.payment_intents.create(
        {
            "amount": 1000,
            "currency": "usd",
            "payment_method_types": ["card"],
            "payment_method": method,
            "capture_method": "manual",
            "confirm": True,
            **more,
        }
    )
    assert intent.status == "requires_capture"
    return intent


def debit(client: Any, method: str) -> stripe.PaymentIntent:
    bank, currency = ("us_bank_account", "usd") if "usBank" in method else ("sepa_debit", "eur")
    intent: stripe.PaymentIntent = client.v1.payment_intents.create(
        {
            "amount": 1000,
            "currency": currency,
            "payment_method_types": [bank, "card"],
            "payment_method": method,
            "confirm": True,
        }
    )
    assert intent.status == "processing"
    return intent


def read(client: Any, intent: stripe.PaymentIntent) -> stripe.PaymentIntent:
    now: stripe.PaymentIntent = client.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    return now


def charge_of(intent: stripe.PaymentIntent) -> stripe.Charge:
    assert isinstance(intent.latest_charge, stripe.Charge)
    return intent.latest_charge


def effects(sandbox: SandboxProcess, intent: stripe.PaymentIntent) -> list[str]:
    return [entry["effect"] for entry in sandbox.ledger() if entry["payment_intent"] == intent.id]


def events(client: Any, intent: stripe.PaymentIntent) -> list[str]:
    """Return the types of the events about an intent and its charges, oldest first, without `charge.updated`."""
    return [
        event.type
        for event in reversed(client.v1.events.list({"limit": 100}).data)
        if intent.id in (event.data.object.id, getattr(event.data.object, "payment_intent", None))
        and event.type != "charge.updated"
    ]


@pytest.mark.parametrize(
    ("method", "off_session", "window_s"),
    [
        ("pm_card_visa", False, WEEK_S),
        ("pm_card_visa", True, VISA_MERCHANT_INITIATED_S),
        ("pm_card_mastercard", True, WEEK_S),
        ("pm_card_amex", False, WEEK_S),
    ],
)
def test_authorization_expires_exactly_at_the_end_of_its_network_window(
    client: Any, sandbox: SandboxProcess, method: str, off_session: bool, window_s: int
) -> None:
    intent = authorize(client, method, off_session=off_session)
    details = charge_of(read(client, intent)).payment_method_details
    assert details is not None
    assert details.card is not None
    assert details.card.capture_before == intent.created + window_s

    sandbox.advance(window_s - SLACK_S)
    assert read(client, intent).status == "requires_capture"
    sandbox.advance(SLACK_S)

    expired = read(client, intent)
    assert (expired.status, expired.cancellation_reason, expired.amount_capturable) == ("canceled", "expired", 0)
    assert expired.canceled_at == intent.created + window_s
    charge = charge_of(expired)
    assert (charge.status, charge.captured, charge.refunded, charge.amount_refunded) == ("succeeded", False, False, 0)
    assert events(client, intent)[-2:] == ["charge.expired", "payment_intent.canceled"]
    assert effects(sandbox, intent) == ["intent.created", "charge.authorized", "charge.released", "intent.canceled"]


def test_expired_authorization_cannot_be_captured(client: Any, sandbox: SandboxProcess) -> None:
    intent = authorize(client)
    sandbox.advance(WEEK_S)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.capture(intent.id)
    assert caught.value.code == "payment_intent_unexpected_state"


def test_captured_or_canceled_authorization_does_not_expire(client: Any, sandbox: SandboxProcess) -> None:
    captured, canceled = authorize(client), authorize(client)
    client.v1.payment_intents.capture(captured.id, {"amount_to_capture": 400})
    client.v1.payment_intents.cancel(canceled.id)

    sandbox.advance(2 * WEEK_S)

    assert read(client, captured).status == "succeeded"
    for intent in (captured, canceled):
        assert "charge.expired" not in events(client, intent)
        assert effects(sandbox, intent).count("charge.released") == (intent is canceled)


@pytest.mark.parametrize(
    ("method", "delay_s", "failure"),
    [
        ("pm_usBankAccount_success", 15, None),
        ("pm_usBankAccount_accountClosed", 15, "account_closed"),
        ("pm_usBankAccount_noAccount", 15, "no_account"),
        ("pm_usBankAccount_insufficientFunds", 15, "insufficient_funds"),
        ("pm_usBankAccount_debitNotAuthorized", 15, "debit_not_authorized"),
        ("pm_success_at", 15, None),
        ("pm_success_fr", 15, None),
        ("pm_successDelayed_de", 180, None),
        ("pm_failed_be", 15, "incorrect_account_holder_name"),
        ("pm_failedDelayed_fi", 180, "incorrect_account_holder_name"),
        ("pm_exceedsWeeklyVolumeLimit_at", 15, "charge_exceeds_source_limit"),
        ("pm_insufficientFunds_de", 15, "insufficient_funds"),
    ],
)
def test_debit_succeeds_or_fails_after_its_delay(
    client: Any, sandbox: SandboxProcess, method: str, delay_s: int, failure: str | None
) -> None:
    intent = debit(client, method)

    sandbox.advance(delay_s)

    decided = read(client, intent)
    charge = charge_of(decided)
    assert charge.failure_code == failure
    if failure is None:
        assert (decided.status, decided.amount_received, charge.status) == ("succeeded", 1000, "succeeded")
        assert events(client, intent)[-2:] == ["charge.succeeded", "payment_intent.succeeded"]
        return
    assert (decided.status, decided.payment_method, charge.status) == ("requires_payment_method", None, "failed")
    assert decided.last_payment_error is not None
    assert decided.last_payment_error.code == "payment_intent_payment_attempt_failed"
    assert decided.last_payment_error.charge == charge.id
    assert events(client, intent)[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    assert "charge.captured" not in effects(sandbox, intent)


def test_delayed_debit_is_processing_until_its_delay_ends(client: Any, sandbox: SandboxProcess) -> None:
    intent = debit(client, "pm_successDelayed_at")
    sandbox.advance(180 - SLACK_S)
    assert read(client, intent).status == "processing"


@pytest.mark.parametrize(("outcome", "status"), [("succeed", "succeeded"), ("fail", "requires_payment_method")])
def test_debit_completed_by_the_control_api_is_not_completed_again(
    client: Any, sandbox: SandboxProcess, outcome: str, status: str
) -> None:
    intent = debit(client, "pm_usBankAccount_success")
    sandbox.settle(intent.id, outcome)
    before = events(client, intent)

    sandbox.advance(SLACK_S)

    assert read(client, intent).status == status
    assert events(client, intent) == before


def test_card_pays_after_a_failed_debit(client: Any, sandbox: SandboxProcess) -> None:
    """The bank's result for the first attempt does not affect the second."""
    intent = debit(client, "pm_failed_de")
    sandbox.advance(15)
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})

    sandbox.advance(SLACK_S)

    assert read(client, intent).status == "succeeded"
    assert effects(sandbox, intent).count("charge.captured") == 1


def test_canceled_debit_stays_canceled(client: Any, sandbox: SandboxProcess) -> None:
    intent = debit(client, "pm_usBankAccount_success")
    canceled = client.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "duplicate"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "duplicate")

    sandbox.advance(SLACK_S)

    later = read(client, intent)
    assert (later.status, charge_of(later).status) == ("canceled", "failed")
    assert events(client, intent)[-1] == "payment_intent.canceled"
    assert "charge.captured" not in effects(sandbox, intent)


def test_timers_survive_a_crash(own_sandbox: SandboxProcess) -> None:
    """A pending authorization and debit end on time after a kill and restart."""
    own_sandbox.start()
    client = own_sandbox.client()
    authorized, debited = authorize(client), debit(client, "pm_successDelayed_de")

    own_sandbox.kill()
    own_sandbox.start()
    client = own_sandbox.client()
    own_sandbox.advance(WEEK_S)

    assert read(client, authorized).status == "canceled"
    assert read(client, debited).status == "succeeded"
