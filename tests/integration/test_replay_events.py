"""Test the replay of stored events: a replay of the whole history changes nothing, and a parked event can be applied later."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from payment_service.db.audit import Actor
from payment_service.flows.operators.replay_events import GROUP_EVENTS, EventReplay, EventSelection, ReplayEvents
from payment_service.flows.requests.idempotency import ChangeRequest
from tests.support.flows import name_of
from tests.support.harness import Harness

EVERYTHING = EventSelection(since=datetime(2020, 1, 1, tzinfo=UTC))
TABLES = ("payments", "refunds", "disputes", "payment_history", "outbox", "operations", "payment_events")


async def replay(
    harness: Harness, selection: EventSelection = EVERYTHING, *, key: str = "", dry_run: bool = False
) -> EventReplay:
    """Replay events as an operator does."""
    request = ChangeRequest(
        actor=Actor(client="cli", person="suite"),
        key=key or str(uuid4()),
        action="webhooks.replay",
        payment_id=None,
        parameters={},
    )
    return await ReplayEvents(harness.context()).replay(selection, request, dry_run=dry_run)


async def rows(harness: Harness) -> dict[str, list[dict[str, Any]]]:
    """Return every row of the tables that a replay could change."""
    return {
        name: [dict(row) for row in await harness.flows.pool.fetch(f"SELECT * FROM {name} t ORDER BY t::text")]  # noqa: S608
        for name in TABLES
    }


async def make_history(harness: Harness) -> None:
    """Pay, decline, capture, cancel, refund and dispute payments, until nothing is left to do."""
    client: Any = harness.sandbox.client()
    paid = await harness.pay("o-paid")
    await harness.refund(paid, "5.00")
    await harness.run_until_idle()
    await harness.refund(paid, "6.00")
    intent = (await harness.flows.payment("o-paid"))["provider_payment_id"]
    client.v1.refunds.create({"payment_intent": intent, "amount": 100})
    await harness.pay("o-disputed", "pm_card_createDispute")
    await harness.flows.accept("o-declined")
    await harness.flows.run_calls()
    declined = (await harness.flows.payment("o-declined"))["provider_payment_id"]
    for _ in range(2):
        with pytest.raises(Exception, match="declined"):
            client.v1.payment_intents.confirm(declined, {"payment_method": "pm_card_chargeDeclined"})
    client.v1.payment_intents.confirm(declined, {"payment_method": "pm_card_visa"})
    await harness.flows.accept("o-captured", "o-canceled", capture_method="manual")
    await harness.flows.run_calls()
    for order_id in ("o-captured", "o-canceled"):
        held = (await harness.flows.payment(order_id))["provider_payment_id"]
        client.v1.payment_intents.confirm(held, {"payment_method": "pm_card_visa"})
    await harness.run_until_idle()
    await harness.post(f"/v1/payments/{name_of('o-captured')}/capture", {"amount": "9.00"})
    await harness.post(f"/v1/payments/{name_of('o-canceled')}/cancel", {})
    await harness.run_until_idle()
    await harness.refund(name_of("o-captured"))
    await harness.run_until_idle()


@pytest.mark.invariant("I9")
async def test_replay_of_the_whole_history_changes_nothing(harness: Harness) -> None:
    await make_history(harness)
    before = await rows(harness)
    done = await replay(harness)
    assert await rows(harness) == before
    assert (done.events, done.changes, done.failed) == (len(before["payment_events"]), 0, 0)
    assert done.unresolved == 0


async def test_parked_event_is_applied_by_a_replay_once_its_cause_is_gone(harness: Harness) -> None:
    """A dry run names the event and changes nothing."""
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    intent = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    await harness.flows.pool.execute("UPDATE payments SET amount = 1")
    await harness.deliver()
    assert (await harness.flows.payment("o-1"))["status"] == "pending"
    await harness.flows.pool.execute("UPDATE payments SET amount = 1990")
    before = await rows(harness)
    shown = await replay(harness, dry_run=True)
    assert await rows(harness) == before
    done = await replay(harness)
    assert (shown.changes, shown.changed) == (done.changes, done.changed)
    assert "payment_intent.succeeded" in {event["type"] for event in done.changed}
    assert (await harness.flows.payment("o-1"))["status"] == "succeeded"
    assert not await harness.flows.pool.fetchval("SELECT count(*) FROM payment_events WHERE parked_reason IS NOT NULL")
    assert (await replay(harness)).changes == 0


async def test_ignored_event_is_applied_by_its_id_if_its_intent_is_ours_now(harness: Harness) -> None:
    """The metadata was removed, so the event was external while the intent was unknown."""
    payment = await harness.pay("o-1")
    pool = harness.flows.pool
    await pool.execute(
        "UPDATE payment_events SET payload = jsonb_set(payload, '{data,object,metadata}', '{}'), result = 'external',"
        " payment_id = NULL WHERE event_type = 'payment_intent.succeeded'"
    )
    await pool.execute(
        "UPDATE payments SET status = 'pending', captured = 0, fact_rank = 0, fact_at = 0, paid_at = NULL"
    )
    name = await pool.fetchval("SELECT provider_event_id FROM payment_events WHERE result = 'external'")
    done = await replay(harness, EventSelection(ids=[name, "evt_unknown"]))
    assert (done.events, done.changes) == (1, 1)
    assert (await harness.get(f"/v1/payments/{payment}")).json["status"] == "succeeded"
    row = await pool.fetchrow("SELECT * FROM payment_events WHERE provider_event_id = $1", name)
    assert row is not None
    assert (row["result"], row["payment_id"]) == ("applied", payment)


async def test_groups_are_audited_and_a_repeated_key_does_nothing(harness: Harness) -> None:
    await harness.pay("o-1")
    pool = harness.flows.pool
    row = await pool.fetchrow("SELECT * FROM payment_events WHERE event_type = 'payment_intent.succeeded'")
    assert row is not None
    for number in range(GROUP_EVENTS):
        event = json.loads(row["payload"])
        event["id"] = f"evt_copy_{number}"
        await pool.execute(
            "INSERT INTO payment_events (event_type, provider, provider_event_id, payload, processed, verified_by, verified_at,"
            " occurred_at, result) VALUES ($1, 'stripe', $2, $3, true, 'suite', now(), $4, 'known')",
            row["event_type"],
            event["id"],
            json.dumps(event),
            row["occurred_at"],
        )
    done = await replay(harness, key="again")
    audited = await pool.fetch("SELECT client, action FROM audit WHERE action = 'webhooks.replay'")
    assert done.events > GROUP_EVENTS
    assert [(entry["client"], entry["action"]) for entry in audited] == [("cli:suite", "webhooks.replay")] * 2
    assert (await replay(harness, key="again")).events == done.events
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'webhooks.replay'") == 2


async def test_event_whose_replay_fails_does_not_stop_the_others(harness: Harness) -> None:
    await harness.pay("o-1")
    await harness.pay("o-2")
    await harness.flows.pool.execute("UPDATE payments SET payment_method_type = NULL")
    await harness.flows.pool.execute("ALTER TABLE payments ADD CONSTRAINT refuse CHECK (order_id <> 'o-1') NOT VALID")
    done = await replay(harness)
    assert (done.changes, done.failed) == (1, 1)
    assert (await harness.flows.payment("o-2"))["payment_method_type"] == "card"
