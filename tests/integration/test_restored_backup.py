"""Test a database restored from a backup: requests repeated for the lost period are not executed twice.

The tests delete the rows that a backup would lack. Stripe has forgotten its idempotency keys after a day.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from payment_service.db import payments
from payment_service.flows.operators.recover import Recovery
from tests.support.backup import published_record
from tests.support.flows import inbound_record, name_of
from tests.support.flows import order as flows_order
from tests.support.harness import Harness
from tests.support.sandbox import SandboxProcess

DAY_S = 25 * 3600


async def restore_without_refunds(harness: Harness, payment: UUID) -> None:
    """Restore the state before any refund of a payment was requested."""
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
    """Return the refunded amounts in the provider's ledger."""
    return [entry["amount"] for entry in sandbox.ledger() if entry["effect"] == "refund.created"]


async def amounts(harness: Harness, payment: UUID) -> tuple[str, str]:
    shown = (await harness.get(f"/v1/payments/{payment}")).json
    return shown["amount_captured"], shown["amount_refunded"]


@pytest.mark.invariant("I7")
async def test_a_repeated_request_finds_its_earlier_refund(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    first = await harness.refund(payment, "5.00", "job-1")
    await harness.run_until_idle()
    published = await harness.published(payment)
    await restore_without_refunds(harness, payment)
    pass_a_day(harness)
    again = await harness.refund(payment, "5.00", "job-1")
    assert again.json["id"] == first.json["id"]
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == [500]
    assert (await harness.get(f"/v1/refunds/{first.json['id']}")).json["status"] == "succeeded"
    assert await amounts(harness, payment) == ("19.90", "5.00")
    assert await harness.published(payment) == published, "the same records with the same ids"


async def test_another_refund_recovers_the_lost_one_and_its_key_finds_it(harness: Harness) -> None:
    """Together both refunds exceed the payment, so the provider decides."""
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


async def test_a_resent_event_restores_the_refund_with_its_id(harness: Harness) -> None:
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


async def test_a_lost_refund_is_found_beyond_the_first_page(harness: Harness) -> None:
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
    """Restore the state before any order arrived."""
    await harness.flows.pool.execute(
        "TRUNCATE payments, operations, payment_events, payment_history, outbox, outbox_pending CASCADE"
    )


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("paid", [True, False])
async def test_a_reread_order_finds_its_existing_intent(harness: Harness, paid: bool) -> None:
    record = inbound_record(flows_order("o-1"), 0)
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


@pytest.mark.parametrize("order", [list, lambda events: events[::-1]], ids=["in_order", "in_reverse"])
async def test_events_that_come_before_the_intent_of_their_payment_wait_for_it(harness: Harness, order: Any) -> None:
    """The orders are read again, and the provider resends events while their creates wait."""
    refunded, disputed = await harness.pay("o-1"), await harness.pay("o-2", "pm_card_createDispute")
    client: Any = harness.sandbox.client()
    intent = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client.v1.refunds.create({"payment_intent": intent, "amount": 500})
    await harness.run_until_idle()
    published = await topics(harness, refunded, disputed)
    assert published == [["initiated", "refunded", "succeeded"], ["disputed", "initiated", "succeeded"]]
    await harness.dispatcher.stop(5)
    await restore_without_orders(harness)
    harness.seen.clear()
    await harness.flows.intake.accept([inbound_record(flows_order(f"o-{i}"), i) for i in (1, 2)])
    await harness.deliver(order)
    again = harness.flows.dispatcher()
    await again.start()
    await harness.run_until_idle()
    await again.stop(5)
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM payment_events WHERE parked_reason IS NOT NULL") == 0
    assert await amounts(harness, refunded) == ("19.90", "5.00")
    assert await topics(harness, refunded, disputed) == published


async def topics(harness: Harness, *payments: UUID) -> list[list[str]]:
    """Return the topics of each payment, sorted."""
    return [sorted(topic for topic, _ in await harness.published(payment)) for payment in payments]


async def test_a_late_new_order_gets_its_intent(harness: Harness) -> None:
    """The first read finds nothing, so the create is sent under the first key."""
    await harness.flows.intake.accept([inbound_record(flows_order("o-1"), 0, age=timedelta(days=2))])
    await harness.flows.run_calls()
    payment = await harness.flows.payment("o-1")
    assert payment["status"] == "pending"
    call = await harness.flows.operation("o-1")
    assert (call["epoch"], call["attempt"], call["state"]) == (1, 2, "done")


async def test_a_recent_order_is_sent_without_a_read(harness: Harness) -> None:
    await harness.flows.intake.accept([inbound_record(flows_order("o-1"), 0, age=timedelta(hours=11))])
    await harness.flows.run_calls()
    call = await harness.flows.operation("o-1")
    assert (call["epoch"], call["attempt"], call["state"]) == (1, 1, "done")


async def restore_while_authorized(harness: Harness, payment: UUID) -> None:
    """Restore the state in which the customer had authorized, and let the provider's events tell of the rest."""
    pool = harness.flows.pool
    await pool.execute("DELETE FROM operations WHERE payment_id = $1 AND kind <> 'create'", payment)
    await pool.execute(
        "DELETE FROM payment_events WHERE event_type IN ('payment_intent.succeeded', 'payment_intent.canceled')"
    )
    await pool.execute("DELETE FROM payment_history WHERE payment_id = $1 AND sequence > 2", payment)
    await pool.execute("DELETE FROM outbox WHERE aggregateid = $1 AND sequence > 2", payment)
    await pool.execute("DELETE FROM idempotency_keys")
    await pool.execute(
        "UPDATE payments SET status = 'authorized', captured = 0, paid_at = NULL, sequence = 2, fact_rank = 1 WHERE id = $1",
        payment,
    )


async def authorize(harness: Harness) -> UUID:
    await harness.flows.accept("o-1", capture_method="manual")
    return await harness.pay("o-1")


@pytest.mark.invariant("I14")
@pytest.mark.parametrize(
    ("action", "body", "other"),
    [("capture", {"amount": "15.00"}, {"amount": "14.00"}), ("cancel", {}, {"reason": "abandoned"})],
)
async def test_repeated_capture_and_cancel_get_their_first_response(
    harness: Harness, action: str, body: dict[str, str], other: dict[str, str]
) -> None:
    """Another request, or one under another key, is refused."""
    payment = await authorize(harness)
    target = f"/v1/payments/{payment}/{action}"
    first = await harness.post(target, body, "job-1")
    await harness.run_until_idle()
    published = await harness.published(payment)
    await restore_while_authorized(harness, payment)
    harness.seen.clear()
    await harness.run_until_idle()
    ended = (await harness.get(f"/v1/payments/{payment}")).json
    assert (await harness.post(target, other, "job-1")).status == 409
    again = await harness.post(target, body, "job-1")
    assert (again.status, again.json["id"], again.json["status"]) == (first.status, str(payment), ended["status"])
    await harness.run_until_idle()
    assert (await harness.post(target, body, "job-2")).status == 409
    await harness.flows.pool.execute("DELETE FROM idempotency_keys")
    assert (await harness.post(target, body, "job-1")).status == first.status
    assert (await harness.post(target, other, "job-1")).status == 422
    assert await harness.published(payment) == published
    moved = [e["effect"] for e in harness.sandbox.ledger() if e["effect"] in {"charge.captured", "intent.canceled"}]
    assert len(moved) == 1


async def test_request_is_not_refused_by_a_row_that_is_being_read(harness: Harness) -> None:
    """The row of a restored backup is behind the provider until the read is done."""
    payment = await authorize(harness)
    await harness.post(f"/v1/payments/{payment}/capture", {}, "job-1")
    await harness.run_until_idle()
    await restore_while_authorized(harness, payment)
    pool = harness.flows.pool
    await pool.execute("UPDATE payments SET status = 'pending', fact_rank = 0")
    await harness.dispatcher.stop(5)
    async with pool.acquire() as connection, connection.transaction():
        locked = await payments.lock_one(connection, payment)
        assert locked is not None
        fold = harness.flows.context().fold({payment: locked})
        fold.enqueue_own_read(payment, "recovery:suite")
        await fold.write(connection)
    refused = await harness.post(f"/v1/payments/{payment}/capture", {}, "job-1")
    assert (refused.status, refused.json["type"].rpartition(":")[2]) == (409, "not_yet")
    again = harness.flows.dispatcher()
    await again.start()
    await harness.flows.run_calls()
    assert (await harness.post(f"/v1/payments/{payment}/capture", {}, "job-1")).status == 201
    await again.stop(5)


async def announced(harness: Harness) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return topic and value of every event, by `ce_id`."""
    rows = await harness.flows.pool.fetch("SELECT id, type, payload FROM outbox")
    values = {str(row["id"]): (row["type"], json.loads(row["payload"])) for row in rows}
    for _, value in values.values():
        value.pop("payment_date", None)
    return values


@pytest.mark.parametrize("order", [list, lambda events: events[::-1]], ids=["in_order", "in_reverse"])
async def test_events_are_published_again_with_the_same_id_and_content(harness: Harness, order: Any) -> None:
    """The provider resends its events in any order, and the jobs run again."""
    paid, held = await harness.pay("o-paid"), await authorize(harness)
    orders = [inbound_record(flows_order("o-paid"), 0), inbound_record(flows_order("o-1", capture_method="manual"), 1)]
    for number, ending in enumerate(("o-canceled", "o-withdrawn"), 2):
        orders.append(inbound_record(flows_order(ending), number))

    async def cancel(order_id: str) -> None:
        reason = {"reason": "requested_by_customer"}
        await harness.post(f"/v1/payments/{name_of(order_id)}/cancel", reason, f"cancel-{order_id}")

    async def run_jobs() -> None:
        await harness.refund(paid, "5.00", "refund-1", reason="torn")
        await harness.post(f"/v1/payments/{held}/capture", {"amount": "15.00"}, "capture-1")
        await harness.run_until_idle()
        for ending in ("o-canceled", "o-withdrawn"):
            await cancel(ending)
        await harness.run_until_idle()

    await harness.flows.accept("o-canceled")
    await harness.run_until_idle()
    await harness.dispatcher.stop(5)
    await harness.flows.accept("o-withdrawn")
    await cancel("o-withdrawn")
    again = harness.flows.dispatcher()
    await again.start()
    await run_jobs()
    before = await announced(harness)
    await restore_without_orders(harness)
    await harness.flows.pool.execute("TRUNCATE idempotency_keys")
    harness.seen.clear()
    await harness.flows.intake.accept(orders)
    await harness.flows.run_calls()
    await harness.deliver(order)
    await harness.run_until_idle()
    await run_jobs()
    now = await announced(harness)
    await again.stop(5)
    assert {name: now[name] for name in before.keys() & now.keys()} == {
        name: before[name] for name in before.keys() & now.keys()
    }
    assert sorted(topic for name, (topic, _) in now.items() if name not in before) == ["payments.initiated"], (
        "only the intent of the create that had been withdrawn is new"
    )


@pytest.mark.invariant("I14")
async def test_unfinished_refund_of_a_backup_is_looked_for_before_it_is_sent(harness: Harness) -> None:
    """The backup has the refund as due in epoch 1. It was sent afterwards, and the provider has forgotten the key."""
    payment = await harness.pay("o-1")
    refund = await harness.refund(payment, "5.00", "job-1")
    await harness.run_until_idle()
    await harness.dispatcher.stop(5)
    pool = harness.flows.pool
    await pool.execute(
        "UPDATE operations SET state = 'due', epoch = 1, first_sent_at = NULL, last_sent_at = NULL, resolving = false,"
        " outcome = 'nothing_yet', finished_at = NULL WHERE kind = 'refund'"
    )
    await pool.execute(
        "UPDATE refunds SET status = 'pending', provider_refund_id = NULL, fact_rank = NULL, fact_at = NULL,"
        " fact_precedence = NULL, fact_source = NULL"
    )
    await pool.execute("UPDATE payments SET refunded = 0, reserved = 500, sequence = 3")
    await pool.execute("DELETE FROM payment_history WHERE sequence > 3")
    await pool.execute("DELETE FROM outbox WHERE sequence > 3")
    pass_a_day(harness)
    recovery = Recovery(harness.context(), datetime.now(UTC), rate_per_s=1000, dry_run=False)
    await recovery.look_first()
    assert recovery.done.operations_to_look_first == 1
    again = harness.flows.dispatcher()
    await again.start()
    await harness.flows.run_calls()
    await again.stop(5)
    assert refunded(harness.sandbox) == [500]
    assert (await harness.get(f"/v1/refunds/{refund.json['id']}")).json["status"] == "succeeded"


async def test_order_whose_end_was_published_gets_no_intent_when_it_is_read_again(harness: Harness) -> None:
    """The payment was canceled before its create was sent. A topic has its records, and the backup has no row of it."""
    await harness.dispatcher.stop(5)
    await harness.flows.accept("o-1")
    await harness.post(f"/v1/payments/{name_of('o-1')}/cancel", {"reason": "requested_by_customer"}, "cancel-1")
    first = harness.flows.dispatcher()
    await first.start()
    await harness.flows.run_calls()
    await first.stop(5)
    pool = harness.flows.pool
    rows = await pool.fetch("SELECT * FROM outbox ORDER BY sequence")
    await restore_without_orders(harness)
    recovery = Recovery(harness.context(), datetime.now(UTC), rate_per_s=1000, dry_run=False)
    await recovery.store([published_record(row, offset) for offset, row in enumerate(rows)])
    await recovery.write_records()
    await harness.flows.intake.accept([inbound_record(flows_order("o-1"), 0)])
    again = harness.flows.dispatcher()
    await again.start()
    await harness.flows.run_calls()
    await again.stop(5)
    assert (await harness.flows.payment("o-1"))["status"] == "canceled"
    assert [entry["effect"] for entry in harness.sandbox.ledger()] == []
    now = await pool.fetch("SELECT * FROM outbox ORDER BY sequence")
    assert [(row["id"], row["sequence"], row["payload"]) for row in now] == [
        (row["id"], row["sequence"], row["payload"]) for row in rows
    ]
    assert await pool.fetchval("SELECT count(*) FROM outbox_pending") == 0
