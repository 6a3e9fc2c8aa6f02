"""Read the provider's latest events, so that nothing depends on a webhook.

Windows are read from the oldest to the newest, a page at a time, and each page is claimed by one replica. New events go
through the same code as a delivery. A page that is read again changes nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.crash_points import reached
from payment_service.db import budget, event_positions, events, operations, provider_health
from payment_service.db.event_positions import EventsPosition
from payment_service.loop import Loop
from payment_service.provider.calls import GRACE_S, read_events
from payment_service.provider.port import CURSOR_LOST, Transient
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from payment_service.db.event_positions import ClaimedPage
    from payment_service.flows.state.context import Context
    from payment_service.flows.webhooks.apply import Webhooks
    from payment_service.provider.port import EventPage, RecentEvents

log = structlog.get_logger(__name__)

# With webhooks dead, a payment is known within 90 s: this interval and the age below. Half as long would double the calls.
INTERVAL_S: Final = 60.0
# Younger events are left to webhooks, which usually arrive within seconds. Applying both costs twice.
LEFT_TO_WEBHOOKS_S: Final = 30
# Stripe may show an event some time after its `created`. Each window begins this much before the last one ended. At 80
# payments/s, with three events each, a round of 60 + 30 + 120 s takes 8 of 100 calls/s.
OVERLAP_S: Final = 120
# After an outage, windows of 10 minutes apply events roughly in order: a capture before its refund.
WINDOW_MAX_S: Final = 600
# Part of the rate that pages may take while operations take every token.
SHARE: Final = 0.1
# The position moves past events that the provider has deleted, with a day's margin.
RETENTION_MARGIN_S: Final = 86_400
# Pauses after failures: doubling from 1 s to 5 min, so that a long outage delays the first page after it by 5 min at most.
BACKOFF_MAX_S: Final = 300.0
# Added to the time limit of a call, for storing the page. Another replica claims the page after that.
STORE_WITHIN_S: Final = 20.0
# How often an idle replica looks whether a page is due.
LOOK_INTERVAL_S: Final = 1.0


class RecentEventsReader:
    """Read the latest events of one provider, a page at a time."""

    def __init__(
        self,
        context: Context,
        webhooks: Webhooks,
        *,
        name: str,
        provider: RecentEvents,
        rate_per_s: float,
        timeout_s: float,
    ) -> None:
        self._context = context
        self._pool = context.pool
        self._webhooks = webhooks
        self._name = name
        self._provider = provider
        self._rate_per_s = rate_per_s
        self._timeout_s = timeout_s
        self._loop = Loop(f"recent_events.{name}", self.read_once, interval_max_s=LOOK_INTERVAL_S)

    async def start(self) -> None:
        """Insert the provider's rows if they are missing, and start the loop."""
        await operations.ensure_budget(self._pool, self._name)
        await event_positions.ensure(self._pool, self._name)
        self._loop.start()

    async def stop(self, grace_s: float) -> None:
        """Give the page `grace_s` to finish, then stop. A page that did not finish is read again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._loop.stop()

    async def read_once(self) -> int:
        """Read a page if one is due and the budget allows it. Return the number of pages read."""
        if provider_health.EVERYTHING in self._context.paused_kinds(self._name):
            return 0
        claimed = await event_positions.claim_events(
            self._pool,
            self._name,
            rate_per_s=self._rate_per_s,
            burst=budget.burst(self._rate_per_s),
            lease_s=self._timeout_s + GRACE_S + STORE_WITHIN_S,
            at_least_every_s=1 / (self._rate_per_s * SHARE),
        )
        if claimed is None:
            return 0
        reached("recent_events.call.before")
        start = self._open_window(claimed)
        page = await read_events(
            self._provider,
            created_from=start.read_until - OVERLAP_S,
            created_to=start.window_until,
            after=start.after,
            limit_s=self._timeout_s,
        )
        reached("recent_events.call.after")
        outcome = "transient" if isinstance(page, Transient) else "done"
        metrics.PROVIDER_CALLS.labels(self._name, "events", outcome).inc()
        if isinstance(page, Transient):
            await self._postpone(claimed, page)
            return 0
        await self._take(claimed, start, page)
        return 1

    def _open_window(self, claimed: ClaimedPage) -> EventsPosition:
        """Return the position with the end of its window."""
        start = claimed.position
        provider_now_s = claimed.now_s + start.clock_ahead_s
        oldest = provider_now_s - int(self._provider.events_kept.total_seconds()) + RETENTION_MARGIN_S
        if start.read_until < oldest:
            log.error("events_deleted_unread", provider=self._name, since_s=start.read_until, until_s=oldest)
            start = EventsPosition(read_until=oldest, clock_ahead_s=start.clock_ahead_s)
        if start.window_until is not None:
            return start
        until = min(start.read_until + WINDOW_MAX_S, provider_now_s - LEFT_TO_WEBHOOKS_S)
        return replace(start, window_until=max(start.read_until, until))

    async def _take(self, claimed: ClaimedPage, start: EventsPosition, page: EventPage) -> None:
        """Store the new events of a page, then move the position."""
        if page.events and (new := await events.unknown(self._pool, page.events)):
            await self._webhooks.store_read(new)
            log.info("events_read", provider=self._name, count=len(new))
        reached("recent_events.save.before")
        settled = page.at - LEFT_TO_WEBHOOKS_S
        until = min(start.window_until or settled, max(settled, start.read_until))
        ahead_s = page.at - claimed.now_s
        if page.next_after:
            now = replace(start, after=page.next_after, window_until=until, clock_ahead_s=ahead_s, failures=0)
            delay_s = 0.0
        else:
            now = EventsPosition(read_until=until, clock_ahead_s=ahead_s)
            delay_s = INTERVAL_S if settled - until < INTERVAL_S else 0.0
        await event_positions.save_events(self._pool, self._name, claimed, now, delay_s=delay_s)

    async def _postpone(self, claimed: ClaimedPage, failure: Transient) -> None:
        start = claimed.position
        if failure.code == CURSOR_LOST:
            start = replace(start, window_until=None, after="")
        delay_s = failure.retry_after_s + min(BACKOFF_MAX_S, 2.0 ** min(start.failures, 10))
        log.warning("events_not_read", provider=self._name, code=failure.code, retry_in_s=delay_s)
        now = replace(start, failures=start.failures + 1)
        await event_positions.save_events(self._pool, self._name, claimed, now, delay_s=delay_s)
