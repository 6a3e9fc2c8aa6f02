"""Test cancellations and expiry against a real sandbox, before and after an intent was created."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from stripe import InvalidRequestError

from payment_service.flows.timers.expiry import LOOK_AGAIN, Expiry
from tests.support.eventually import eventually_async
from tests.support.flows import name_of
from tests.support.harness import Harness, open_harness
from tests.support.sandbox import SandboxProcess

CREATE = {"method": "POST", "path": "/v1/payment_intents"}


def expiry_of(harness: Harness) -> Expiry:
    """Create an expiry whose clock the test sets."""
    return Expiry(harness.context())


async def status(harness: Harness, payment: UUID) -> str:
    """Return a payment's status as the API shows it."""
    shown: str = (await harness.get(f"/v1/payments/{payment}")).json["status"]
    return shown


async def last_published(harness: Harness, payment: UUID) -> tuple[str, str]:
    """Return the topic and the code of the last published record."""
    topic, value = (await harness.published(payment))[-1]
    return topic, value.get("code", "")


def effects(sandbox: SandboxProcess, *names: str) -> list[str]:
    """Return these effects from the provider's ledger."""
    return [entry["effect"] for entry in sandbox.ledger() if entry["effect"] in names]


async def test_an_unsent_create_is_withdrawn_after_one_read(harness: Harness) -> None:
    await harness.dispatcher.stop(5)
    await harness.flows.accept("o-1")
    payment = name_of("o-1")
    answer = await harness.post(f"/v1/payments/{payment}/cancel", {}, "job-1")
    assert (answer.status, answer.json["status"]) == (201, "created")
    await dispatch_all(harness)
    assert [topic for topic, _ in await harness.published(payment)] == ["canceled", "failed"]
    operation = await harness.flows.operation("o-1")
    assert (operation["state"], operation["outcome"], operation["attempt"]) == ("refused", "withdrawn", 1)
    assert harness.sandbox.ledger() == []


@pytest.mark.parametrize("action", ["drop", "bad_gateway"])
@pytest.mark.parametrize("phase", ["before", "after"])
async def test_a_cancel_waits_for_a_create_with_an_unknown_outcome(harness: Harness, phase: str, action: str) -> None:
    harness.sandbox.faults({"match": CREATE, "phase": phase, "action": action, "times": 2})
    await harness.flows.accept("o-1")
    payment = name_of("o-1")

    async def sent() -> bool:
        return bool(await harness.flows.pool.fetchval("SELECT ever_sent FROM operations WHERE kind = 'create'"))

    await eventually_async(sent)
    answer = await harness.post(f"/v1/payments/{payment}/cancel", {})
    assert (answer.status, answer.json["status"]) == (201, "created")
    await harness.run_until_idle()
    assert await status(harness, payment) == "canceled"
    assert [topic for topic, _ in await harness.published(payment)] == ["initiated", "canceled", "failed"]
    assert effects(harness.sandbox, "intent.created", "intent.canceled") == ["intent.created", "intent.canceled"]


async def test_a_cancel_after_a_refused_create_is_not_sent(harness: Harness) -> None:
    harness.sandbox.faults({"match": CREATE, "phase": "before", "action": "drop", "times": 1})
    await harness.flows.accept("o-1", total="0.01")
    payment = name_of("o-1")

    async def sent() -> bool:
        return bool(await harness.flows.pool.fetchval("SELECT ever_sent FROM operations WHERE kind = 'create'"))

    await eventually_async(sent)
    assert (await harness.post(f"/v1/payments/{payment}/cancel", {})).status == 201
    await harness.run_until_idle()
    assert await status(harness, payment) == "failed"
    operation = await harness.flows.operation("o-1", "cancel")
    assert (operation["state"], operation["outcome"]) == ("refused", "no_intent")


@pytest.mark.invariant("I1")
async def test_canceling_during_a_claim_leaves_no_payable_intent(harness: Harness) -> None:
    """Cancel while the dispatcher claims the creates: each ends without a call or after one."""
    orders = [f"o-{n}" for n in range(40)]
    await asyncio.gather(
        *(harness.flows.accept(order) for order in orders),
        *(_cancel_once_there(harness, name_of(order)) for order in orders),
    )
    await harness.run_until_idle()
    assert {await status(harness, name_of(order)) for order in orders} == {"canceled"}
    made = effects(harness.sandbox, "intent.created")
    assert len(made) == len(effects(harness.sandbox, "intent.canceled"))


async def _cancel_once_there(harness: Harness, payment: UUID) -> None:
    async def asked() -> bool:
        return (await harness.post(f"/v1/payments/{payment}/cancel", {}, f"job-{payment}")).status == 201

    await eventually_async(asked)


async def test_a_cancel_after_the_customer_paid_leaves_the_payment_paid(harness: Harness) -> None:
    """The customer's event has not arrived yet when the cancel is sent."""
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})
    assert (await harness.post(f"/v1/payments/{name_of('o-1')}/cancel", {})).status == 201
    await harness.flows.run_calls()
    assert await status(harness, name_of("o-1")) == "succeeded"
    await harness.run_until_idle()
    assert [topic for topic, _ in await harness.published(name_of("o-1"))] == ["initiated", "succeeded"]


async def test_an_unpaid_payment_expires_at_its_deadline_and_not_before(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    payment = name_of("o-1")
    harness.flows.clock.ahead = timedelta(hours=23, minutes=59)
    assert await expiry_of(harness).expire_once() == 0
    harness.flows.clock.ahead = timedelta(hours=24, seconds=1)
    assert await expiry_of(harness).expire_once() == 1
    await harness.run_until_idle()
    assert (await status(harness, payment), await last_published(harness, payment)) == (
        "canceled",
        ("failed", "expired"),
    )
    client: Any = harness.sandbox.client()
    assert client.v1.payment_intents.list().data[0].cancellation_reason == "abandoned"
    harness.flows.clock.ahead = timedelta(days=9)
    assert await expiry_of(harness).expire_once() == 0


async def test_an_order_can_set_its_own_expiry(harness: Harness) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    await harness.flows.accept("o-1", expires_at=soon)
    await harness.flows.accept("o-2", expires_at="2020-01-01T00:00:00+01:00")
    await harness.flows.accept("o-3", expires_at="2200-01-01T00:00:00Z")
    await harness.flows.run_calls()
    assert await expiry_of(harness).expire_once() == 1
    await harness.run_until_idle()
    harness.flows.clock.ahead = timedelta(minutes=11)
    assert await expiry_of(harness).expire_once() == 1
    harness.flows.clock.ahead = timedelta(days=2)
    await harness.run_until_idle()
    assert await expiry_of(harness).expire_once() == 0
    shown = [await status(harness, name_of(order)) for order in ("o-1", "o-2", "o-3")]
    assert shown == ["canceled", "canceled", "pending"]


async def test_an_expiry_of_zero_disables_expiry(database_dsn: str, sandbox: SandboxProcess) -> None:
    async with open_harness(database_dsn, sandbox, payment_expires_after=timedelta()) as harness:
        await harness.flows.accept("o-1")
        harness.flows.clock.ahead = timedelta(days=900)
        assert await expiry_of(harness).expire_once() == 0


async def test_an_authorized_paid_or_processing_payment_does_not_expire(harness: Harness) -> None:
    await harness.flows.accept("held", capture_method="manual")
    for order, method in (("held", "pm_card_visa"), ("paid", "pm_card_visa")):
        await harness.pay(order, method)
    await harness.flows.accept("at-the-bank")
    await harness.flows.run_calls()
    await harness.flows.pool.execute("UPDATE payments SET status = 'processing' WHERE order_id = 'at-the-bank'")
    harness.flows.clock.ahead = timedelta(days=2)
    assert await expiry_of(harness).expire_once() == 0
    await harness.flows.pool.execute("UPDATE payments SET status = 'declined' WHERE order_id = 'at-the-bank'")
    assert await expiry_of(harness).expire_once() == 1


async def test_expiry_requests_one_cancel_while_the_provider_does_not_respond(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    await harness.dispatcher.stop(5)
    harness.flows.clock.ahead = timedelta(hours=24)
    for _ in range(3):
        harness.flows.clock.ahead += LOOK_AGAIN
        assert await expiry_of(harness).expire_once() == 1
        assert await expiry_of(harness).expire_once() == 0
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM operations WHERE kind = 'cancel'") == 1
    harness.dispatcher = harness.flows.dispatcher()
    await harness.dispatcher.start()
    await harness.run_until_idle()
    await harness.dispatcher.stop(5)
    assert await last_published(harness, name_of("o-1")) == ("failed", "expired")


async def dispatch_all(harness: Harness) -> None:
    """Make the calls that are due, after a test had stopped the dispatcher."""
    harness.dispatcher = harness.flows.dispatcher()
    await harness.dispatcher.start()
    await harness.flows.run_calls()
    await harness.dispatcher.stop(5)


async def test_order_that_expires_before_its_create_is_sent_gets_no_intent(harness: Harness) -> None:
    await harness.dispatcher.stop(5)
    await harness.flows.accept("o-1", expires_at="2020-01-01T00:00:00Z")
    assert await expiry_of(harness).expire_once() == 1
    await dispatch_all(harness)
    assert (await status(harness, name_of("o-1")), harness.sandbox.ledger()) == ("canceled", [])
    assert await last_published(harness, name_of("o-1")) == ("failed", "expired")


async def test_many_replicas_expire_each_payment_once(harness: Harness) -> None:
    orders = [f"o-{n}" for n in range(250)]
    await harness.flows.accept(*orders)
    await harness.flows.run_calls(timeout_s=60)
    harness.flows.clock.ahead = timedelta(hours=25)
    replicas = [expiry_of(harness) for _ in range(4)]
    while sum(await asyncio.gather(*(replica.expire_once() for replica in replicas))):
        pass
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM operations WHERE kind = 'cancel'") == len(orders)
    await harness.flows.run_calls(timeout_s=60)
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM payments WHERE status = 'canceled'") == len(orders)


async def test_a_payment_the_database_rejects_blocks_no_other_expiry(harness: Harness) -> None:
    await harness.flows.accept("o-1", "o-2", "o-3")
    await harness.flows.run_calls()
    tripped = f"CHECK (kind <> 'cancel' OR payment_id <> '{name_of('o-2')}')"
    await harness.flows.pool.execute(f"ALTER TABLE operations ADD CONSTRAINT none_for_o_2 {tripped}")
    harness.flows.clock.ahead = timedelta(hours=25)
    assert await expiry_of(harness).expire_once() == 3
    await harness.run_until_idle()
    assert [await status(harness, name_of(order)) for order in ("o-1", "o-2", "o-3")] == [
        "canceled",
        "pending",
        "canceled",
    ]


@pytest.mark.invariant("I1")
async def test_paying_while_the_payment_expires_ends_in_exactly_one_outcome(harness: Harness) -> None:
    """Repeat until both have won at least once.

    The first request at the provider wins, and the published record says which.
    """
    seen: Counter[str] = Counter()
    for attempt in range(12):
        orders = [f"o-{attempt}-{n}" for n in range(30)]
        await harness.flows.accept(*orders)
        await harness.flows.run_calls()
        intents = [(await harness.flows.payment(order))["provider_payment_id"] for order in orders]
        harness.flows.clock.ahead += timedelta(hours=25)
        await asyncio.gather(asyncio.to_thread(_pay_all, harness.sandbox, intents), expiry_of(harness).expire_once())
        await harness.run_until_idle()
        for order, intent in zip(orders, intents, strict=True):
            seen[await _winner(harness, order, intent)] += 1
        if len(seen) == 2:
            break
    assert seen.keys() == {"succeeded", "canceled"}


def _pay_all(sandbox: SandboxProcess, intents: list[str]) -> None:
    client: Any = sandbox.client()
    for intent in intents:
        with contextlib.suppress(InvalidRequestError):  # it was canceled before
            client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})


async def _winner(harness: Harness, order: str, intent: str) -> str:
    """Return the outcome on which the provider's ledger, the row and the published records agree."""
    shown = await status(harness, name_of(order))
    ledger = [entry["effect"] for entry in harness.sandbox.ledger() if entry["payment_intent"] == intent]
    published = [topic for topic, _ in await harness.published(name_of(order))]
    if shown == "succeeded":
        assert ("charge.captured" in ledger, "intent.canceled" in ledger) == (True, False)
        assert published == ["initiated", "succeeded"]
    else:
        assert ("charge.captured" in ledger, "intent.canceled" in ledger) == (False, True)
        assert (published, await last_published(harness, name_of(order))) == (
            ["initiated", "canceled", "failed"],
            ("failed", "expired"),
        )
    return shown
