"""Test `orders.cancelled` against a real sandbox: applied once, before or after its order."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from stripe import InvalidRequestError

from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.timers.cancelled_orders import CancelledOrders
from tests.support.eventually import eventually_async
from tests.support.flows import cancelled, name_of
from tests.support.harness import Harness
from tests.support.sandbox import SandboxProcess


def cancellations_of(harness: Harness, *, refund: bool = False) -> CancelledOrders:
    """Create the worker for order cancellations. The test runs it."""
    return CancelledOrders(harness.context(), refund=refund)


async def accept(harness: Harness, *values: object) -> None:
    """Accept records of `orders.cancelled`."""
    await OrderCancellationIntake(harness.context()).accept([cancelled(value, at) for at, value in enumerate(values)])


async def cancel(harness: Harness, *order_ids: str, refund: bool = False, **fields: str) -> None:
    """Accept cancellations and process them until each has its outcome."""
    await accept(harness, *({"order_id": order_id, **fields} for order_id in order_ids))
    await process_batches(harness, cancellations_of(harness, refund=refund))


async def process_batches(harness: Harness, *work: CancelledOrders) -> None:
    async def all_completed() -> bool:
        # Make every later check due now.
        await harness.flows.pool.execute("UPDATE order_cancellations SET due_at = now() WHERE due_at IS NOT NULL")
        await asyncio.gather(*(one.run_once() for one in work))
        await harness.run_until_idle()
        return not await harness.flows.pool.fetchval(
            "SELECT count(*) FROM order_cancellations WHERE due_at IS NOT NULL"
        )

    await eventually_async(all_completed, timeout_s=30)


async def outcome(harness: Harness, order_id: str = "o-1") -> str | None:
    """Return the outcome of an order cancellation."""
    found: str | None = await harness.flows.pool.fetchval(
        "SELECT outcome FROM order_cancellations WHERE order_id = $1", order_id
    )
    return found


async def status(harness: Harness, payment: UUID) -> str:
    """Return a payment's status as the API shows it."""
    shown: str = (await harness.get(f"/v1/payments/{payment}")).json["status"]
    return shown


async def published_topics(harness: Harness, payment: UUID) -> list[str]:
    """Return the topics of the payment's published records, in order."""
    return [topic for topic, _ in await harness.published(payment)]


async def test_canceling_an_order_cancels_and_publishes_its_unpaid_payment(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    await cancel(harness, "o-1", reason="changed their mind")
    assert (await outcome(harness), await status(harness, name_of("o-1"))) == ("canceled", "canceled")
    topic, value = (await harness.published(name_of("o-1")))[-1]
    assert (topic, value["code"], value["final"]) == ("failed", "order_cancelled", True)


async def test_canceling_an_order_releases_its_authorized_money(harness: Harness) -> None:
    await harness.flows.accept("o-1", capture_method="manual")
    payment = await harness.pay("o-1")
    await cancel(harness, "o-1")
    assert (await outcome(harness), await status(harness, payment)) == ("canceled", "canceled")
    assert "charge.released" in [entry["effect"] for entry in harness.sandbox.ledger()]


async def test_cancellation_before_its_order_withdraws_the_create(harness: Harness) -> None:
    await cancel(harness, "o-1")
    assert await outcome(harness) is None
    await harness.flows.accept("o-1", "o-2")
    payment = name_of("o-1")
    await process_batches(harness, cancellations_of(harness))
    assert (await outcome(harness), await status(harness, payment)) == ("canceled", "canceled")
    assert await published_topics(harness, payment) == ["canceled", "failed"]
    await harness.run_until_idle()
    assert [entry["effect"] for entry in harness.sandbox.ledger()] == ["intent.created"], "only for the other order"
    assert await status(harness, name_of("o-2")) == "pending"


async def test_a_concurrent_order_and_cancellation_end_canceled(harness: Harness) -> None:
    """Neither transaction may see the other, so the loop checks again."""
    orders = [f"o-{n}" for n in range(40)]
    await asyncio.gather(
        *(harness.flows.accept(order) for order in orders), *(accept(harness, {"order_id": order}) for order in orders)
    )
    await process_batches(harness, cancellations_of(harness))
    assert {await outcome(harness, order) for order in orders} == {"canceled"}
    assert {await status(harness, name_of(order)) for order in orders} == {"canceled"}


async def test_canceling_a_paid_order_refunds_it_if_configured(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    assert (await harness.refund(payment, "5.00")).status == 201
    await harness.run_until_idle()
    await cancel(harness, "o-1", refund=True, reason="out of stock")
    assert (await outcome(harness), await status(harness, payment)) == ("refunded", "refunded")
    rows = await harness.flows.pool.fetch("SELECT client, amount, reason FROM refunds ORDER BY amount")
    assert [tuple(row) for row in rows][1] == ("system", 1490, "out of stock")


async def test_canceling_a_paid_order_without_refunds_is_recorded_as_too_late(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await cancel(harness, "o-1")
    assert (await outcome(harness), await status(harness, payment)) == ("too_late", "succeeded")
    timeline = (await harness.get(f"/v1/payments/{payment}/timeline")).json["data"]
    assert "order_cancelled:too_late" in [entry.get("cause") for entry in timeline]
    assert await published_topics(harness, payment) == ["initiated", "succeeded"]


async def test_canceling_an_order_with_a_chargeback_refunds_nothing(harness: Harness) -> None:
    payment = await harness.pay("o-1", "pm_card_createDispute")
    await harness.run_until_idle()
    await cancel(harness, "o-1", refund=True)
    assert (await outcome(harness), await status(harness, payment)) == ("too_late", "succeeded")


async def test_canceling_a_free_order_refunds_nothing(harness: Harness) -> None:
    await harness.flows.accept("o-1", total="0.00")
    await cancel(harness, "o-1", refund=True)
    assert await outcome(harness) == "nothing_paid"


async def test_a_cancellation_waits_for_a_processing_payment(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    await harness.flows.pool.execute("UPDATE payments SET status = 'processing'")
    await accept(harness, {"order_id": "o-1"})
    work = cancellations_of(harness)
    assert await work.run_once() == 1
    assert (await outcome(harness), await harness.flows.pool.fetchval("SELECT count(*) FROM operations")) == (None, 1)
    await harness.flows.pool.execute("UPDATE payments SET status = 'declined'")
    await process_batches(harness, work)
    assert await outcome(harness) == "canceled"


async def test_a_redelivered_cancellation_changes_nothing(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await cancel(harness, "o-1", refund=True)
    records = len(await harness.published(payment))
    for _ in range(3):
        await cancel(harness, "o-1", refund=True, reason="another one")
    assert (await outcome(harness), len(await harness.published(payment))) == ("refunded", records)
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM refunds") == 1


async def test_a_canceled_order_gets_no_new_payment_and_a_concurrent_one_is_canceled(
    harness: Harness,
) -> None:
    await harness.flows.accept("o-1", "o-2")
    await harness.flows.run_calls()
    for order in ("o-1", "o-2"):
        assert (await harness.post(f"/v1/payments/{name_of(order)}/cancel", {})).status == 201
    await harness.run_until_idle()
    await accept(harness, {"order_id": "o-1"})
    assert await cancellations_of(harness).run_once() == 1
    assert await outcome(harness) is None, "another request may be opening the next payment"
    refused = await harness.post("/v1/payments", {"order_id": "o-1"})
    assert (refused.status, "canceled" in refused.json["detail"]) == (409, True)
    opened = await harness.post("/v1/payments", {"order_id": "o-2"})
    assert opened.status == 201
    await cancel(harness, "o-2")
    assert [await outcome(harness, order) for order in ("o-1", "o-2")] == ["canceled", "canceled"]
    assert await status(harness, opened.json["id"]) == "canceled"


async def test_many_replicas_refund_a_canceled_order_once(harness: Harness) -> None:
    orders = [f"o-{n}" for n in range(5)]
    payments = [await harness.pay(order) for order in orders]
    await accept(harness, *({"order_id": order} for order in orders))
    await process_batches(harness, *(cancellations_of(harness, refund=True) for _ in range(4)))
    assert {await status(harness, payment) for payment in payments} == {"refunded"}
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM operations WHERE kind = 'refund'") == len(orders)


async def test_bad_cancellations_are_quarantined_and_block_no_other(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    bad = [b"", b"\xff", b"{", b"[]", {"order_id": ""}, {"order_id": 7}, {"reason": "none"}]
    bad += [b'{"order_id":"o-1","order_id":"o-2"}', {"order_id": "o-9", "reason": "card 4242424242424242"}]
    good = [{"order_id": "o-1", "reason": 5}, {"order_id": "o-2", "reason": "x" * 999}, {"order_id": "o-3", "more": []}]
    records = [cancelled(value, at) for at, value in enumerate((*bad, *good))]
    for _ in range(2):
        await OrderCancellationIntake(harness.context()).accept(records)
    rows = await harness.flows.pool.fetch(
        "SELECT reason, record_topic, record_value FROM quarantine ORDER BY record_offset"
    )
    assert [row["reason"] for row in rows] == [
        "empty",
        "not_utf8",
        "not_json",
        "not_an_object",
        "bad_order_id",
        "bad_order_id",
        "bad_order_id",
        "duplicate_field",
        "card_number",
    ]
    assert {row["record_topic"] for row in rows} == {"orders.cancelled"}
    assert b"4242424242424242" not in rows[-1]["record_value"]
    letters = await harness.flows.pool.fetch("SELECT type FROM outbox WHERE aggregatetype = 'dead_letter'")
    assert [row["type"] for row in letters] == ["orders.cancelled.dlq"] * len(bad)
    stored = await harness.flows.pool.fetch("SELECT order_id, reason FROM order_cancellations ORDER BY order_id")
    assert [tuple(row) for row in stored] == [("o-1", ""), ("o-2", ""), ("o-3", "")]


async def test_a_cancellation_the_database_rejects_blocks_no_other_record(harness: Harness) -> None:
    await harness.flows.pool.execute("ALTER TABLE order_cancellations ADD CONSTRAINT no_o_2 CHECK (order_id <> 'o-2')")
    await accept(harness, {"order_id": "o-1"}, {"order_id": "o-2"}, {"order_id": "o-3"})
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM order_cancellations") == 2
    assert await harness.flows.pool.fetchval("SELECT reason FROM quarantine") == "not_storable"


async def test_an_order_the_database_rejects_blocks_no_other_cancellation(harness: Harness) -> None:
    await harness.flows.accept("o-1", "o-2", "o-3")
    await harness.flows.run_calls()
    tripped = f"CHECK (kind <> 'cancel' OR payment_id <> '{name_of('o-2')}')"
    await harness.flows.pool.execute(f"ALTER TABLE operations ADD CONSTRAINT none_for_o_2 {tripped}")
    await accept(harness, *({"order_id": order} for order in ("o-1", "o-2", "o-3")))
    assert await cancellations_of(harness).run_once() == 3
    await harness.run_until_idle()
    shown = [await status(harness, name_of(order)) for order in ("o-1", "o-2", "o-3")]
    assert shown == ["canceled", "pending", "canceled"]


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("refund", [False, True])
async def test_canceling_while_the_customer_pays_ends_in_exactly_one_outcome(harness: Harness, refund: bool) -> None:
    """Repeat until both have won at least once.

    The outcome, the provider's ledger, the payment and its records agree.
    """
    seen: Counter[str | None] = Counter()
    for attempt in range(12):
        orders = [f"o-{attempt}-{n}" for n in range(20)]
        await harness.flows.accept(*orders)
        await harness.flows.run_calls()
        intents = [(await harness.flows.payment(order))["provider_payment_id"] for order in orders]
        await accept(harness, *({"order_id": order} for order in orders))
        work = cancellations_of(harness, refund=refund)
        await asyncio.gather(asyncio.to_thread(_pay_all, harness.sandbox, intents), work.run_once())
        await process_batches(harness, work)
        for order, intent in zip(orders, intents, strict=True):
            seen[await _winner(harness, order, intent)] += 1
        if len(seen) == 2:
            break
    assert seen.keys() == {"canceled", "refunded" if refund else "too_late"}


def _pay_all(sandbox: SandboxProcess, intents: list[str]) -> None:
    client: Any = sandbox.client()
    for intent in intents:
        with contextlib.suppress(InvalidRequestError):  # it was canceled before
            client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})


async def _winner(harness: Harness, order: str, intent: str) -> str | None:
    became = await outcome(harness, order)
    effects = [entry["effect"] for entry in harness.sandbox.ledger() if entry["payment_intent"] == intent]
    records = await published_topics(harness, name_of(order))
    if became == "canceled":
        assert "charge.captured" not in effects
        assert (await status(harness, name_of(order)), records) == ("canceled", ["initiated", "canceled", "failed"])
    else:
        assert "intent.canceled" not in effects
        assert records[:2] == ["initiated", "succeeded"]
        assert (became == "refunded") == ("refund.created" in effects)
    return became
