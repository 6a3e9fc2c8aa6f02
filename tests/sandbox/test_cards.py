"""The behavior of each test card, through the official SDK (https://docs.stripe.com/testing)."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.support.sandbox import SandboxProcess

CARD_ONLY: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}

DECLINES = [
    ("chargeDeclined", "card_declined", "generic_decline", "try_again_later", None),
    ("chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds", "try_again_later", None),
    ("chargeDeclinedLostCard", "card_declined", "lost_card", "do_not_try_again", None),
    ("chargeDeclinedStolenCard", "card_declined", "stolen_card", "do_not_try_again", None),
    ("chargeDeclinedExpiredCard", "expired_card", "expired_card", "confirm_card_data", "exp_month"),
    ("chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc", "confirm_card_data", "cvc"),
    ("chargeDeclinedProcessingError", "processing_error", "processing_error", "try_again_later", None),
    ("chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded", "try_again_later", None),
    ("radarBlock", "card_declined", "fraudulent", None, None),
    ("chargeCustomerFail", "card_declined", "generic_decline", "try_again_later", None),
]


def pay(client: Any, method: str, **more: Any) -> stripe.PaymentIntent:
    intent: stripe.PaymentIntent = client.v1.payment_intents.create(
        {**CARD_ONLY, "payment_method": method, "confirm": True, **more}
    )
    return intent


def event_types(client: Any, intent: str) -> list[str]:
    """Return the types of the events about an intent and its charges, oldest first."""
    newest = client.v1.events.list({"limit": 100}).data
    about = [
        event
        for event in newest
        if intent in (event.data.object.id, getattr(event.data.object, "payment_intent", None))
    ]
    return [event.type for event in reversed(about)]


@pytest.mark.parametrize("method", ["pm_card_visa", "pm_card_mastercard", "pm_card_amex", "pm_card_visa_debit"])
def test_valid_card_succeeds(client: Any, sandbox: SandboxProcess, method: str) -> None:
    intent = pay(client, method, metadata={"order_id": f"good-{method}"})

    assert (intent.status, intent.amount_received) == ("succeeded", 1000)
    assert intent.payment_method != method, "an alias creates a new PaymentMethod"
    charge = client.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.captured, charge.amount_captured, charge.status) == (True, 1000, "succeeded")
    assert charge.metadata["order_id"] == f"good-{method}"
    assert event_types(client, intent.id) == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    assert len(sandbox.captured(f"good-{method}")) == 1


@pytest.mark.parametrize("infix", ["", "visa_"])
@pytest.mark.parametrize(("card", "code", "decline_code", "advice_code", "param"), DECLINES)
def test_declined_card_returns_its_code_and_leaves_the_intent_open(
    client: Any,
    infix: str,
    card: str,
    code: str,
    decline_code: str,
    advice_code: str | None,
    param: str | None,
) -> None:
    intent = client.v1.payment_intents.create(CARD_ONLY)

    with pytest.raises(stripe.CardError) as caught:
        client.v1.payment_intents.confirm(intent.id, {"payment_method": f"pm_card_{infix}{card}"})

    error = caught.value.error
    assert error is not None
    assert caught.value.http_status == 402
    assert caught.value.request_id
    assert (error.code, error.decline_code, error.param) == (code, decline_code, param)
    assert getattr(error, "advice_code", None) == advice_code
    declined = error.payment_intent
    assert declined is not None
    assert declined["status"] == "requires_payment_method"
    assert declined["payment_method"] is None
    assert declined["latest_charge"] == error.charge
    assert declined["last_payment_error"]["decline_code"] == decline_code
    charge = client.v1.charges.retrieve(str(error.charge))
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)
    assert event_types(client, intent.id) == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
    ]


def test_declined_create_keeps_the_intent(client: Any) -> None:
    with pytest.raises(stripe.CardError) as caught:
        pay(client, "pm_card_chargeDeclined")

    error = caught.value.error
    assert error is not None
    assert error.payment_intent is not None
    left = client.v1.payment_intents.retrieve(error.payment_intent["id"])
    assert left.status == "requires_payment_method"


def test_another_card_pays_the_same_intent_after_a_decline(client: Any, sandbox: SandboxProcess) -> None:
    intent = client.v1.payment_intents.create({**CARD_ONLY, "metadata": {"order_id": "retried"}})
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_chargeDeclined"})

    paid = client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})

    assert (paid.status, paid.last_payment_error) == ("succeeded", None)
    attempts = client.v1.charges.list({"payment_intent": intent.id}).data
    assert [charge.status for charge in attempts] == ["succeeded", "failed"]
    assert len(sandbox.captured("retried")) == 1


@pytest.mark.parametrize(
    ("number", "status"),
    [("4242 4242 4242 4242", "succeeded"), ("4000002760003184", "requires_action")],
)
def test_test_number_behaves_like_its_alias(client: Any, number: str, status: str) -> None:
    card = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    data = {"type": "card", "card": card}
    intent = client.v1.payment_intents.create({**CARD_ONLY, "payment_method_data": data, "confirm": True})

    assert intent.status == status


@pytest.mark.parametrize(
    ("number", "code"), [("4111111111111111", "card_declined"), ("4242424242424241", "incorrect_number")]
)
def test_card_number_outside_the_test_cards_is_rejected(client: Any, number: str, code: str) -> None:
    card = {"number": number, "exp_month": 12, "exp_year": 2040}
    with pytest.raises(stripe.CardError) as caught:
        client.v1.payment_methods.create({"type": "card", "card": card})
    assert caught.value.code == code


def test_card_that_requires_authentication_waits_for_it(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_card_authenticationRequired", return_url="https://shop.example/done")
    assert (intent.status, intent.latest_charge) == ("requires_action", None)
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    assert intent.next_action.redirect_to_url.return_url == "https://shop.example/done"

    sandbox.authenticate(intent.id)

    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"
    assert event_types(client, intent.id) == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


def test_failed_authentication_requires_a_new_payment_method(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_card_threeDSecure2Required")
    assert intent.next_action is not None
    assert intent.next_action.type == "use_stripe_sdk"

    sandbox.authenticate(intent.id, "fail")

    failed = client.v1.payment_intents.retrieve(intent.id)
    assert (failed.status, failed.latest_charge, failed.payment_method) == ("requires_payment_method", None, None)
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"
    assert event_types(client, intent.id)[-1] == "payment_intent.payment_failed"


def test_card_can_decline_after_authentication(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_card_threeDSecureRequiredChargeDeclined")

    sandbox.authenticate(intent.id)

    assert event_types(client, intent.id)[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_payment_method"


@pytest.mark.parametrize(
    ("params", "decline_code"),
    [
        ({"off_session": True}, "authentication_required"),
        ({"error_on_requires_action": True}, "authentication_not_handled"),
    ],
)
def test_card_is_declined_if_authentication_is_not_possible(
    client: Any, params: dict[str, Any], decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as caught:
        pay(client, "pm_card_authenticationRequired", **params)
    assert caught.value.error is not None
    assert (caught.value.code, caught.value.error.decline_code) == ("authentication_required", decline_code)


def test_manual_confirmation_requires_a_second_confirm(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_card_authenticationRequired", confirmation_method="manual")
    sandbox.authenticate(intent.id)
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_confirmation"

    assert client.v1.payment_intents.confirm(intent.id).status == "succeeded"


def test_manual_capture_only_authorizes_until_captured(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_card_visa", capture_method="manual", metadata={"order_id": "authorized"})
    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("requires_capture", 1000, 0)
    assert sandbox.captured("authorized") == []

    captured = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 600})

    assert (captured.status, captured.amount_received, captured.amount_capturable) == ("succeeded", 600, 0)
    assert [entry["amount"] for entry in sandbox.captured("authorized")] == [600]
    assert event_types(client, intent.id) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
    ]


def test_cancel_releases_an_authorization(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_card_visa", capture_method="manual", metadata={"order_id": "released"})

    canceled = client.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})

    assert (canceled.status, canceled.cancellation_reason, canceled.amount_capturable) == ("canceled", "abandoned", 0)
    effects = [entry["effect"] for entry in sandbox.ledger() if entry["metadata"].get("order_id") == "released"]
    assert effects == ["intent.created", "charge.authorized", "charge.released", "intent.canceled"]


@pytest.mark.parametrize(
    ("outcome", "status", "events"),
    [
        ("succeed", "succeeded", ["charge.succeeded", "payment_intent.succeeded"]),
        ("fail", "requires_payment_method", ["charge.failed", "payment_intent.payment_failed"]),
    ],
)
def test_bank_debit_is_processing_until_completed(
    client: Any, sandbox: SandboxProcess, outcome: str, status: str, events: list[str]
) -> None:
    intent = pay(client, "pm_usBankAccount", payment_method_types=["us_bank_account"])
    assert intent.status == "processing"
    assert event_types(client, intent.id)[1:] == ["charge.pending", "payment_intent.processing"]

    sandbox.settle(intent.id, outcome)

    assert client.v1.payment_intents.retrieve(intent.id).status == status
    assert event_types(client, intent.id)[3:] == events
