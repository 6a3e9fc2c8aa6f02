"""Read the provider's events without webhooks: windows, pages, the shared budget, crashes and two replicas."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from payment_service.db import event_positions
from payment_service.flows.timers.recent_events import BACKOFF_MAX_S, INTERVAL_S, RecentEventsReader
from payment_service.provider.stripe.recent_events import TYPES_MAX
from payment_service.provider.stripe.webhooks import APPLIED_TYPES
from tests.support.harness import Harness
from tests.support.provider_reads import DUE_NOW, events_reader, read_events

EVENTS = {"method": "GET", "path_prefix": "/v1/events"}
DAY_S = 86_400


@pytest.fixture
async def reader(harness: Harness) -> RecentEventsReader:
    """Create a reader for the sandbox's events."""
    return await events_reader(harness)


async def paid(harness: Harness, *order_ids: str) -> None:
    """Pay orders at the provider. No event is delivered."""
    await harness.flows.accept(*order_ids)
    await harness.flows.run_calls()
    client: Any = harness.sandbox.client()
    for order_id in order_ids:
        intent_id = (await harness.flows.payment(order_id))["provider_payment_id"]
        client.v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})


async def statuses(harness: Harness) -> list[str]:
    """Return the statuses of all payments, sorted."""
    return sorted(row["status"] for row in await harness.flows.pool.fetch("SELECT status FROM payments"))


async def position(harness: Harness) -> dict[str, Any]:
    """Return the stored position, with the seconds until the next page is due."""
    row = await harness.flows.pool.fetchrow(
        "SELECT *, extract(epoch FROM events_due_at - now()) AS due_s FROM event_positions"
    )
    return dict(row)  # type: ignore[arg-type]


async def set_tokens(harness: Harness, tokens: float) -> None:
    """Set the shared budget."""
    await harness.flows.pool.execute("UPDATE provider_budget SET tokens = $1, refilled_at = clock_timestamp()", tokens)


async def tokens(harness: Harness) -> float:
    """Return what is left of the shared budget."""
    return float(await harness.flows.pool.fetchval("SELECT tokens FROM provider_budget"))


@pytest.mark.invariant("I16")
async def test_a_payment_succeeds_without_a_webhook(harness: Harness, reader: RecentEventsReader) -> None:
    await paid(harness, "o-1")
    assert await statuses(harness) == ["pending"]
    await read_events(harness, reader)
    assert await statuses(harness) == ["succeeded"]
    stored = await harness.flows.pool.fetch("SELECT DISTINCT verified_by FROM payment_events")
    assert [row["verified_by"] for row in stored] == ["read"]


async def test_young_events_are_left_to_webhooks(harness: Harness, reader: RecentEventsReader) -> None:
    await paid(harness, "o-1")
    assert await reader.read_once()
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM payment_events") == 0
    assert INTERVAL_S - 5 < (await position(harness))["due_s"] <= INTERVAL_S


@pytest.mark.invariant("I9")
async def test_an_event_that_a_webhook_brought_is_not_stored_again(
    harness: Harness, reader: RecentEventsReader
) -> None:
    await paid(harness, "o-1")
    await harness.deliver()
    before = await harness.flows.pool.fetch("SELECT * FROM payment_events ORDER BY provider_event_id")
    assert await read_events(harness, reader)
    assert await harness.flows.pool.fetch("SELECT * FROM payment_events ORDER BY provider_event_id") == before


@pytest.mark.invariant("I9")
async def test_a_webhook_after_the_read_changes_nothing(harness: Harness, reader: RecentEventsReader) -> None:
    await paid(harness, "o-1")
    await read_events(harness, reader)
    read = "SELECT * FROM payment_events WHERE verified_by = 'read' ORDER BY provider_event_id"
    before = await harness.flows.pool.fetch(read)
    history = await harness.flows.pool.fetch("SELECT * FROM payment_history ORDER BY id")
    await harness.deliver()
    assert len(before) == 3
    assert await harness.flows.pool.fetch(read) == before
    assert await harness.flows.pool.fetch("SELECT * FROM payment_history ORDER BY id") == history


@pytest.mark.invariant("I16")
async def test_days_of_events_are_read_window_by_window(harness: Harness, reader: RecentEventsReader) -> None:
    """Each day brings one payment. The oldest is applied first."""
    for day in range(3):
        await paid(harness, f"o-{day}")
        harness.sandbox.advance(DAY_S)
    await read_events(harness, reader)
    assert await statuses(harness) == ["succeeded"] * 3
    rows = await harness.flows.pool.fetch(
        "SELECT occurred_at FROM payment_history WHERE to_status = 'succeeded' ORDER BY id"
    )
    times = [row["occurred_at"] for row in rows]
    assert len(times) == 3
    assert times == sorted(times)


@pytest.mark.invariant("I16")
async def test_another_process_continues_after_the_last_page(harness: Harness, reader: RecentEventsReader) -> None:
    """Forty payments have 120 events of types that the service uses, which fill two pages."""
    await paid(harness, *(f"o-{i}" for i in range(40)))
    harness.sandbox.advance(31)
    while not (await position(harness))["events_after"]:
        await harness.flows.pool.execute(DUE_NOW)
        assert await reader.read_once()
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM payment_events") == 100
    next_process = await events_reader(harness)
    while (await position(harness))["events_after"]:
        assert await next_process.read_once()
    assert await statuses(harness) == ["succeeded"] * 40


async def test_only_one_of_two_replicas_reads_a_page(harness: Harness, reader: RecentEventsReader) -> None:
    peer = await events_reader(harness)
    await set_tokens(harness, 5.0)
    pages = await asyncio.gather(*(one.read_once() for one in (reader, peer, reader, peer)))
    assert sum(pages) == 1
    assert (await position(harness))["round"] == 1


async def test_a_page_that_another_replica_has_claimed_meanwhile_does_not_move_the_position(
    harness: Harness, reader: RecentEventsReader
) -> None:
    """The first process was paused for longer than its claim lasts."""
    pool = harness.flows.pool
    claim = {"rate_per_s": 1000.0, "burst": 200.0, "lease_s": 0.0, "at_least_every_s": 1.0}
    paused = await event_positions.claim_events(pool, "stripe", **claim)
    assert paused is not None
    await harness.flows.pool.execute(DUE_NOW)
    assert await reader.read_once()
    before = await position(harness)
    outdated = event_positions.EventsPosition(read_until=1)
    await event_positions.save_events(pool, "stripe", paused, outdated, delay_s=0)
    assert (await position(harness))["events_read_until"] == before["events_read_until"]


@pytest.mark.invariant("I16")
async def test_failed_pages_are_read_again_later(harness: Harness, reader: RecentEventsReader) -> None:
    await paid(harness, "o-1")
    harness.sandbox.faults({"match": EVENTS, "times": 3, "action": "status", "code": 500, "phase": "before"})
    for failures in range(1, 4):
        await harness.flows.pool.execute(DUE_NOW)
        assert await reader.read_once() == 0
        now = await position(harness)
        assert now["failures"] == failures
        assert 2.0 ** (failures - 1) - 1 < now["due_s"] <= min(BACKOFF_MAX_S, 2.0 ** (failures - 1))
    await read_events(harness, reader)
    assert await statuses(harness) == ["succeeded"]
    assert (await position(harness))["failures"] == 0


@pytest.mark.invariant("I16")
async def test_a_lost_position_starts_the_window_again(harness: Harness, reader: RecentEventsReader) -> None:
    """Stripe answers 400 resource_missing for a `starting_after` that it has deleted."""
    await paid(harness, "o-1")
    await harness.flows.pool.execute(
        "UPDATE event_positions SET window_until = events_read_until, events_after = 'evt_deleted', events_due_at = now()"
    )
    assert await reader.read_once() == 0
    assert (await position(harness))["events_after"] == ""
    await read_events(harness, reader)
    assert await statuses(harness) == ["succeeded"]


async def test_the_position_skips_what_the_provider_has_deleted(harness: Harness, reader: RecentEventsReader) -> None:
    """Stripe lists 30 days (https://docs.stripe.com/api/events). Reconciliation finds what was in older events."""
    await harness.flows.pool.execute(
        "UPDATE event_positions SET events_read_until = events_read_until - $1", 60 * DAY_S
    )
    before = (await position(harness))["events_read_until"]
    await reader.read_once()
    assert (await position(harness))["events_read_until"] >= before + 30 * DAY_S


async def test_a_page_costs_one_call_of_the_shared_budget(harness: Harness) -> None:
    slow = await events_reader(harness, rate_per_s=0.001)
    await set_tokens(harness, 1.0)
    assert await slow.read_once() == 1
    assert 0 <= await tokens(harness) < 0.1


async def test_no_page_is_read_without_budget(harness: Harness) -> None:
    slow = await events_reader(harness, rate_per_s=0.001)
    await set_tokens(harness, 0.5)
    assert await slow.read_once() == 0
    assert (await position(harness))["round"] == 0


async def test_a_page_that_has_waited_long_enough_takes_a_token_in_advance(harness: Harness) -> None:
    """Operations take every whole token while they have a backlog. A page of events may hold a hundred payments."""
    slow = await events_reader(harness, rate_per_s=10.0)
    await harness.flows.pool.execute("UPDATE event_positions SET events_claimed_at = now() - interval '2 s'")
    await set_tokens(harness, 0.0)
    assert await slow.read_once() == 1
    assert await tokens(harness) < 0


def test_the_filter_of_types_fits_stripes_limit() -> None:
    """https://docs.stripe.com/api/events/list: an array of up to 20 types."""
    assert len(APPLIED_TYPES) <= TYPES_MAX
