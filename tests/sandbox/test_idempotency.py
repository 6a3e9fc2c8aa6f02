"""Idempotency keys, one fact a test (https://docs.stripe.com/api/idempotent_requests)."""

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


def headers(answer: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.last_response.headers.items()}


def test_the_same_key_gives_the_same_answer_and_says_so(client: Any) -> None:
    first = create(client, "same")
    second = create(client, "same")

    assert second.id == first.id
    assert "idempotent-replayed" not in headers(first)
    assert headers(second)["idempotent-replayed"] == "true"
    assert headers(second)["original-request"] == headers(first)["request-id"]
    assert headers(second)["request-id"] != headers(first)["request-id"]


def test_the_answer_replayed_is_the_one_of_back_then(client: Any) -> None:
    first = create(client, "stale")
    client.v1.payment_intents.confirm(first.id, {"payment_method": "pm_card_visa"})

    assert create(client, "stale").status == "requires_payment_method"


@pytest.mark.parametrize("change", [{"amount": 1001}, {"metadata": {"order_id": "2"}}, {"description": "x"}])
def test_a_key_with_other_parameters_is_an_error(client: Any, change: dict[str, Any]) -> None:
    key = f"changed-{change}"
    create(client, key)

    with pytest.raises(stripe.IdempotencyError) as caught:
        create(client, key, **change)

    assert caught.value.error is not None
    assert (caught.value.http_status, caught.value.error.type) == (400, "idempotency_error")


def test_a_key_at_another_endpoint_is_an_error(client: Any) -> None:
    intent = create(client, "elsewhere")
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.cancel(intent.id, options={"idempotency_key": "elsewhere"})


def test_a_decline_is_replayed_and_charges_nothing_more(client: Any) -> None:
    ids = set()
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            create(client, "declined", payment_method="pm_card_chargeDeclined", confirm=True)
        assert caught.value.error is not None
        ids.add(caught.value.error.charge)
    assert len(ids) == 1
    assert caught.value.headers is not None
    assert caught.value.headers["Idempotent-Replayed"] == "true"


def test_a_failed_validation_is_not_kept(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        create(client, "corrected", colour="red")

    assert create(client, "corrected").status == "requires_payment_method"


def test_a_refused_key_of_the_api_is_not_kept(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.accept_keys("sk_test_another")
    with pytest.raises(stripe.AuthenticationError):
        create(client, "unauthorized")
    sandbox.accept_keys()

    assert "idempotent-replayed" not in headers(create(client, "unauthorized"))


def test_a_500_after_the_work_is_kept_and_replayed(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"phase": "after", "action": "status", "code": 500, "times": 1})
    before = len(sandbox.ledger())

    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            create(client, "sticky")
        assert caught.value.http_status == 500

    assert caught.value.headers is not None
    assert caught.value.headers["Idempotent-Replayed"] == "true"
    assert len(sandbox.ledger()) == before + 1


def test_a_500_instead_of_the_work_is_kept_though_nothing_was_done(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"phase": "instead", "action": "status", "code": 500, "times": 1})
    before = len(sandbox.ledger())

    for _ in range(2):
        with pytest.raises(stripe.APIError):
            create(client, "empty")

    assert len(sandbox.ledger()) == before


@pytest.mark.parametrize("code", [429, 503])
def test_a_limit_or_an_outage_is_not_kept(client: Any, sandbox: SandboxProcess, code: int) -> None:
    sandbox.faults({"action": "status", "code": code, "times": 1, "headers": {"Retry-After": "1"}})
    with pytest.raises(stripe.StripeError) as caught:
        create(client, f"limited-{code}")
    assert caught.value.http_status == code
    assert caught.value.headers is not None
    assert caught.value.headers["Retry-After"] == "1"

    assert "idempotent-replayed" not in headers(create(client, f"limited-{code}"))


def test_a_key_whose_first_request_is_running_is_409(client: Any, sandbox: SandboxProcess) -> None:
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


def test_a_key_has_at_most_255_characters(client: Any) -> None:
    assert create(client, "k" * 255).id
    with pytest.raises(stripe.InvalidRequestError):
        create(client, "k" * 256)


def test_a_key_is_new_again_after_24_hours(client: Any, sandbox: SandboxProcess) -> None:
    first = create(client, "old")
    sandbox.advance(23 * 3600)
    assert create(client, "old").id == first.id
    sandbox.advance(3600)

    assert create(client, "old").id != first.id


def test_a_key_outlives_kill_9(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    first = create(own_sandbox.client(), "durable")
    own_sandbox.kill()
    own_sandbox.start()

    assert create(own_sandbox.client(), "durable").id == first.id
