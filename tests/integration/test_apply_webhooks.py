"""Test webhooks on a real database: batches of events, repeated, reordered, early, external and unexpected."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from payment_service.flows.state.errors import Unavailable
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.port import ProviderEvent
from payment_service.provider.stripe.api_versions import API_VERSION
from payment_service.provider.stripe.webhooks import translate
from tests.support.eventually import eventually_async
from tests.support.flows import Flows, name_of

_numbers = itertools.count(1)


@pytest.fixture
async def webhooks(flows: Flows) -> AsyncIterator[Webhooks]:
    made = inbox(flows)
    made.start()
    yield made
    await made.stop()


def read(event: dict[str, Any]) -> ProviderEvent:
    return translate(event, deployment="default", livemode=False)


def inbox(flows: Flows) -> Webhooks:
    return Webhooks(flows.context())


def event(order_id: str, status: str = "succeeded", *, kind: str = "", at: int = 0, **intent: Any) -> ProviderEvent:
    """Build an event of an order's intent, with a new id for each call."""
    number = next(_numbers)
    paid = 1990 if status == "succeeded" else 0
    snapshot = {
        "id": f"pi_{order_id}",
        "object": "payment_intent",
        "amount": 1990,
        "amount_received": paid,
        "currency": "eur",
        "status": status,
        "payment_method_types": ["card"],
        "last_payment_error": None,
        "client_secret": f"pi_{order_id}_secret_x",
        "metadata": {"deployment": "default", "order_id": order_id, "payment_id": str(name_of(order_id))},
        **intent,
    }
    return read(
        {
            "id": f"evt_{number}",
            "object": "event",
            "created": at or int(time.time()),
            "type": kind or f"payment_intent.{status}",
            "livemode": False,
            "data": {"object": snapshot},
        }
    )


async def state(flows: Flows, order_id: str) -> tuple[str, int]:
    row = await flows.payment(order_id)
    return row["status"], row["sequence"]


async def test_an_event_is_stored_applied_and_published_in_one_transaction(flows: Flows, webhooks: Webhooks) -> None:
    await flows.accept("o-1")
    await webhooks.take(event("o-1"), "secret-1")
    assert await state(flows, "o-1") == ("succeeded", 2)
    row = await flows.pool.fetchrow("SELECT * FROM payment_events")
    assert row is not None
    assert (row["processed"], row["result"], row["verified_by"]) == (True, "applied", "secret-1")
    assert "client_secret" not in row["payload"]
    topics = await flows.pool.fetch("SELECT type FROM outbox ORDER BY position")
    assert [r["type"] for r in topics] == ["payments.initiated", "payments.succeeded"]


@pytest.mark.invariant("I12")
async def test_a_stored_event_has_no_secret_in_an_address_and_no_card_number(flows: Flows, webhooks: Webhooks) -> None:
    """Stripe puts the client secret into the address of a redirect. A shop may write anything into a description."""
    await flows.accept("o-1")
    action = {"redirect_to_url": {"url": "https://pay.example/3ds?client=pi_o-1_secret_Canary1"}}
    await webhooks.take(
        event("o-1", "requires_action", next_action=action, description="card 4242 4242 4242 4242"), "secret-1"
    )
    payload = await flows.pool.fetchval("SELECT payload FROM payment_events")
    assert "pay.example" in payload
    assert "Canary1" not in payload
    assert "4242 4242 4242" not in payload


@pytest.mark.invariant("I9")
async def test_a_hundred_concurrent_deliveries_of_one_event_have_one_effect(flows: Flows, webhooks: Webhooks) -> None:
    await flows.accept("o-1")
    other = inbox(flows)
    other.start()
    one = event("o-1")
    await asyncio.gather(*((webhooks if i % 2 else other).take(one, "secret-1") for i in range(100)))
    await other.stop()

    async def applied() -> bool:
        return await state(flows, "o-1") == ("succeeded", 2)

    await eventually_async(applied)
    assert await flows.pool.fetchval("SELECT count(*) FROM payment_events") == 1
    assert await flows.pool.fetchval("SELECT count(*) FROM outbox") == 2


@pytest.mark.invariant("I10")
async def test_batches_of_the_same_payments_in_opposite_orders_do_not_deadlock(
    flows: Flows, webhooks: Webhooks
) -> None:
    orders = [f"o-{i}" for i in range(60)]
    await flows.accept(*orders)
    other = inbox(flows)
    other.start()
    now = int(time.time())
    for round_ in range(20):
        events = [event(o, "requires_action" if round_ % 2 else "processing", at=now + round_) for o in orders]
        await asyncio.gather(
            *(webhooks.take(e, "secret-1") for e in events), *(other.take(e, "secret-1") for e in reversed(events))
        )
    await other.stop()

    async def all_applied() -> bool:
        return bool(await flows.pool.fetchval("SELECT count(*) FROM payment_events WHERE NOT processed") == 0)

    await eventually_async(all_applied)
    assert await flows.pool.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
    assert await flows.pool.fetchval("SELECT count(*) FROM payments WHERE status = 'requires_action'") == 60


async def test_a_late_decline_after_success_is_ignored(flows: Flows, webhooks: Webhooks) -> None:
    await flows.accept("o-1")
    await webhooks.take(event("o-1"), "secret-1")
    error = {"code": "card_declined", "decline_code": "generic_decline", "charge": "ch_1"}
    late = event("o-1", "requires_payment_method", kind="payment_intent.payment_failed", last_payment_error=error)
    await webhooks.take(late, "secret-1")
    assert await state(flows, "o-1") == ("succeeded", 2)


@pytest.mark.invariant("I3")
async def test_an_event_before_its_order_is_applied_when_the_order_arrives(flows: Flows, webhooks: Webhooks) -> None:
    await webhooks.take(event("early"), "secret-1")
    assert await flows.pool.fetchval("SELECT result FROM payment_events") == "unmatched"
    await flows.accept("early")

    async def applied() -> bool:
        return await state(flows, "early") == ("succeeded", 2)

    await eventually_async(applied)


async def test_an_event_without_a_payment_is_parked_after_three_days(flows: Flows) -> None:
    webhooks = inbox(flows)
    webhooks._storing[0].start()
    await webhooks.take(event("never"), "secret-1")
    await flows.pool.execute("UPDATE payment_events SET retry_at = now()")
    flows.clock.ahead = timedelta(hours=73)
    await webhooks.replay_once()
    await webhooks.stop()
    row = await flows.pool.fetchrow("SELECT processed, parked_reason, retry_at FROM payment_events")
    assert row is not None
    assert tuple(row) == (False, "unmatched", None)


@pytest.mark.invariant("I7")
@pytest.mark.parametrize(
    ("changes", "kind", "result"),
    [
        pytest.param({"amount": 1991, "amount_received": 1991}, "", "unexpected_money", id="another amount"),
        pytest.param({"currency": "usd"}, "", "unexpected_money", id="another currency"),
    ],
)
async def test_a_contradictory_event_is_stored_and_parked(
    flows: Flows, webhooks: Webhooks, changes: dict[str, Any], kind: str, result: str
) -> None:
    await flows.accept("o-1")
    await webhooks.take(event("o-1", kind=kind, **changes), "secret-1")
    row = await flows.pool.fetchrow("SELECT processed, parked_reason FROM payment_events")
    assert row is not None
    assert tuple(row) == (False, result)
    assert await state(flows, "o-1") == ("created", 0)


@pytest.mark.invariant("I17")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"amount": "1990"}, id="an amount that is no integer"),
        pytest.param({"status": "unheard_of"}, id="an unknown status"),
    ],
)
async def test_an_event_that_cannot_be_read_is_replaced_by_a_read(
    flows: Flows, webhooks: Webhooks, changes: dict[str, Any]
) -> None:
    await flows.accept("o-1")
    await webhooks.take(event("o-1", kind="payment_intent.succeeded", **changes), "secret-1")
    row = await flows.pool.fetchrow("SELECT processed, result, parked_reason FROM payment_events")
    assert row is not None
    assert tuple(row) == (True, "read_again", None)
    reads = await flows.pool.fetch("SELECT request_path, api_version FROM operations WHERE kind = 'retrieve'")
    assert [(urlsplit(path).path, version) for path, version in reads] == [("/v1/payment_intents/pi_o-1", API_VERSION)]
    assert await state(flows, "o-1") == ("created", 0)


async def test_a_second_intent_is_canceled_if_unpaid_and_parked_if_paid(flows: Flows, webhooks: Webhooks) -> None:
    await flows.accept("o-1")
    await webhooks.take(event("o-1", "requires_payment_method", kind="payment_intent.created"), "secret-1")
    stray = event("o-1", "requires_payment_method", kind="payment_intent.created", id="pi_stray")
    await webhooks.take(stray, "secret-1")
    await webhooks.take(
        event("o-1", "requires_payment_method", kind="payment_intent.created", id="pi_stray"), "secret-1"
    )
    cancels = await flows.pool.fetch("SELECT request_path FROM operations WHERE kind = 'cancel'")
    assert [row["request_path"] for row in cancels] == ["/v1/payment_intents/pi_stray/cancel"]
    await webhooks.take(event("o-1", id="pi_stray"), "secret-1")
    assert (
        await flows.pool.fetchval("SELECT count(*) FROM payment_events WHERE parked_reason = 'unexpected_money'") == 1
    )
    payment = await flows.payment("o-1")
    assert (payment["status"], payment["provider_payment_id"]) == ("pending", "pi_o-1")


@pytest.mark.parametrize(
    ("kind", "changes", "processed", "result"),
    [
        pytest.param("payment_intent.succeeded", {"metadata": {}}, True, "external", id="external intent"),
        pytest.param("customer.created", {}, True, "ignored", id="an unused event type"),
        pytest.param("refund.created", {}, True, "external", id="a refund without an intent"),
    ],
)
async def test_an_event_without_effect_is_stored_and_acknowledged(
    flows: Flows, webhooks: Webhooks, kind: str, changes: dict[str, Any], processed: bool, result: str
) -> None:
    await flows.accept("o-1")
    await webhooks.take(event("o-1", kind=kind, **changes), "secret-1")
    row = await flows.pool.fetchrow("SELECT processed, result, retry_at FROM payment_events")
    assert row is not None
    assert tuple(row) == (processed, result, None)


@pytest.mark.invariant("I10")
async def test_a_locked_payment_delays_no_other_and_applies_its_event_later(flows: Flows, webhooks: Webhooks) -> None:
    orders = [f"o-{i}" for i in range(20)]
    await flows.accept(*orders)
    async with flows.pool.acquire() as connection:
        await connection.execute("SET idle_in_transaction_session_timeout = 0")
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT 1 FROM payments WHERE id = $1 FOR UPDATE", name_of("o-7"))
        await asyncio.gather(*(webhooks.take(event(o), "secret-1") for o in orders))
        assert await flows.pool.fetchval("SELECT count(*) FROM payments WHERE status = 'succeeded'") == 19
        await transaction.rollback()

    async def applied() -> bool:
        return await state(flows, "o-7") == ("succeeded", 2)

    await eventually_async(applied)


async def test_an_event_the_database_rejects_is_stored_and_blocks_no_other(flows: Flows, webhooks: Webhooks) -> None:
    await flows.accept("o-1", "o-2")
    await flows.pool.execute(
        f"ALTER TABLE payment_events ADD CONSTRAINT cursed CHECK (payment_id <> '{name_of('o-2')}')"
    )
    await asyncio.gather(webhooks.take(event("o-1"), "secret-1"), webhooks.take(event("o-2"), "secret-1"))
    assert await state(flows, "o-1") == ("succeeded", 2)
    assert await flows.pool.fetchval("SELECT reason FROM quarantine WHERE source = 'webhook'") == "not_storable"


@pytest.mark.invariant("I8")
async def test_no_event_is_acknowledged_while_the_database_is_down(flows: Flows, webhooks: Webhooks) -> None:
    await flows.accept("o-1")
    await flows.pool.execute("ALTER TABLE payment_events RENAME TO elsewhere")
    flows.pool.terminate()
    with pytest.raises(Unavailable):
        await webhooks.take(event("o-1"), "secret-1")
