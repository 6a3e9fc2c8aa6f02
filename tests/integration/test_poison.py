"""Test that neither a rejected payment, event or response nor a database failure blocks others for good."""

from __future__ import annotations

import asyncio
import json

import pytest

from payment_service.db import operations, workers
from payment_service.flows.state.errors import Unavailable
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.port import ProviderEvent
from tests.integration.test_apply_webhooks import event, inbox, read
from tests.support.flows import Flows

# Stands for any fact that a constraint of the database does not allow.
REJECT = "ALTER TABLE payments ADD CONSTRAINT trip CHECK (order_id <> 'o-2' OR provider_payment_id IS NULL)"


async def test_a_late_attempt_is_released_even_after_a_database_outage(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it stays claimed for as long as this process lives, and its payment gets no result."""
    ticks = iter([0.0])
    dispatcher = flows.dispatcher(boot_s=lambda: next(ticks, 1_000_000.0))
    dispatcher._claims._release_at_s = 1e12  # no look before the claim
    await operations.ensure_budget(flows.pool, "stripe")
    await workers.register(flows.pool, dispatcher.worker)
    await flows.accept("o-1")
    await flows.pool.execute("UPDATE provider_budget SET tokens = 10")

    async def away(*_: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(operations, "release_unsent", away)
    assert len(await dispatcher._claim(1, frozenset(), dispatcher._search)) == 1  # the response arrives after 5 s
    await asyncio.gather(*dispatcher._calls, return_exceptions=True)
    dispatcher._claims.look_for_forgotten()
    await dispatcher._claims.release_forgotten()
    assert (await flows.operation("o-1"))["state"] == "due"


async def test_a_delivery_that_cannot_even_be_quarantined_blocks_no_other(flows: Flows) -> None:
    """Without a response it would keep its slot until the process exits, and block later deliveries too."""
    await flows.accept("o-1", "o-2")
    bad, good = event("o-1"), event("o-2")
    await flows.pool.execute(
        f"ALTER TABLE payment_events ADD CONSTRAINT trip CHECK (provider_event_id <> '{bad.event_id}')"
    )
    await flows.pool.execute("ALTER TABLE quarantine ADD CONSTRAINT full_up CHECK (reason <> 'not_storable')")
    webhooks = inbox(flows)
    taking = [webhooks.take(e, "secret-1") for e in (bad, good)]
    await asyncio.sleep(0)
    await webhooks.store_once()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*taking, return_exceptions=True)
    assert isinstance(results[0], Unavailable)
    assert results[1] is None
    assert (await flows.payment("o-2"))["status"] == "succeeded"


async def test_a_stored_event_the_database_rejects_is_parked_and_blocks_no_other(flows: Flows) -> None:
    """Both events arrived before their payments."""
    webhooks = inbox(flows)
    bad, good = event("o-2"), event("o-3")
    for early in (bad, good):
        taking = webhooks.take(early, "secret-1")
        await asyncio.sleep(0)
        await webhooks.store_once()
        await taking
    await flows.accept("o-2", "o-3")
    await flows.pool.execute(REJECT)
    await flows.pool.execute("UPDATE payment_events SET retry_at = now() WHERE NOT processed")
    assert await webhooks.replay_once() == 1
    assert (await flows.payment("o-3"))["status"] == "succeeded"
    assert (await flows.payment("o-2"))["status"] == "created"
    row = await flows.pool.fetchrow("SELECT * FROM payment_events WHERE provider_event_id = $1", bad.event_id)
    assert row is not None
    assert (row["processed"], row["parked_reason"], row["retry_at"]) == (False, "not_applicable", None)


async def test_an_event_the_database_rejects_is_parked_with_its_payment(flows: Flows) -> None:
    """An event that names our payment is stored among its events, where an operator can apply it again."""
    await flows.accept("o-1", "o-2")
    await flows.pool.execute(REJECT)
    webhooks = inbox(flows)
    bad = event("o-2")
    for delivered in (event("o-1"), bad):
        taking = webhooks.take(delivered, "secret-1")
        await asyncio.sleep(0)
        await webhooks.store_once()
        await taking
    row = await flows.pool.fetchrow("SELECT * FROM payment_events WHERE provider_event_id = $1", bad.event_id)
    assert row is not None
    assert (row["processed"], row["parked_reason"]) == (False, "not_applicable")
    assert await flows.pool.fetchval("SELECT count(*) FROM quarantine") == 0
    assert (await flows.payment("o-2"))["provider_payment_id"] is None


async def test_an_event_whose_ids_look_like_card_numbers_is_applied_later(flows: Flows) -> None:
    """It arrived before its payment. The stored event was masked, so its intent seemed to be another one."""
    webhooks = inbox(flows)
    intent_id = "pi_3af2d4111111111111111ab12"
    early = event("o-2", id=intent_id)
    renamed = read({**json.loads(early.payload), "id": "evt_3af2d4111111111111111ab12"})
    for delivered in (renamed, event("o-3")):
        await store(webhooks, delivered)
    await flows.accept("o-2", "o-3")
    await flows.pool.execute("UPDATE payment_events SET retry_at = now() WHERE NOT processed")
    assert await webhooks.replay_once() == 2
    assert [(await flows.payment(order_id))["status"] for order_id in ("o-2", "o-3")] == ["succeeded"] * 2
    assert (await flows.payment("o-2"))["provider_payment_id"] == intent_id


async def test_a_stored_event_that_names_itself_wrongly_blocks_no_other(flows: Flows) -> None:
    """The row says which event it is."""
    webhooks = inbox(flows)
    bad, good = event("o-2"), event("o-3")
    for early in (bad, good):
        await store(webhooks, early)
    await flows.accept("o-2", "o-3")
    await flows.pool.execute(
        """UPDATE payment_events SET payload = payload || '{"id": "evt_another", "created": 5}' WHERE provider_event_id = $1""",
        bad.event_id,
    )
    await flows.pool.execute("UPDATE payment_events SET retry_at = now() WHERE NOT processed")
    assert await webhooks.replay_once() == 2
    assert await flows.pool.fetchval("SELECT count(*) FROM payment_events WHERE NOT processed") == 0
    assert (await flows.payment("o-3"))["status"] == "succeeded"


async def store(webhooks: Webhooks, delivered: ProviderEvent) -> None:
    """Deliver an event, and wait until it is durable."""
    taking = webhooks.take(delivered, "secret-1")
    await asyncio.sleep(0)
    await webhooks.store_once()
    await taking
