"""A database that was restored from a backup has lost what was done since. What is asked again then is not done twice.

The rows are deleted as a backup of the moment before would not have them; Stripe has forgotten its keys after a day.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.flows import inbound_record, order
from tests.support.harness import Harness
from tests.support.sandbox import SandboxProcess

DAY_S = 25 * 3600


async def restore_without_refunds(harness: Harness, payment: UUID) -> None:
    """Bring back the moment before the refunds of a payment were asked for."""
    pool = harness.flows.pool
    await pool.execute("DELETE FROM refunds WHERE payment_id = $1", payment)
    await pool.execute("DELETE FROM operations WHERE payment_id = $1 AND kind <> 'create'", payment)
    await pool.execute("DELETE FROM payment_events WHERE event_type LIKE '%refund%' AND payment_id = $1", payment)
    await pool.execute("DELETE FROM payment_history WHERE payment_id = $1 AND published_topic LIKE '%refund%'", payment)
    await pool.execute("DELETE FROM outbox WHERE aggregateid = $1 AND type LIKE '%refund%'", payment)
    await pool.execute("DELETE FROM idempotency_keys")
    await pool.execute(
        "UPDATE payments SET refunded = 0, reserved = 0, sequence = (SELECT max(sequence) FROM payment_history WHERE"
        " payment_id = payments.id) WHERE id = $1",
        payment,
    )


def pass_a_day(harness: Harness) -> None:
    harness.sandbox.advance(DAY_S)
    harness.flows.clock.ahead += timedelta(seconds=DAY_S)


def refunded(sandbox: SandboxProcess) -> list[int]:
    """The amounts that the provider has given back, by its own ledger."""
    return [entry["amount"] for entry in sandbox.ledger() if entry["effect"] == "refund.created"]


async def amounts(harness: Harness, payment: UUID) -> tuple[str, str]:
    shown = (await harness.get(f"/v1/payments/{payment}")).json
    return shown["amount_captured"], shown["amount_refunded"]


@pytest.mark.invariant("I7")
async def test_the_same_job_finds_the_refund_that_it_asked_for_before(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    first = await harness.refund(payment, "5.00", "job-1")
    await harness.run_until_idle()
    told = await harness.announced(payment)
    await restore_without_refunds(harness, payment)
    pass_a_day(harness)
    again = await harness.refund(payment, "5.00", "job-1")
    assert again.json["id"] == first.json["id"]
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == [500]
    assert (await harness.get(f"/v1/refunds/{first.json['id']}")).json["status"] == "succeeded"
    assert await amounts(harness, payment) == ("19.90", "5.00")
    assert await harness.announced(payment) == told, "the same, under the same ids"


async def test_another_refund_takes_in_what_was_lost_and_the_job_finds_it_afterwards(harness: Harness) -> None:
    """What was lost and what is asked for now are more than was paid: the provider has the last word."""
    payment = await harness.pay("o-1")
    first = await harness.refund(payment, "15.00", "job-1")
    await harness.run_until_idle()
    await restore_without_refunds(harness, payment)
    pass_a_day(harness)
    too_much = await harness.refund(payment, "6.00", "job-2")
    await harness.run_until_idle()
    assert (await harness.get(f"/v1/refunds/{too_much.json['id']}")).json["status"] == "failed"
    assert await amounts(harness, payment) == ("19.90", "15.00")
    again = await harness.refund(payment, "15.00", "job-1")
    assert (again.status, again.json["id"], again.json["status"]) == (201, first.json["id"], "succeeded")
    await harness.flows.pool.execute("DELETE FROM idempotency_keys")
    assert (await harness.refund(payment, "14.00", "job-1")).status == 422
    await harness.refund(payment, "4.90", "job-3")
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == [1500, 490]
    assert await amounts(harness, payment) == ("19.90", "19.90")


async def test_an_event_that_comes_again_brings_the_refund_back_under_its_own_name(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    first = await harness.refund(payment, "5.00", "job-1")
    await harness.run_until_idle()
    await restore_without_refunds(harness, payment)
    harness.seen.clear()
    await harness.run_until_idle()
    assert (await harness.get(f"/v1/refunds/{first.json['id']}")).json["status"] == "succeeded"
    assert await amounts(harness, payment) == ("19.90", "5.00")
    pass_a_day(harness)
    assert (await harness.refund(payment, "5.00", "job-1")).json["id"] == first.json["id"]
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == [500]


async def test_a_refund_is_looked_for_among_more_than_a_page_of_them(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await harness.refund(payment, "5.00", "job-1")
    await harness.run_until_idle()
    client: Any = harness.sandbox.client()
    intent = (await harness.get(f"/v1/payments/{payment}")).json["provider_payment_id"]
    make = {"payment_intent": intent, "amount": 1}
    await asyncio.to_thread(lambda: [client.v1.refunds.create(make) for _ in range(101)])
    await restore_without_refunds(harness, payment)
    pass_a_day(harness)
    await harness.refund(payment, "5.00", "job-1")
    await harness.flows.run_calls()
    assert refunded(harness.sandbox).count(500) == 1
    assert await amounts(harness, payment) == ("19.90", "6.01")


async def restore_without_orders(harness: Harness) -> None:
    """Bring back the moment before any order came."""
    await harness.flows.pool.execute("TRUNCATE payments, operations, payment_events, payment_history, outbox CASCADE")


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("paid", [True, False])
async def test_an_order_that_is_read_again_finds_the_intent_that_was_made_for_it(harness: Harness, paid: bool) -> None:
    record = inbound_record(order("o-1"), 0)
    await harness.flows.intake.accept([record])
    await harness.flows.run_calls()
    before = await harness.flows.payment("o-1")
    if paid:
        client: Any = harness.sandbox.client()
        client.v1.payment_intents.confirm(before["provider_payment_id"], {"payment_method": "pm_card_visa"})
    await restore_without_orders(harness)
    pass_a_day(harness)
    await harness.flows.intake.accept([record])
    await harness.flows.run_calls()
    now = await harness.flows.payment("o-1")
    assert now["provider_payment_id"] == before["provider_payment_id"]
    assert now["status"] == ("succeeded" if paid else "pending")
    assert [entry["effect"] for entry in harness.sandbox.ledger()].count("intent.created") == 1


async def test_an_order_that_comes_late_for_the_first_time_gets_its_intent(harness: Harness) -> None:
    """What looks first finds nothing, once, and then makes it, under the first key."""
    await harness.flows.intake.accept([inbound_record(order("o-1"), 0, age=timedelta(days=2))])
    await harness.flows.run_calls()
    payment = await harness.flows.payment("o-1")
    assert payment["status"] == "pending"
    call = await harness.flows.operation("o-1")
    assert (call["epoch"], call["attempt"], call["state"]) == (1, 2, "done")


async def test_an_order_that_comes_in_time_is_sent_at_once(harness: Harness) -> None:
    await harness.flows.intake.accept([inbound_record(order("o-1"), 0, age=timedelta(hours=11))])
    await harness.flows.run_calls()
    call = await harness.flows.operation("o-1")
    assert (call["epoch"], call["attempt"], call["state"]) == (1, 1, "done")
