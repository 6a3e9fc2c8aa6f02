"""Test the checkout request against a real sandbox: in every state, under load, and with a failing provider."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe

from payment_service.db import api_keys
from payment_service.db.api_keys import Scope
from payment_service.flows.requests import checkout
from payment_service.provider.port import CHECKOUTS_MAX
from tests.support.eventually import eventually_async
from tests.support.flows import name_of
from tests.support.harness import Harness, open_harness
from tests.support.http import Answer
from tests.support.sandbox import SandboxProcess

READ = {"method": "GET", "path_prefix": "/v1/payment_intents/"}


@pytest.fixture
async def harness(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Harness]:
    async with open_harness(database_dsn, sandbox, stripe_publishable_key="pk_test_suite") as opened:
        opened.key = await api_keys.create(opened.flows.pool, client="page", scopes=[Scope.CHECKOUT])
        yield opened


async def offered(harness: Harness, order_id: str = "o-1") -> Answer:
    answer = await harness.get(f"/v1/checkout?order_id={order_id}")
    if answer.status in {200, 404, 409}:
        assert answer.headers["cache-control"] == "no-store"
    return answer


async def to_pay(harness: Harness, *order_ids: str) -> None:
    """Return orders that have their intents."""
    await harness.flows.accept(*order_ids)
    await harness.flows.run_calls()


def steps(answer: Answer) -> tuple[str, str, bool]:
    return answer.json["status"], answer.json["next"], answer.json["pay"] is not None


async def test_checkout_returns_the_fields_stripe_js_needs(harness: Harness) -> None:
    await to_pay(harness, "o-1", "o-2")
    answer = await offered(harness)
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    assert answer.status == 200
    assert answer.json == {
        "payment_id": str(name_of("o-1")),
        "order_id": "o-1",
        "status": "pending",
        "amount": "19.90",
        "currency": "eur",
        "provider": "stripe",
        "next": "pay",
        "detail": "The customer can pay.",
        "pay": {
            "provider": "stripe",
            "publishable_key": "pk_test_suite",
            "client_secret": client.v1.payment_intents.retrieve(intent_id).client_secret,
            "method_types": ["card"],
        },
    }


async def test_an_unknown_order_is_not_found(harness: Harness) -> None:
    answer = await offered(harness, "o-9")
    assert (answer.status, answer.is_problem) == (404, True)


async def test_checkout_asks_the_page_to_wait_until_the_intent_exists(
    harness: Harness, sandbox: SandboxProcess
) -> None:
    sandbox.faults({"match": {"operation": "payment_intents.create"}, "action": "latency", "ms": 1_000, "times": 1})
    await harness.flows.accept("o-1")
    early = await offered(harness)
    assert (early.status, early.json["type"], early.headers["retry-after"]) == (409, "urn:payment-service:not_yet", "1")
    await harness.flows.run_calls()
    assert (await offered(harness)).status == 200


async def test_a_declined_or_unauthenticated_payment_can_be_paid(harness: Harness) -> None:
    await to_pay(harness, "o-1", "o-2")
    client: Any = harness.sandbox.client()
    for order_id, method in (("o-1", "pm_card_chargeDeclined"), ("o-2", "pm_card_authenticationRequired")):
        intent_id = (await harness.flows.payment(order_id))["provider_payment_id"]
        with contextlib.suppress(stripe.CardError):
            client.v1.payment_intents.confirm(intent_id, {"payment_method": method})
    await harness.deliver()
    assert steps(await offered(harness, "o-1")) == ("declined", "pay", True)
    assert steps(await offered(harness, "o-2")) == ("requires_action", "pay", True)


async def test_a_final_payment_returns_no_secret_and_makes_no_call(harness: Harness) -> None:
    await harness.pay("o-1")
    await to_pay(harness, "o-2")
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.cancel((await harness.flows.payment("o-2"))["provider_payment_id"])
    await harness.run_until_idle()
    harness.sandbox.faults({"match": READ, "action": "status", "code": 500})
    assert steps(await offered(harness, "o-1")) == ("succeeded", "done", False)
    unpaid = await offered(harness, "o-2")
    assert steps(unpaid) == ("canceled", "open_new", False)
    assert "POST /v1/payments" in unpaid.json["detail"]
    assert harness.sandbox.faults_struck() == [0]


async def test_a_canceled_order_is_not_offered_a_new_payment(harness: Harness) -> None:
    await to_pay(harness, "o-1")
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.cancel((await harness.flows.payment("o-1"))["provider_payment_id"])
    await harness.run_until_idle()
    await harness.flows.pool.execute(
        "INSERT INTO order_cancellations (order_id, record_topic, record_partition, record_offset, outcome, finished_at)"
        " VALUES ('o-1', 'orders.cancelled', 0, 0, 'canceled', now())"
    )
    answer = await offered(harness)
    assert steps(answer) == ("canceled", "done", False)
    assert "canceled" in answer.json["detail"]


async def test_an_order_being_canceled_cannot_be_paid(
    harness: Harness,
) -> None:
    """Otherwise the customer would pay for an order that the shop has given up."""
    await to_pay(harness, "o-1")
    await harness.flows.pool.execute(
        "INSERT INTO order_cancellations (order_id, record_topic, record_partition, record_offset, due_at)"
        " VALUES ('o-1', 'orders.cancelled', 0, 0, now() + interval '1 minute')"
    )
    answer = await offered(harness)
    assert steps(answer) == ("pending", "done", False)
    assert b"client_secret" not in answer.body


async def test_checkout_shows_the_same_refund_status_as_the_payment(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    harness.key = await api_keys.create(harness.flows.pool, client="shop", scopes=[Scope.ADMIN])
    await harness.refund(payment, "5.00")
    await harness.run_until_idle()
    assert steps(await offered(harness)) == ("partially_refunded", "done", False)
    await harness.refund(payment)
    await harness.run_until_idle()
    assert steps(await offered(harness)) == ("refunded", "done", False)


async def test_a_payment_paid_at_the_provider_is_shown_at_once_and_then_read(harness: Harness) -> None:
    """The customer has paid and returns to the page, but the webhook was lost."""
    await to_pay(harness, "o-1")
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})
    answers = [await offered(harness) for _ in range(3)]
    assert {steps(answer) for answer in answers} == {("succeeded", "done", False)}
    await harness.flows.run_calls()
    assert (await harness.flows.payment("o-1"))["status"] == "succeeded"
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM operations WHERE kind = 'retrieve'") == 1


async def test_an_intent_with_a_changed_amount_is_not_offered(harness: Harness) -> None:
    await to_pay(harness, "o-1")
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.update(intent_id, {"amount": 50})
    answer = await offered(harness)
    assert (answer.status, answer.json["type"]) == (409, "urn:payment-service:not_allowed")
    assert "retry-after" not in answer.headers


async def test_concurrent_pages_of_one_payment_share_one_provider_read(
    harness: Harness, sandbox: SandboxProcess
) -> None:
    await to_pay(harness, "o-1")
    sandbox.faults({"match": READ, "action": "latency", "ms": 500})
    answers = await asyncio.gather(*(offered(harness) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert sandbox.faults_struck()[0] <= 2


@pytest.mark.invariant("I11")
async def test_a_reloading_page_is_limited_and_blocks_no_other_customer(
    harness: Harness, sandbox: SandboxProcess
) -> None:
    await to_pay(harness, "o-1", "o-2")
    sandbox.faults({"match": READ, "action": "latency", "ms": 0})
    answers = [await offered(harness) for _ in range(30)]
    assert answers[-1].status == 503
    assert answers[-1].is_problem
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await offered(harness, "o-2")).status == 200
    assert sandbox.faults_struck()[0] < 30


async def test_concurrent_checkouts_are_limited_to_the_slots(harness: Harness, sandbox: SandboxProcess) -> None:
    orders = [f"o-{n}" for n in range(3 * CHECKOUTS_MAX)]
    await to_pay(harness, *orders)
    sandbox.faults({"match": READ, "action": "latency", "ms": 1_000})
    statuses = Counter([answer.status for answer in await asyncio.gather(*(offered(harness, name) for name in orders))])
    assert set(statuses) == {200, 503}
    assert sandbox.faults_struck()[0] == statuses[200]


@pytest.mark.parametrize(
    "trouble",
    [
        {"action": "status", "code": 500},
        {"action": "rate_limited", "retry_after_s": 7},
        {"action": "drop"},
        {"action": "latency", "ms": 5_000},
    ],
)
async def test_a_provider_failure_gets_a_plain_problem_without_provider_text(
    harness: Harness, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, trouble: dict[str, Any]
) -> None:
    monkeypatch.setattr(checkout, "TIMEOUT_S", 0.5)
    await to_pay(harness, "o-1")
    sandbox.faults({"match": READ, **trouble})
    answer = await offered(harness)
    assert (answer.status, answer.json["type"]) == (503, "urn:payment-service:unavailable")
    assert answer.headers["retry-after"] == str(trouble.get("retry_after_s", checkout.PROVIDER_ERROR_RETRY_S))
    assert [word for word in (b"tripe", b"pi_", b"500", b"rate", b"127.0.0.1", b"req_") if word in answer.body] == []
    sandbox.faults()
    assert (await offered(harness)).status == 200


async def test_a_provider_key_failure_is_a_temporary_problem_for_the_page(database_dsn: str, harness: Harness) -> None:
    await to_pay(harness, "o-1")
    harness.sandbox.accept_keys("sk_test_another_one")
    answer = await offered(harness)
    assert answer.status == 503
    assert b"key" not in answer.body


async def test_an_exhausted_checkout_share_does_not_block_operations(harness: Harness, sandbox: SandboxProcess) -> None:
    """Checkouts have used their share. The rest of the bucket belongs to operations."""
    await to_pay(harness, "o-1")
    await harness.flows.pool.execute("UPDATE provider_budget SET checkout_tokens = -1000")
    assert (await offered(harness)).status == 503
    await to_pay(harness, "o-2")
    assert (await harness.flows.payment("o-2"))["status"] == "pending"


@pytest.mark.parametrize("scope", [Scope.READ, Scope.REFUND])
async def test_a_key_without_the_checkout_scope_gets_no_secret(harness: Harness, scope: Scope) -> None:
    await to_pay(harness, "o-1")
    harness.key = await api_keys.create(harness.flows.pool, client="reports", scopes=[scope])
    assert (await offered(harness)).status == 403


@pytest.mark.parametrize(
    "query", ["", "?order_id=", "?order_id=a%20b", "?order_id=o-1&order_id=o-2", "?order_id=o-1&x=1"]
)
async def test_an_invalid_query_is_refused(harness: Harness, query: str) -> None:
    assert (await harness.get(f"/v1/checkout{query}")).status == 422


async def test_a_disconnecting_page_does_not_cancel_the_read_of_others(
    harness: Harness, sandbox: SandboxProcess
) -> None:
    await to_pay(harness, "o-1")
    sandbox.faults({"match": READ, "action": "latency", "ms": 500})
    impatient = asyncio.create_task(offered(harness))
    await eventually_async(lambda: _struck(sandbox))
    impatient.cancel()
    assert (await offered(harness)).status == 200


async def _struck(sandbox: SandboxProcess) -> bool:
    return sandbox.faults_struck() != [0]
