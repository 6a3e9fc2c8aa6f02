"""Test opening a new payment after an unpaid one: exactly one, and never beside unexpected money."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from payment_service.db import api_keys
from payment_service.db.api_keys import Scope
from payment_service.domain.ids import payment_id
from tests.support.flows import inbound_record, name_of, order
from tests.support.harness import Harness, open_harness
from tests.support.http import Answer
from tests.support.sandbox import SandboxProcess

SECOND = payment_id("default", "o-1", 2)


@pytest.fixture
async def harness(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Harness]:
    async with open_harness(database_dsn, sandbox) as opened:
        opened.key = await api_keys.create(opened.flows.pool, client="page", scopes=[Scope.CHECKOUT, Scope.READ])
        yield opened


async def open_new(harness: Harness, order_id: str = "o-1", key: str = "") -> Answer:
    return await harness.post("/v1/payments", {"order_id": order_id}, key)


async def intent_of(harness: Harness, payment: UUID) -> str:
    return str(await harness.flows.pool.fetchval("SELECT provider_payment_id FROM payments WHERE id = $1", payment))


async def end_unpaid(harness: Harness, payment: UUID | None = None) -> None:
    """Cancel the intent of a payment of `o-1`, by default its first."""
    if payment is None:
        await harness.flows.accept("o-1")
        await harness.flows.run_calls()
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.cancel(await intent_of(harness, payment or name_of("o-1")))
    await harness.run_until_idle()


async def test_the_new_payment_is_the_next_attempt_with_its_own_intent(harness: Harness) -> None:
    await end_unpaid(harness)
    answer = await open_new(harness)
    assert (answer.status, answer.json["id"], answer.json["status"]) == (201, str(SECOND), "created")
    first = (await harness.get(f"/v1/payments/{name_of('o-1')}")).json
    same = ("order_id", "user_id", "amount", "currency", "provider")
    assert [answer.json[name] for name in same] == [first[name] for name in same]
    await harness.run_until_idle()
    times = await harness.flows.pool.fetchrow(
        "SELECT expires_at - created_at AS time, expiry_due_at FROM payments WHERE id = $1", SECOND
    )
    assert times is not None
    assert abs(times["time"] - harness.flows.config.payment_expires_after) < timedelta(minutes=1)
    assert times["expiry_due_at"] is not None

    offered = (await harness.get("/v1/checkout?order_id=o-1")).json
    assert (offered["payment_id"], offered["next"]) == (str(SECOND), "pay")
    assert offered["pay"]["client_secret"].startswith(f"{await intent_of(harness, SECOND)}_secret_")
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.confirm(await intent_of(harness, SECOND), {"payment_method": "pm_card_visa"})
    await harness.run_until_idle()
    assert [topic for topic, _ in await harness.published(SECOND)] == ["initiated", "succeeded"]
    headers = await harness.flows.pool.fetchval("SELECT headers FROM outbox WHERE aggregateid = $1 LIMIT 1", SECOND)
    assert '["ce_attempt", "2"]' in headers
    assert len(harness.sandbox.captured("o-1")) == 1


async def test_a_failed_payment_can_have_a_next_one(harness: Harness, sandbox: SandboxProcess) -> None:
    error = {"type": "invalid_request_error", "code": "amount_too_small", "param": "amount"}
    refusal = {"phase": "before", "action": "status", "code": 400, "body": {"error": error}}
    sandbox.faults({"match": {"operation": "payment_intents.create"}, "times": 1, **refusal})
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    assert (await harness.flows.payment("o-1"))["status"] == "failed"
    assert (await open_new(harness)).status == 201
    await harness.run_until_idle()
    assert await harness.flows.pool.fetchval("SELECT status FROM payments WHERE id = $1", SECOND) == "pending"


@pytest.mark.invariant("I1")
async def test_a_hundred_concurrent_requests_open_exactly_one_payment(harness: Harness) -> None:
    await end_unpaid(harness)
    answers = await asyncio.gather(*(open_new(harness) for _ in range(100)))
    statuses = Counter(answer.status for answer in answers)
    assert statuses[201] == 1
    assert set(statuses) <= {201, 409, 503}
    assert await harness.flows.pool.fetchval("SELECT max(attempt) FROM payments") == 2
    await harness.run_until_idle()
    client: Any = harness.sandbox.client()
    assert len(client.v1.payment_intents.list().data) == 2


async def test_the_same_key_gets_the_same_response(harness: Harness) -> None:
    await end_unpaid(harness)
    answers = await asyncio.gather(*(open_new(harness, key="again-1") for _ in range(20)))
    assert len({answer.body for answer in answers if answer.status == 201}) == 1
    again = await open_new(harness, key="again-1")
    assert (again.status, again.json["id"], again.headers["idempotent-replayed"]) == (201, str(SECOND), "true")
    assert (await open_new(harness, "o-2", key="again-1")).status == 422


async def test_a_key_opens_no_more_after_its_stored_response_expired(harness: Harness) -> None:
    await end_unpaid(harness)
    await open_new(harness, key="job-1")
    await harness.run_until_idle()
    await end_unpaid(harness, SECOND)
    await harness.flows.pool.execute("DELETE FROM idempotency_keys")
    again = await open_new(harness, key="job-1")
    assert (again.status, again.json["id"], again.json["status"]) == (201, str(SECOND), "canceled")
    assert await harness.flows.pool.fetchval("SELECT max(attempt) FROM payments") == 2


async def test_an_open_or_paid_payment_allows_no_next_one(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    open_still = await open_new(harness, key="job-1")
    assert (open_still.status, str(name_of("o-1")) in open_still.json["detail"]) == (409, True)
    await harness.pay("o-1")
    paid = await open_new(harness, key="job-1")
    assert (paid.status, "paid" in paid.json["detail"]) == (409, True)
    assert (await open_new(harness, "o-9")).status == 404
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM payments") == 1


async def test_a_third_payment_follows_an_unpaid_second(harness: Harness) -> None:
    await end_unpaid(harness)
    await open_new(harness)
    await harness.run_until_idle()
    await end_unpaid(harness, SECOND)
    third = await open_new(harness)
    assert (third.status, third.json["id"]) == (201, str(payment_id("default", "o-1", 3)))


@pytest.mark.invariant("I1")
async def test_unexpected_money_blocks_a_new_payment(harness: Harness) -> None:
    """A second intent with our name is paid and unresolved. Charging again would charge twice."""
    await end_unpaid(harness)
    client: Any = harness.sandbox.client()
    made = client.v1.payment_intents.retrieve(await intent_of(harness, name_of("o-1")))
    names = {"metadata": made.metadata.to_dict(), "confirm": True, "payment_method": "pm_card_visa"}
    client.v1.payment_intents.create({"amount": 1990, "currency": "eur", "payment_method_types": ["card"], **names})
    await harness.deliver()
    answer = await open_new(harness)
    assert (answer.status, "Unexpected money" in answer.json["detail"]) == (409, True)


async def test_a_redelivered_order_opens_no_payment_and_is_not_quarantined(harness: Harness) -> None:
    """This holds once its payment has ended, and also beside the next one."""
    await end_unpaid(harness)
    await harness.flows.accept("o-1")
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM payments") == 1
    await open_new(harness)
    await harness.flows.intake.accept(
        [inbound_record(order("o-1"), 0), inbound_record(order("o-1"), 7, age=timedelta(days=30))]
    )
    await harness.run_until_idle()
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM payments") == 2
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM quarantine") == 0
    await harness.flows.intake.accept([inbound_record(order("o-1", "20.00"), 8)])
    assert await harness.flows.pool.fetchval("SELECT reason FROM quarantine") == "order_changed"


async def test_opening_a_payment_is_audited_with_its_actor(harness: Harness) -> None:
    await end_unpaid(harness)
    await open_new(harness, key="job-1")
    [row] = await harness.flows.pool.fetch("SELECT client, action, payment_id, detail::jsonb->>'order_id' FROM audit")
    assert tuple(row) == ("page", "open_payment", SECOND, "o-1")


@pytest.mark.parametrize("scope", [Scope.READ, Scope.REFUND])
async def test_a_key_without_the_required_scope_opens_no_payment(harness: Harness, scope: Scope) -> None:
    await end_unpaid(harness)
    harness.key = await api_keys.create(harness.flows.pool, client="reports", scopes=[scope])
    assert (await open_new(harness)).status == 403


@pytest.mark.parametrize(
    "body", [{}, {"order_id": ""}, {"order_id": "a b"}, {"order_id": 7}, {"order_id": "o-1", "amount": "1"}, []]
)
async def test_an_invalid_body_is_refused(harness: Harness, body: object) -> None:
    assert (await harness.post("/v1/payments", body)).status == 422
