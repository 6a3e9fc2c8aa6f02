"""Reconciliation finds the provider's events that never arrived, and applies them as a webhook does.

Stripe lists events for 30 days, delivered or not (https://docs.stripe.com/api/events/list).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from payment_service.db import differences
from payment_service.domain.differences import Sides
from payment_service.flows.reconciliation.missing_events import SETTLED_AFTER_S
from payment_service.flows.reconciliation.provider_reads import ProviderUnavailable
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.port import CURSOR_LOST, EventPage, Transient
from tests.support.flows import name_of
from tests.support.harness import Harness
from tests.support.reconcile import Result, reconcile, reconciliation, window

pytestmark = pytest.mark.timeout(180)

EVENTS = (Sides.EVENTS,)
FOUND = ("event_missing", True)
OPEN = ("event_missing", False)
STORED = "SELECT count(*) FROM payment_events"


async def pay_unheard(harness: Harness, *order_ids: str, age_s: float = SETTLED_AFTER_S + 1) -> None:
    """Let customers pay, deliver no event, and let the events get this old."""
    await harness.flows.accept(*order_ids)
    await harness.flows.run_calls()
    client: Any = harness.sandbox.client()
    for order_id in order_ids:
        intent = (await harness.flows.payment(order_id))["provider_payment_id"]
        client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    harness.sandbox.advance(age_s)


async def statuses(harness: Harness) -> set[str]:
    """Return the statuses of all payments."""
    return {row["status"] for row in await harness.flows.pool.fetch("SELECT status FROM payments")}


@pytest.mark.invariant("I16")
async def test_events_that_never_arrived_are_applied_and_reported_once(harness: Harness) -> None:
    await pay_unheard(harness, "o-1")
    first = await reconcile(harness, sides=EVENTS)
    assert first.codes == [FOUND] * 3
    assert {difference.payment_id for difference in first.found} == {name_of("o-1")}
    assert (first.counts.found, first.counts.repaired) == (3, 3)
    assert await statuses(harness) == {"succeeded"}
    assert (await reconcile(harness, sides=EVENTS)).found == []
    published = await harness.published(name_of("o-1"))
    await harness.deliver()
    assert await harness.published(name_of("o-1")) == published


async def test_a_deleted_event_is_found_and_changes_nothing_else(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    published = await harness.published(payment)
    await harness.flows.pool.execute("DELETE FROM payment_events WHERE event_type = 'payment_intent.succeeded'")
    harness.sandbox.advance(SETTLED_AFTER_S + 1)
    assert (await reconcile(harness, sides=Sides)).codes == [FOUND]
    assert await harness.published(payment) == published


async def test_young_events_are_left_to_webhooks(harness: Harness) -> None:
    await pay_unheard(harness, "o-1", age_s=SETTLED_AFTER_S / 2)
    assert (await reconcile(harness, sides=EVENTS)).found == []
    assert await harness.flows.pool.fetchval(STORED) == 0


async def test_events_of_other_programs_are_no_difference(harness: Harness) -> None:
    client: Any = harness.sandbox.client()
    for metadata in ({}, {"deployment": "another", "payment_id": str(name_of("o-1")), "order_id": "o-1"}):
        foreign = {"amount": 700, "currency": "eur", "payment_method_types": ["card"], "metadata": metadata}
        paid = client.v1.payment_intents.create({**foreign, "confirm": True, "payment_method": "pm_card_visa"})
        client.v1.refunds.create({"payment_intent": paid.id, "amount": 100})
    harness.sandbox.advance(SETTLED_AFTER_S + 1)
    assert (await reconcile(harness, sides=EVENTS)).found == []


async def test_a_dry_run_reports_the_same_and_stores_no_event(harness: Harness) -> None:
    await pay_unheard(harness, "o-1")
    assert (await reconcile(harness, sides=EVENTS, dry=True)).codes == [OPEN] * 3
    assert await harness.flows.pool.fetchval(STORED) == 0
    assert await statuses(harness) == {"pending"}


async def test_an_event_that_cannot_be_applied_stays_open_until_it_is_processed(harness: Harness) -> None:
    """Its payment is missing here, so it waits for it and is parked after 72 h."""
    await pay_unheard(harness, "o-1")
    pool = harness.flows.pool
    for table, column in (("operations", "payment_id"), ("polls", "payment_id"), ("payments", "id")):
        await pool.execute(f"DELETE FROM {table} WHERE {column} = $1", name_of("o-1"))  # noqa: S608
    assert (await reconcile(harness, sides=EVENTS)).codes == [OPEN] * 3
    assert (await reconcile(harness, sides=EVENTS)).found == []
    assert await differences.count_open(pool) == 3
    await pool.execute("UPDATE payment_events SET processed = true, processed_at = now()")
    assert (await reconcile(harness, sides=EVENTS)).found == []
    assert await differences.count_open(pool) == 0


@pytest.mark.parametrize("applied", [False, True], ids=["before", "after"])
async def test_a_run_that_dies_while_it_applies_events_loses_none(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    await pay_unheard(harness, "o-1")
    store_read = Webhooks.store_read

    async def dies(webhooks: Webhooks, found: Any) -> None:
        if applied:
            await store_read(webhooks, found)
        raise KeyboardInterrupt

    monkeypatch.setattr(Webhooks, "store_read", dies)
    with pytest.raises(KeyboardInterrupt):
        await reconciliation(harness, Result(), sides=EVENTS).run(window(timedelta(minutes=30)))
    monkeypatch.setattr(Webhooks, "store_read", store_read)
    pool = harness.flows.pool
    assert await differences.count_open(pool) == 3
    await pool.execute("UPDATE reconciliations SET lease_until = now() - interval '1 s'")
    assert await reconciliation(harness, Result(), sides=EVENTS).resume() is not None
    assert await statuses(harness) == {"succeeded"}
    assert await differences.count_open(pool) == 0
    assert await pool.fetchval("SELECT count(*) FROM differences WHERE repaired") == 3


async def test_slices_are_read_from_the_oldest_and_a_lost_place_begins_its_slice_again(harness: Harness) -> None:
    """Stripe answers 400 resource_missing for a `starting_after` that it has deleted."""
    whole = window()
    await pay_unheard(harness, "o-1")
    harness.sandbox.advance(7_200)
    await pay_unheard(harness, "o-2")
    whole = type(whole)(whole.since, whole.until + timedelta(hours=4))
    result = Result()
    assert await reconciliation(harness, result, sides=EVENTS).run_dry(whole)
    assert [difference.payment_id for difference in result.found] == [name_of("o-1")] * 3 + [name_of("o-2")] * 3
    since = int(whole.since.timestamp())
    await harness.flows.pool.execute(
        "INSERT INTO reconciliations (holder, lease_until, since, until, comparison, position)"
        " VALUES (gen_random_uuid(), now(), $1, $2, 'events:stripe', $3)",
        whole.since,
        whole.until,
        f"{since} evt_deleted",
    )
    assert await reconciliation(harness, Result(), sides=EVENTS).resume() is not None
    assert await statuses(harness) == {"succeeded"}


async def test_a_place_that_is_lost_again_and_again_ends_the_run(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(*, after: str = "", **_window: Any) -> EventPage | Transient:
        lost = Transient(code=CURSOR_LOST, retry_after_s=0)
        return lost if after else EventPage(events=(), at=0, next_after="evt_1")

    monkeypatch.setattr(harness.flows.provider, "recent_events", lose)
    with pytest.raises(ProviderUnavailable, match="does not end"):
        await reconcile(harness, sides=EVENTS)
