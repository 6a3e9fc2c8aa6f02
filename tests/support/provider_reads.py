"""Run the timers that ask the provider, without waiting for their intervals."""

from __future__ import annotations

from typing import Any

from payment_service.flows.timers.poller import Poller
from payment_service.flows.timers.recent_events import LEFT_TO_WEBHOOKS_S, RecentEventsReader
from tests.support.harness import Harness

DUE_NOW = "UPDATE event_positions SET events_due_at = now()"


async def events_reader(harness: Harness, **changes: Any) -> RecentEventsReader:
    """Create a reader with its rows, but do not start its loop."""
    settings = {"name": "stripe", "provider": harness.flows.provider, "rate_per_s": 1000.0, "timeout_s": 2.0, **changes}
    reader = RecentEventsReader(harness.context(), harness.webhooks, **settings)
    await reader.start()
    await reader.stop(5)
    return reader


async def read_events(harness: Harness, reader: RecentEventsReader) -> int:
    """Read all events until now, as if time had passed, and return the number of pages.

    The first round reads how far the sandbox's clock is ahead.
    """
    harness.sandbox.advance(LEFT_TO_WEBHOOKS_S + 1)
    pages = 0
    for _ in range(2):
        await harness.flows.pool.execute(DUE_NOW)
        while await reader.read_once():
            pages += 1
    return pages


async def poller(harness: Harness, **changes: Any) -> Poller:
    """Create a poller with its rows, but do not start its loop. The bucket is full."""
    settings = {"name": "stripe", "rate_per_s": 100.0, **changes}
    polls = Poller(harness.context(), **settings)
    await polls.start()
    await polls.stop(5)
    return polls


async def poll_all(harness: Harness, polls: Poller) -> int:
    """Poll everything that is open, as if its wait were over. Return the number of polls."""
    await harness.flows.pool.execute("UPDATE polls SET due_at = now()")
    return await poll_due(harness, polls)


async def poll_due(harness: Harness, polls: Poller) -> int:
    """Run one round with a full bucket, and the reads that it requests."""
    pool = harness.flows.pool
    await pool.execute("UPDATE provider_budget SET tokens = 100, refilled_at = clock_timestamp()")
    await pool.execute("UPDATE provider_budget SET polls_due_at = now()")
    polled = await polls.poll_once()
    await harness.flows.run_calls()
    return polled
