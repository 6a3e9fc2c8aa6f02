"""Idempotency keys (https://docs.stripe.com/api/idempotent_requests)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import stripe

from tests.support.eventually import eventually
from tests.support.sandbox import SandboxProcess

GOOD: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}


def create(client: Any, key: str, **change: Any) -> stripe.PaymentIntent:
    intent: stripe.PaymentIntent = client.v1.payment_intents.create({**GOOD, **change}, {"idempotency_key": key})
    return intent


def headers(response: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in response.last_response.headers.items()}


def test_same_key_replays_the_response_and_marks_it(client: Any) -> None:
    first = create(client, "same")
    second = create(client, "same")

    assert second.id == first.id
    assert "idempotent-replayed" not in headers(first)
    assert headers(second)["idempotent-replayed"] == "true"
    assert headers(second)["original-request"] == headers(first)["request-id"]
    assert headers(second)["request-id"] != headers(first)["request-id"]


def test_replay_returns_the_original_state(client: Any) -> None:
    first = create(client, "stale")
    client.v1.payment_intents.confirm(first.id, {"payment_method": "pm_card_visa"})

    assert create(client, "stale").status == "requires_payment_method"


@pytest.mark.parametrize("change", [{"amount": 1001}, {"metadata": {"order_id": "2"}}, {"description": "x"}])
def test_key_with_other_parameters_is_an_error(client: Any, change: dict[str, Any]) -> None:
    key = f"changed-{change}"
    create(client, key)

    with pytest.raises(stripe.IdempotencyError) as caught:
        create(client, key, **change)

    assert caught.value.error is not None
    assert (caught.value.http_status, caught.value.error.type) == (400, "idempotency_error")


def test_key_at_another_endpoint_is_an_error(client: Any) -> None:
    intent = create(client, "elsewhere")
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.cancel(intent.id, options={"idempotency_key": "elsewhere"})


def test_decline_is_replayed_without_a_new_charge(client: Any) -> None:
    ids = set()
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            create(client, "declined", payment_method="pm_card_chargeDeclined", confirm=True)
        assert caught.value.error is not None
        ids.add(caught.value.error.charge)
    assert len(ids) == 1
    assert caught.value.headers is not None
    assert caught.value.headers["Idempotent-Replayed"] == "true"


def test_failed_validation_is_not_stored(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        create(client, "corrected", color="red")

    assert create(client, "corrected").status == "requires_payment_method"


def test_failed_authentication_is_not_stored(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.accept_keys("sk_test_another")
    with pytest.raises(stripe.AuthenticationError):
        create(client, "unauthorized")
    sandbox.accept_keys()

    assert "idempotent-replayed" not in headers(create(client, "unauthorized"))


def test_server_error_after_the_work_is_replayed(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"phase": "after", "action": "status", "code": 500, "times": 1})
    before = len(sandbox.ledger())

    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            create(client, "sticky")
        assert caught.value.http_status == 500

    assert caught.value.headers is not None
    assert caught.value.headers["Idempotent-Replayed"] == "true"
    assert len(sandbox.ledger()) == before + 1


def test_server_error_instead_of_the_work_is_replayed(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"phase": "instead", "action": "status", "code": 500, "times": 1})
    before = len(sandbox.ledger())

    for _ in range(2):
        with pytest.raises(stripe.APIError):
            create(client, "empty")

    assert len(sandbox.ledger()) == before


@pytest.mark.parametrize("code", [429, 503])
def test_injected_429_or_503_is_not_stored(client: Any, sandbox: SandboxProcess, code: int) -> None:
    sandbox.faults({"action": "status", "code": code, "times": 1, "headers": {"Retry-After": "1"}})
    with pytest.raises(stripe.StripeError) as caught:
        create(client, f"limited-{code}")
    assert caught.value.http_status == code
    assert caught.value.headers is not None
    assert caught.value.headers["Retry-After"] == "1"

    assert "idempotent-replayed" not in headers(create(client, f"limited-{code}"))


def test_key_in_use_is_409(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "latency", "ms": 1500, "times": 1})
    made: list[stripe.PaymentIntent] = []
    first = threading.Thread(target=lambda: made.append(create(client, "running")))
    first.start()
    eventually(lambda: sandbox.faults_struck() == [1])

    with pytest.raises(stripe.APIError) as caught:
        create(client, "running")

    assert caught.value.http_status == 409
    assert caught.value.error is not None
    assert caught.value.error.code == "idempotency_key_in_use"
    assert caught.value.headers is not None
    assert caught.value.headers["Stripe-Should-Retry"] == "true"
    first.join()
    assert create(client, "running").id == made[0].id


def test_key_has_at_most_255_characters(client: Any) -> None:
    assert create(client, "k" * 255).id
    with pytest.raises(stripe.InvalidRequestError):
        create(client, "k" * 256)


def test_key_expires_after_24_hours(client: Any, sandbox: SandboxProcess) -> None:
    first = create(client, "old")
    sandbox.advance(23 * 3600)
    assert create(client, "old").id == first.id
    sandbox.advance(3600)

    assert create(client, "old").id != first.id


def test_key_survives_kill_9(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    first = create(own_sandbox.client(), "durable")
    own_sandbox.kill()
    own_sandbox.start()

    assert create(own_sandbox.client(), "durable").id == first.id
