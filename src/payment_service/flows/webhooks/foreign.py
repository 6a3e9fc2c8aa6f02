"""Settle events that name no payment of ours: one read of their intent tells whose they are.

Other systems may use the same account. Their refunds and disputes carry no metadata, so they look like those of a payment whose
create was not answered yet.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.db import budget, events
from payment_service.loop import Loop
from payment_service.provider.calls import read_object
from payment_service.provider.listed_objects import ListedObject, NoObject, ObjectKind, Reconcilable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from payment_service.flows.state.context import Context
    from payment_service.provider.port import ProviderEvent

log = structlog.get_logger(__name__)

# Intents in memory, about 1 kB each with their events. More are asked about after a later retry of their events.
SUSPECTS_MAX: Final = 1_000
# A suspect wakes the loop. A token of the shared budget is there within this time, unless other calls wait.
INTERVAL_MAX_S: Final = 2.0


class ForeignEvents:
    """Ask about the intents of events that several tries could not match, one read at a time, after all other calls."""

    def __init__(self, context: Context, *, rate_per_s: float, limit_s: float) -> None:
        self._context = context
        self._readers = {
            name: provider for name, provider in context.providers.by_name.items() if isinstance(provider, Reconcilable)
        }
        self._rate_per_s = rate_per_s
        self._limit_s = limit_s
        self._suspects: defaultdict[tuple[str, str], list[ProviderEvent]] = defaultdict(list)
        self._loop = Loop("webhooks.foreign", self.ask_once, interval_max_s=INTERVAL_MAX_S)

    def start(self) -> None:
        """Start the loop."""
        self._loop.start()

    async def stop(self) -> None:
        """Finish the read under way. The other suspects are found again by their next retry."""
        await self._loop.stop()

    def suspect(self, unmatched: Iterable[ProviderEvent]) -> None:
        """Ask about the intents of these events, as far as there is room."""
        for event in unmatched:
            if event.intent_id and event.provider in self._readers and len(self._suspects) < SUSPECTS_MAX:
                self._suspects[event.provider, event.intent_id].append(event)
        self._loop.wake()

    async def ask_once(self) -> int:
        """Read one intent and settle its events. Return 1, or 0 if there is none or no token."""
        if not self._suspects:
            return 0
        name, intent_id = next(iter(self._suspects))
        if not await budget.spend_in_background(self._context.pool, name, rate_per_s=self._rate_per_s, at_once=False):
            return 0
        found = await read_object(self._readers[name], ObjectKind.INTENT, intent_id, limit_s=self._limit_s)
        waiting = self._suspects.pop((name, intent_id), [])
        if isinstance(found, ListedObject | NoObject):
            await self._settle(waiting, self._payment_of(found))
        return 1

    def _payment_of(self, found: ListedObject | NoObject) -> UUID | None:
        """Return the payment of ours that the intent names."""
        if isinstance(found, NoObject) or found.deployment != self._context.deployment:
            return None
        return found.payment_id

    async def _settle(self, waiting: list[ProviderEvent], payment_id: UUID | None) -> None:
        results = [
            events.Result(event=event, processed=True, result="external")
            if payment_id is None
            else events.Result(event=event, processed=False, result="unmatched", retry_s=1.0, payment_id=payment_id)
            for event in {event.key: event for event in waiting}.values()
        ]
        async with self._context.pool.acquire() as connection:
            await events.record_results(connection, results)
        log.info("unmatched_events_settled", events=len(results), ours=payment_id is not None)
