"""Cancellations before a real sandbox: without a call where none was made, else by what the provider says; and expiry."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from stripe import InvalidRequestError

from payment_service.flows.expire import LOOK_AGAIN, Expiry
from tests.support.eventually import eventually_async
from tests.support.flows import name_of
from tests.support.sandbox import SandboxProcess
from tests.support.till import Till, open_till

CREATE = {"method": "POST", "path": "/v1/payment_intents"}


def expiry_of(till: Till) -> Expiry:
    """A process's look at the clock; the test says when."""
    return Expiry(till.surroundings())


async def status(till: Till, payment: UUID) -> str:
    """A payment's status, as it is shown."""
    shown: str = (await till.get(f"/v1/payments/{payment}")).json["status"]
    return shown


async def end_of(till: Till, payment: UUID) -> tuple[str, str]:
    """The last record that was announced: its topic and its code."""
    topic, value = (await till.announced(payment))[-1]
    return topic, value.get("code", "")


def effects(sandbox: SandboxProcess, *names: str) -> list[str]:
    """What the provider has done of these, by its own ledger."""
    return [entry["effect"] for entry in sandbox.ledger() if entry["effect"] in names]


async def test_a_create_that_was_never_sent_is_taken_back_without_a_call(till: Till) -> None:
    await till.dispatcher.stop(5)
    await till.flows.accept("o-1")
    payment = name_of("o-1")
    answer = await till.post(f"/v1/payments/{payment}/cancel", {}, "job-1")
    assert (answer.status, answer.json["status"]) == (201, "canceled")
    assert [topic for topic, _ in await till.announced(payment)] == ["canceled", "failed"]
    operation = await till.flows.operation("o-1")
    assert (operation["state"], operation["outcome"], operation["attempt"]) == ("refused", "withdrawn", 0)
    assert till.sandbox.ledger() == []


@pytest.mark.parametrize("action", ["drop", "bad_gateway"])
@pytest.mark.parametrize("phase", ["before", "after"])
async def test_a_cancel_waits_for_a_create_whose_outcome_nobody_knows(till: Till, phase: str, action: str) -> None:
    till.sandbox.faults({"match": CREATE, "phase": phase, "action": action, "times": 2})
    await till.flows.accept("o-1")
    payment = name_of("o-1")

    async def sent() -> bool:
        return bool(await till.flows.pool.fetchval("SELECT ever_sent FROM operations WHERE kind = 'create'"))

    await eventually_async(sent)
    answer = await till.post(f"/v1/payments/{payment}/cancel", {})
    assert (answer.status, answer.json["status"]) == (201, "created")
    await till.settle()
    assert await status(till, payment) == "canceled"
    assert [topic for topic, _ in await till.announced(payment)] == ["initiated", "canceled", "failed"]
    assert effects(till.sandbox, "intent.created", "intent.canceled") == ["intent.created", "intent.canceled"]


async def test_a_cancel_behind_a_create_that_is_refused_is_not_sent(till: Till) -> None:
    till.sandbox.faults({"match": CREATE, "phase": "before", "action": "drop", "times": 1})
    await till.flows.accept("o-1", total="0.01")
    payment = name_of("o-1")

    async def sent() -> bool:
        return bool(await till.flows.pool.fetchval("SELECT ever_sent FROM operations WHERE kind = 'create'"))

    await eventually_async(sent)
    assert (await till.post(f"/v1/payments/{payment}/cancel", {})).status == 201
    await till.settle()
    assert await status(till, payment) == "failed"
    operation = await till.flows.operation("o-1", "cancel")
    assert (operation["state"], operation["outcome"]) == ("refused", "no_intent")


@pytest.mark.invariant("I1")
async def test_a_withdrawal_and_a_claim_at_once_never_leave_an_intent_that_can_be_paid(till: Till) -> None:
    """Canceled while the dispatcher reaches for the creates: without a call, or after one."""
    orders = [f"o-{n}" for n in range(40)]
    await asyncio.gather(
        *(till.flows.accept(order) for order in orders),
        *(_cancel_once_there(till, name_of(order)) for order in orders),
    )
    await till.settle()
    assert {await status(till, name_of(order)) for order in orders} == {"canceled"}
    made = effects(till.sandbox, "intent.created")
    assert len(made) == len(effects(till.sandbox, "intent.canceled"))


async def _cancel_once_there(till: Till, payment: UUID) -> None:
    async def asked() -> bool:
        return (await till.post(f"/v1/payments/{payment}/cancel", {}, f"job-{payment}")).status == 201

    await eventually_async(asked)


async def test_a_cancel_that_loses_to_the_customer_leaves_the_payment_paid(till: Till) -> None:
    """The customer's event has not come yet when we ask."""
    await till.flows.accept("o-1")
    await till.flows.settle_all()
    intent_id = (await till.flows.payment("o-1"))["provider_payment_id"]
    client: Any = till.sandbox.client()
    client.v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})
    assert (await till.post(f"/v1/payments/{name_of('o-1')}/cancel", {})).status == 201
    await till.flows.settle_all()
    assert await status(till, name_of("o-1")) == "succeeded"
    await till.settle()
    assert [topic for topic, _ in await till.announced(name_of("o-1"))] == ["initiated", "succeeded"]


async def test_an_unpaid_payment_expires_when_its_time_is_over_and_not_before(till: Till) -> None:
    await till.flows.accept("o-1")
    await till.flows.settle_all()
    payment = name_of("o-1")
    till.flows.clock.ahead = timedelta(hours=23, minutes=59)
    assert await expiry_of(till).expire_once() == 0
    till.flows.clock.ahead = timedelta(hours=24, seconds=1)
    assert await expiry_of(till).expire_once() == 1
    await till.settle()
    assert (await status(till, payment), await end_of(till, payment)) == ("canceled", ("failed", "expired"))
    client: Any = till.sandbox.client()
    assert client.v1.payment_intents.list().data[0].cancellation_reason == "abandoned"
    till.flows.clock.ahead = timedelta(days=9)
    assert await expiry_of(till).expire_once() == 0


async def test_an_order_says_itself_when_it_expires(till: Till) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    await till.flows.accept("o-1", expires_at=soon)
    await till.flows.accept("o-2", expires_at="2020-01-01T00:00:00+01:00")
    await till.flows.accept("o-3", expires_at="2200-01-01T00:00:00Z")
    await till.flows.settle_all()
    assert await expiry_of(till).expire_once() == 1
    await till.settle()
    till.flows.clock.ahead = timedelta(minutes=11)
    assert await expiry_of(till).expire_once() == 1
    till.flows.clock.ahead = timedelta(days=2)
    await till.settle()
    assert await expiry_of(till).expire_once() == 0
    shown = [await status(till, name_of(order)) for order in ("o-1", "o-2", "o-3")]
    assert shown == ["canceled", "canceled", "pending"]


async def test_where_the_time_is_0_nothing_expires(database_dsn: str, sandbox: SandboxProcess) -> None:
    async with open_till(database_dsn, sandbox, payment_expires_after=timedelta()) as till:
        await till.flows.accept("o-1")
        till.flows.clock.ahead = timedelta(days=900)
        assert await expiry_of(till).expire_once() == 0


async def test_what_is_held_paid_or_at_the_bank_does_not_expire(till: Till) -> None:
    await till.flows.accept("held", capture_method="manual")
    for order, method in (("held", "pm_card_visa"), ("paid", "pm_card_visa")):
        await till.pay(order, method)
    await till.flows.accept("at-the-bank")
    await till.flows.settle_all()
    await till.flows.pool.execute("UPDATE payments SET status = 'processing' WHERE order_id = 'at-the-bank'")
    till.flows.clock.ahead = timedelta(days=2)
    assert await expiry_of(till).expire_once() == 0
    await till.flows.pool.execute("UPDATE payments SET status = 'declined' WHERE order_id = 'at-the-bank'")
    assert await expiry_of(till).expire_once() == 1


async def test_while_the_provider_does_not_answer_the_end_is_asked_for_once(till: Till) -> None:
    await till.flows.accept("o-1")
    await till.flows.settle_all()
    await till.dispatcher.stop(5)
    till.flows.clock.ahead = timedelta(hours=24)
    for _ in range(3):
        till.flows.clock.ahead += LOOK_AGAIN
        assert await expiry_of(till).expire_once() == 1
        assert await expiry_of(till).expire_once() == 0
    assert await till.flows.pool.fetchval("SELECT count(*) FROM operations WHERE kind = 'cancel'") == 1
    till.dispatcher = till.flows.dispatcher()
    await till.dispatcher.start()
    await till.settle()
    await till.dispatcher.stop(5)
    assert await end_of(till, name_of("o-1")) == ("failed", "expired")


async def test_what_has_expired_before_it_was_sent_needs_no_call(till: Till) -> None:
    await till.dispatcher.stop(5)
    await till.flows.accept("o-1", expires_at="2020-01-01T00:00:00Z")
    assert await expiry_of(till).expire_once() == 1
    assert (await status(till, name_of("o-1")), till.sandbox.ledger()) == ("canceled", [])
    assert await end_of(till, name_of("o-1")) == ("failed", "expired")


async def test_many_replicas_ask_for_the_end_of_each_payment_once(till: Till) -> None:
    orders = [f"o-{n}" for n in range(250)]
    await till.flows.accept(*orders)
    await till.flows.settle_all(timeout_s=60)
    till.flows.clock.ahead = timedelta(hours=25)
    replicas = [expiry_of(till) for _ in range(4)]
    while sum(await asyncio.gather(*(replica.expire_once() for replica in replicas))):
        pass
    assert await till.flows.pool.fetchval("SELECT count(*) FROM operations WHERE kind = 'cancel'") == len(orders)
    await till.flows.settle_all(timeout_s=60)
    assert await till.flows.pool.fetchval("SELECT count(*) FROM payments WHERE status = 'canceled'") == len(orders)


async def test_a_payment_that_trips_the_database_keeps_no_other_from_expiring(till: Till) -> None:
    await till.flows.accept("o-1", "o-2", "o-3")
    await till.flows.settle_all()
    tripped = f"CHECK (kind <> 'cancel' OR payment_id <> '{name_of('o-2')}')"
    await till.flows.pool.execute(f"ALTER TABLE operations ADD CONSTRAINT none_for_o_2 {tripped}")
    till.flows.clock.ahead = timedelta(hours=25)
    assert await expiry_of(till).expire_once() == 3
    await till.settle()
    assert [await status(till, name_of(order)) for order in ("o-1", "o-2", "o-3")] == [
        "canceled",
        "pending",
        "canceled",
    ]


@pytest.mark.invariant("I1")
async def test_a_customer_who_pays_in_the_same_second_ends_in_exactly_one_of_the_two(till: Till) -> None:
    """Tried until both have won; whoever was first at the provider has, and what is announced says which."""
    seen: Counter[str] = Counter()
    for attempt in range(12):
        orders = [f"o-{attempt}-{n}" for n in range(30)]
        await till.flows.accept(*orders)
        await till.flows.settle_all()
        intents = [(await till.flows.payment(order))["provider_payment_id"] for order in orders]
        till.flows.clock.ahead += timedelta(hours=25)
        await asyncio.gather(asyncio.to_thread(_pay_all, till.sandbox, intents), expiry_of(till).expire_once())
        await till.settle()
        for order, intent in zip(orders, intents, strict=True):
            seen[await _winner(till, order, intent)] += 1
        if len(seen) == 2:
            break
    assert seen.keys() == {"succeeded", "canceled"}


def _pay_all(sandbox: SandboxProcess, intents: list[str]) -> None:
    client: Any = sandbox.client()
    for intent in intents:
        with contextlib.suppress(InvalidRequestError):  # it was canceled before
            client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})


async def _winner(till: Till, order: str, intent: str) -> str:
    """The end that the provider's ledger, our row and our records agree upon."""
    shown = await status(till, name_of(order))
    ledger = [entry["effect"] for entry in till.sandbox.ledger() if entry["payment_intent"] == intent]
    told = [topic for topic, _ in await till.announced(name_of(order))]
    if shown == "succeeded":
        assert ("charge.captured" in ledger, "intent.canceled" in ledger) == (True, False)
        assert told == ["initiated", "succeeded"]
    else:
        assert ("charge.captured" in ledger, "intent.canceled" in ledger) == (False, True)
        assert (told, await end_of(till, name_of(order))) == (
            ["initiated", "canceled", "failed"],
            ("failed", "expired"),
        )
    return shown
