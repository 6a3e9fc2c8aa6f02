"""Run the timers that ask the provider, without waiting for their intervals."""

from __future__ import annotations

from typing import Any

from payment_service.flows.timers.recent_events import LEFT_TO_WEBHOOKS_S, RecentEventsReader
from tests.support.harness import Harness

DUE_NOW = "UPDATE polling SET events_due_at = now()"


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
