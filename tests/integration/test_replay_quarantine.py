"""Test replaying quarantined records: intake accepts each once and marks it in the same transaction."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from payment_service.db import quarantine
from payment_service.db.audit import Actor
from payment_service.db.quarantine import Quarantined
from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.intake.orders import OrderIntake
from payment_service.flows.operators.replay_quarantine import Replays
from payment_service.flows.requests.idempotency import ChangeRequest
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.webhooks.apply import Webhooks
from tests.support.flows import inbound_record, name_of, order
from tests.support.harness import Harness

OLD = timedelta(days=8)


async def replay(harness: Harness, name: UUID, key: str = "", **settings: Any) -> dict[str, Any]:
    """Replay a record as an operator does."""
    context = harness.context()
    replays = Replays(
        context,
        intake=OrderIntake(context, **{"order_max_age": timedelta(days=7), **settings}),
        cancelled=OrderCancellationIntake(context),
        webhooks=Webhooks(context),
        amount_minor_max=settings.get("amount_minor_max", 999_999_999_999),
    )
    actor = Actor(client="cli", person="suite")
    change_request = ChangeRequest(
        actor=actor, key=key or str(uuid4()), action="attention.retry", payment_id=None, parameters={"id": str(name)}
    )
    return dict((await replays.replay(name, change_request)).result)


async def at(harness: Harness, offset: int) -> UUID:
    """Return the id of the quarantined record at an offset."""
    found: UUID = await harness.flows.pool.fetchval("SELECT id FROM quarantine WHERE record_offset = $1", offset)
    return found


async def count(harness: Harness, table: str) -> int:
    return int(await harness.flows.pool.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a name of this file's


async def test_an_order_that_was_too_old_is_accepted_on_replay(harness: Harness) -> None:
    await harness.flows.intake.accept([inbound_record(order("o-1"), 7, age=OLD)])
    with pytest.raises(Refusal, match=r"rejected again \(too_old\)"):
        await replay(harness, await at(harness, 7))
    assert await count(harness, "payments") == 0
    done = await replay(harness, await at(harness, 7), order_max_age=timedelta.max)
    assert (done["done"], done["payment_id"]) == ("accepted", str(name_of("o-1")))
    await harness.flows.run_calls()
    payment = await harness.flows.payment("o-1")
    assert (payment["status"], payment["order_partition"], payment["order_offset"]) == ("pending", 0, 7)
    [row] = await harness.flows.pool.fetch("SELECT action, detail ->> 'id' FROM audit")
    assert tuple(row) == ("attention.retry", str(await at(harness, 7)))


async def test_a_replayed_record_is_marked_and_not_accepted_twice(harness: Harness) -> None:
    await harness.flows.intake.accept([inbound_record(order("o-1"), 7, age=OLD)])
    name = await at(harness, 7)
    answers = await asyncio.gather(
        *(replay(harness, name, order_max_age=timedelta.max) for _ in range(10)), return_exceptions=True
    )
    done = [answer["done"] for answer in answers if isinstance(answer, dict)]
    assert done.count("accepted") == 1
    assert set(done) <= {"accepted", "accepted_before"}
    assert await count(harness, "payments") == await count(harness, "operations") == 1
    assert await harness.flows.pool.fetchval("SELECT replayed_at IS NOT NULL FROM quarantine")


async def test_the_same_key_gets_the_same_response(harness: Harness) -> None:
    await harness.flows.intake.accept([inbound_record(order("o-1"), 7, age=OLD)])
    first = await replay(harness, await at(harness, 7), "case-17", order_max_age=timedelta.max)
    assert await replay(harness, await at(harness, 7), "case-17", order_max_age=timedelta.max) == first


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff", "not_utf8"),
        (b"{", "not_json"),
        (order("o-1", total="1,00"), "bad_amount"),
        (order("o-1", currency="zzz"), "bad_currency"),
        (None, "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_record_refused_again_stays_with_its_reason(harness: Harness, value: bytes | None, reason: str) -> None:
    await harness.flows.intake.accept([inbound_record(value, 7)])
    notices = await count(harness, "outbox")
    with pytest.raises(Refusal, match=rf"rejected again \({reason}\)"):
        await replay(harness, await at(harness, 7))
    assert await harness.flows.pool.fetchval("SELECT replayed_at IS NULL FROM quarantine")
    assert (await count(harness, "outbox"), await count(harness, "audit")) == (notices, 0), "it is not published again"


async def test_an_order_that_has_a_payment_by_now_is_only_marked(harness: Harness) -> None:
    """It was resent meanwhile. An order with another amount is still refused."""
    await harness.flows.intake.accept(
        [inbound_record(order("o-1"), 7, age=OLD), inbound_record(order("o-1", "5.00"), 8, age=OLD)]
    )
    payment = await harness.pay("o-1")
    assert (await replay(harness, await at(harness, 7)))["done"] == "accepted"
    with pytest.raises(Refusal, match="order_changed"):
        await replay(harness, await at(harness, 8))
    assert await count(harness, "payments") == 1
    assert (await harness.get(f"/v1/payments/{payment}")).json["status"] == "succeeded"


async def test_a_masked_or_truncated_record_is_not_replayed(harness: Harness) -> None:
    """A masked number may have been the order's id or its amount."""
    card = b'{"order_id": "4242424242424242", "total": "19.90", "currency": "eur", "note": "4242424242424242"}'
    await harness.flows.intake.accept([inbound_record(card, 7), inbound_record(b'{"a": "' + b"x" * 600_000 + b'"}', 8)])
    with pytest.raises(Refusal, match="card numbers were masked"):
        await replay(harness, await at(harness, 7))
    with pytest.raises(Refusal, match="too large to store"):
        await replay(harness, await at(harness, 8))
    with pytest.raises(Refusal) as unknown:
        await replay(harness, uuid4())
    assert unknown.value.reason is RefusalReason.NOT_FOUND


async def quarantine_webhook(harness: Harness, body: bytes, provider: str = "stripe") -> UUID:
    """Quarantine a webhook that could not be read or stored."""
    name = uuid4()
    quarantined = Quarantined(
        id=name,
        source="webhook",
        topic=provider,
        partition=None,
        offset=None,
        reason="not_storable",
        detail="",
        key=None,
        value=body,
        headers=(),
        recorded_at=None,
    )
    await quarantine.insert(harness.flows.pool, [quarantined])
    return name


@pytest.mark.invariant("I9")
async def test_a_replayed_webhook_is_applied_once(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    intent = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    [event] = [event for event in harness.events() if event["type"] == "payment_intent.succeeded"]
    name = await quarantine_webhook(harness, json.dumps(event).encode())
    assert (await replay(harness, name))["payment_id"] == str(name_of("o-1"))
    assert (await harness.flows.payment("o-1"))["status"] == "succeeded"
    await harness.run_until_idle()
    assert [topic for topic, _ in await harness.published(name_of("o-1"))] == ["initiated", "succeeded"]
    again = await quarantine_webhook(harness, json.dumps(event).encode())
    await replay(harness, again)
    assert [topic for topic, _ in await harness.published(name_of("o-1"))] == ["initiated", "succeeded"]


async def test_an_unreadable_webhook_is_refused_again_with_its_reason(harness: Harness) -> None:
    with pytest.raises(Refusal, match=r"rejected again \(not_an_event\)"):
        await replay(harness, await quarantine_webhook(harness, b"{}"))
    with pytest.raises(Refusal, match=r"rejected again \(not_json\)"):
        await replay(harness, await quarantine_webhook(harness, b"\xff"))


async def test_a_webhook_is_replayed_only_by_the_provider_that_sent_it(harness: Harness) -> None:
    """Stripe must not read another provider's event as its own."""
    event = {"id": "evt_1", "object": "event", "type": "ping", "livemode": False, "created": 1_767_225_600}
    body = json.dumps({**event, "data": {"object": {}}}).encode()
    with pytest.raises(Refusal, match="is not configured"):
        await replay(harness, await quarantine_webhook(harness, body, provider="acme"))
    await replay(harness, await quarantine_webhook(harness, body))
    assert await count(harness, "payment_events") == 1


async def test_an_order_cancellation_can_be_replayed(harness: Harness) -> None:
    quarantined = Quarantined(
        id=(name := uuid4()),
        source="kafka",
        topic="orders.cancelled",
        partition=0,
        offset=3,
        reason="not_storable",
        detail="",
        key=None,
        value=b'{"order_id": "o-9"}',
        headers=(),
        recorded_at=None,
    )
    await quarantine.insert(harness.flows.pool, [quarantined])
    assert (await replay(harness, name))["done"] == "accepted"
    assert await harness.flows.pool.fetchval("SELECT order_id FROM order_cancellations") == "o-9"
