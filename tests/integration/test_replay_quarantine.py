"""What was set aside is decided again by the code that decides what comes in: accepted once, and marked in the same transaction."""

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
from payment_service.domain.ids import quarantine_id
from payment_service.flows.accept_cancelled import CancelledIntake
from payment_service.flows.accept_orders import Intake
from payment_service.flows.apply_webhooks import Webhooks
from payment_service.flows.change import Asking
from payment_service.flows.errors import Refusal, Why
from payment_service.flows.replay_quarantine import Replays
from tests.support.flows import arrival, name_of, order
from tests.support.till import Till

OLD = timedelta(days=8)


async def replay(till: Till, name: UUID, key: str = "", **settings: Any) -> dict[str, Any]:
    """Decide a row again, as an operator does."""
    here = till.surroundings()
    replays = Replays(
        here,
        intake=Intake(here, **{"order_max_age": timedelta(days=7), **settings}),
        cancelled=CancelledIntake(here),
        webhooks=Webhooks(here),
        amount_minor_max=settings.get("amount_minor_max", 999_999_999_999),
    )
    actor = Actor(client="cli", person="suite")
    asking = Asking(
        actor=actor, key=key or str(uuid4()), action="quarantine.replay", payment_id=None, asked={"id": str(name)}
    )
    done: dict[str, Any] = json.loads((await replays.replay(name, asking)).body)
    return done


def at(offset: int) -> UUID:
    return quarantine_id("orders.created", 0, offset)


async def count(till: Till, table: str) -> int:
    return int(await till.flows.pool.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a name of this file's


async def test_an_order_that_was_too_old_is_taken_when_a_person_wants_it(till: Till) -> None:
    await till.flows.intake.accept([arrival(order("o-1"), 7, age=OLD)])
    with pytest.raises(Refusal, match=r"refused again \(too_old\)"):
        await replay(till, at(7))
    assert await count(till, "payments") == 0
    done = await replay(till, at(7), order_max_age=timedelta.max)
    assert (done["done"], done["payment_id"]) == ("accepted", str(name_of("o-1")))
    await till.flows.settle_all()
    payment = await till.flows.payment("o-1")
    assert (payment["status"], payment["order_partition"], payment["order_offset"]) == ("pending", 0, 7)
    [row] = await till.flows.pool.fetch("SELECT action, detail ->> 'id' FROM audit")
    assert tuple(row) == ("quarantine.replay", str(at(7)))


async def test_what_was_accepted_is_marked_and_is_not_accepted_twice(till: Till) -> None:
    await till.flows.intake.accept([arrival(order("o-1"), 7, age=OLD)])
    answers = await asyncio.gather(
        *(replay(till, at(7), order_max_age=timedelta.max) for _ in range(10)), return_exceptions=True
    )
    done = [answer["done"] for answer in answers if isinstance(answer, dict)]
    assert done.count("accepted") == 1
    assert set(done) <= {"accepted", "accepted_before"}
    assert await count(till, "payments") == await count(till, "operations") == 1
    assert await till.flows.pool.fetchval("SELECT replayed_at IS NOT NULL FROM quarantine")


async def test_the_same_key_has_the_same_answer(till: Till) -> None:
    await till.flows.intake.accept([arrival(order("o-1"), 7, age=OLD)])
    first = await replay(till, at(7), "case-17", order_max_age=timedelta.max)
    assert await replay(till, at(7), "case-17", order_max_age=timedelta.max) == first


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
async def test_what_can_still_not_be_accepted_says_why_and_stays(till: Till, value: bytes | None, reason: str) -> None:
    await till.flows.intake.accept([arrival(value, 7)])
    notices = await count(till, "outbox")
    with pytest.raises(Refusal, match=rf"refused again \({reason}\)"):
        await replay(till, at(7))
    assert await till.flows.pool.fetchval("SELECT replayed_at IS NULL FROM quarantine")
    assert (await count(till, "outbox"), await count(till, "audit")) == (notices, 0), "it is not announced again"


async def test_an_order_that_has_a_payment_by_now_changes_nothing_and_is_marked(till: Till) -> None:
    """It was sent again meanwhile; one with another amount is refused as ever."""
    await till.flows.intake.accept([arrival(order("o-1"), 7, age=OLD), arrival(order("o-1", "5.00"), 8, age=OLD)])
    payment = await till.pay("o-1")
    assert (await replay(till, at(7)))["done"] == "accepted"
    with pytest.raises(Refusal, match="order_changed"):
        await replay(till, at(8))
    assert await count(till, "payments") == 1
    assert (await till.get(f"/v1/payments/{payment}")).json["status"] == "succeeded"


async def test_what_is_not_what_was_sent_is_not_decided(till: Till) -> None:
    """A number that was masked may have been an order's id, or its amount."""
    card = b'{"order_id": "4242424242424242", "total": "19.90", "currency": "eur", "note": "4242424242424242"}'
    await till.flows.intake.accept([arrival(card, 7), arrival(b'{"a": "' + b"x" * 600_000 + b'"}', 8)])
    with pytest.raises(Refusal, match="Card numbers were masked"):
        await replay(till, at(7))
    with pytest.raises(Refusal, match="too large to be kept"):
        await replay(till, at(8))
    with pytest.raises(Refusal) as unknown:
        await replay(till, uuid4())
    assert unknown.value.why is Why.NOT_FOUND


async def keep_webhook(till: Till, body: bytes, provider: str = "stripe") -> UUID:
    """A webhook as it is set aside when it can't be read or stored."""
    name = uuid4()
    kept = Quarantined(
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
    await quarantine.insert(till.flows.pool, [kept])
    return name


@pytest.mark.invariant("I9")
async def test_a_webhook_goes_the_way_of_webhooks_and_moves_its_payment_once(till: Till) -> None:
    await till.flows.accept("o-1")
    await till.flows.settle_all()
    intent = (await till.flows.payment("o-1"))["provider_payment_id"]
    client: Any = till.sandbox.client()
    client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    [event] = [event for event in till.events() if event["type"] == "payment_intent.succeeded"]
    name = await keep_webhook(till, json.dumps(event).encode())
    assert (await replay(till, name))["payment_id"] == str(name_of("o-1"))
    assert (await till.flows.payment("o-1"))["status"] == "succeeded"
    await till.settle()
    assert [topic for topic, _ in await till.announced(name_of("o-1"))] == ["initiated", "succeeded"]
    again = await keep_webhook(till, json.dumps(event).encode())
    await replay(till, again)
    assert [topic for topic, _ in await till.announced(name_of("o-1"))] == ["initiated", "succeeded"]


async def test_a_webhook_that_can_still_not_be_read_says_why(till: Till) -> None:
    with pytest.raises(Refusal, match=r"refused again \(not_an_event\)"):
        await replay(till, await keep_webhook(till, b"{}"))
    with pytest.raises(Refusal, match=r"refused again \(not_json\)"):
        await replay(till, await keep_webhook(till, b"\xff"))


async def test_a_webhook_is_read_by_the_provider_that_sent_it_and_by_no_other(till: Till) -> None:
    """Another's event under Stripe's eyes would be no event, or one of Stripe's."""
    event = {"id": "evt_1", "object": "event", "type": "ping", "livemode": False, "created": 1_767_225_600}
    body = json.dumps({**event, "data": {"object": {}}}).encode()
    with pytest.raises(Refusal, match="does not run here"):
        await replay(till, await keep_webhook(till, body, provider="acme"))
    await replay(till, await keep_webhook(till, body))
    assert await count(till, "payment_events") == 1


async def test_a_cancelled_order_is_taken_too(till: Till) -> None:
    kept = Quarantined(
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
    await quarantine.insert(till.flows.pool, [kept])
    assert (await replay(till, name))["done"] == "accepted"
    assert await till.flows.pool.fetchval("SELECT order_id FROM order_cancellations") == "o-9"
