"""Events of another system on the same account are settled by one read of their intent, and alarm nobody meanwhile."""

from __future__ import annotations

import time
from typing import Any

import pytest

from payment_service.db.gauges import sample
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.flows.webhooks.foreign import ForeignEvents
from payment_service.provider.stripe.webhooks import translate
from payment_service.telemetry import metrics
from tests.support.eventually import eventually_async
from tests.support.harness import Harness

RESULTS = "SELECT result, processed FROM payment_events"
# An event that is sent again has the same time.
CREATED = int(time.time())
DUE = "UPDATE payment_events SET retry_at = now(), tries = 3 WHERE NOT processed"


def refund_event(number: int, intent_id: str) -> Any:
    """Build a refund as Stripe sends it: without the metadata of its intent."""
    refund = {
        "id": f"re_{number}",
        "object": "refund",
        "amount": 500,
        "charge": f"ch_{number}",
        "created": CREATED,
        "currency": "eur",
        "metadata": {},
        "payment_intent": intent_id,
        "status": "succeeded",
    }
    value = {
        "id": f"evt_{number}",
        "object": "event",
        "created": CREATED,
        "livemode": False,
        "type": "refund.created",
        "data": {"object": refund},
    }
    return translate(value, deployment="default", livemode=False)


async def settle(harness: Harness, *intents: str) -> None:
    """Take an event about each intent, and let it be retried until its owner is known."""
    await harness.webhooks.stop()  # its own retries would take the events
    foreign = ForeignEvents(harness.context(), rate_per_s=1000, limit_s=5)
    webhooks = Webhooks(harness.context(), foreign.suspect)
    for number, intent_id in enumerate(intents):
        await webhooks.store_read([refund_event(number, intent_id)])
    await harness.flows.pool.execute(DUE)
    await webhooks.replay_once()

    async def asked() -> bool:
        await foreign.ask_once()
        return not foreign._suspects

    await eventually_async(asked)


def intent_of_another_system(harness: Harness, **metadata: str) -> str:
    client: Any = harness.sandbox.client()
    return str(client.v1.payment_intents.create({"amount": 500, "currency": "eur", "metadata": metadata}).id)


@pytest.mark.parametrize(
    "metadata", [{}, {"deployment": "another", "payment_id": "6f1d9a52-0c4e-4b7b-9d53-2f5b1a7c8e10"}]
)
async def test_an_event_about_an_intent_of_another_system_is_external(
    harness: Harness, metadata: dict[str, str]
) -> None:
    await settle(harness, intent_of_another_system(harness, **metadata))
    assert [tuple(row) for row in await harness.flows.pool.fetch(RESULTS)] == [("external", True)]


async def test_an_event_about_an_intent_that_the_account_does_not_have_is_external(harness: Harness) -> None:
    await settle(harness, "pi_gone")
    assert [tuple(row) for row in await harness.flows.pool.fetch(RESULTS)] == [("external", True)]


async def test_several_events_about_one_intent_cost_one_read(harness: Harness) -> None:
    intent_id = intent_of_another_system(harness)
    read = {"match": {"method": "GET", "path": f"/v1/payment_intents/{intent_id}"}, "action": "latency", "ms": 1}
    harness.sandbox.faults(read)
    await settle(harness, intent_id, intent_id, intent_id)
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM payment_events WHERE result = 'external'") == 3
    assert harness.sandbox.faults_struck() == [1]


async def test_an_event_about_an_intent_of_ours_waits_and_is_reported(harness: Harness) -> None:
    """After a restore the payment may be missing: its refund must not be taken for another system's."""
    payment_id = "6f1d9a52-0c4e-4b7b-9d53-2f5b1a7c8e10"
    await settle(harness, intent_of_another_system(harness, deployment="default", payment_id=payment_id))
    rows = await harness.flows.pool.fetch("SELECT result, processed, payment_id::text FROM payment_events")
    assert [tuple(row) for row in rows] == [("unmatched", False, payment_id)]
    await sample(harness.flows.pool)
    assert metrics.EVENTS_WAITING._value.get() == 1


async def test_an_event_whose_owner_is_not_known_yet_alarms_nobody(harness: Harness) -> None:
    await harness.webhooks.take(refund_event(1, "pi_unknown"), "secret-1")
    await sample(harness.flows.pool)
    assert metrics.EVENTS_WAITING._value.get() == 0


async def test_an_intent_that_cannot_be_read_is_asked_again_later(harness: Harness) -> None:
    intent_id = intent_of_another_system(harness)
    harness.sandbox.faults({"match": {"method": "GET"}, "action": "status", "code": 500, "times": 1})
    await settle(harness, intent_id)
    assert [tuple(row) for row in await harness.flows.pool.fetch(RESULTS)] == [("unmatched", False)]
    await settle(harness, intent_id)
    assert [tuple(row) for row in await harness.flows.pool.fetch(RESULTS)] == [("external", True)]
