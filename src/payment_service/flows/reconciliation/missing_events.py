"""Compare the provider's events with the stored events, and apply those that never arrived, as a webhook does.

All events of a window are listed, whether an endpoint has accepted them or not. The window is read in slices from the oldest to
the newest, so that a capture is applied before its refund.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from payment_service.db import differences, events, payments
from payment_service.db.reconciliations import Counts
from payment_service.domain.differences import EVENT_MISSING, Difference, Sides
from payment_service.flows.reconciliation.journal import Step
from payment_service.flows.reconciliation.list_progress import ListProgress
from payment_service.provider.calls import read_events
from payment_service.provider.port import CURSOR_LOST, Disposition, EventPage, Transient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from payment_service.db.pool import Pool
    from payment_service.flows.reconciliation.journal import Journal
    from payment_service.flows.reconciliation.provider_reads import BudgetedReads
    from payment_service.flows.webhooks.apply import Webhooks
    from payment_service.provider.port import ProviderEvent, RecentEvents

# A slice costs at least one call: an hour makes 24 for a day, and 192 for eight days.
SLICE_S: Final = 3_600
# Without webhooks, the reader of recent events applies an event within 90 s. Five minutes leave room for a backlog.
SETTLED_AFTER_S: Final = 300


class MissingEvents:
    """The comparison of one provider's events. A position is the beginning of a slice, and the place of a page in it."""

    sides = Sides.EVENTS

    def __init__(self, pool: Pool, webhooks: Webhooks, reads: BudgetedReads, provider: RecentEvents) -> None:
        self._pool = pool
        self._webhooks = webhooks
        self._reads = reads
        self._provider = provider
        self.name = f"events:{reads.name}"

    async def compare(self, journal: Journal, position: str) -> None:
        """Compare the slices of the window one after another."""
        await self._reads.prepare()
        since, until = int(journal.window.since.timestamp()), int(journal.window.until.timestamp())
        begin, _, after = position.partition(" ")
        since = int(begin) if begin else since
        while since <= until:
            await self._compare_slice(journal, since, min(since + SLICE_S - 1, until), after)
            since, after = since + SLICE_S, ""
        if journal.repairs:
            await differences.resolve_processed_events(self._pool, self._reads.name)

    async def _compare_slice(self, journal: Journal, created_from: int, created_to: int, after: str) -> None:
        progress = ListProgress(self._reads.name, created_from)
        while True:
            page = await self._page(journal, created_from, created_to, after)
            if page is None:
                # The provider has deleted the event at the place. Its slice begins again, and changes nothing twice.
                progress.restart()
                after = ""
                continue
            following = f"{created_from} {page.next_after}" if page.next_after else f"{created_from + SLICE_S}"
            await self._take(journal, page, f"{created_from} {after}".rstrip(), following)
            if not page.next_after:
                return
            progress.advance(page.events[-1].occurred_at if page.events else 0)
            after = page.next_after

    async def _page(self, journal: Journal, created_from: int, created_to: int, after: str) -> EventPage | None:
        """Read a page. Return None if the place no longer exists."""

        async def read() -> EventPage | Transient | None:
            page = await read_events(
                self._provider,
                created_from=created_from,
                created_to=created_to,
                after=after,
                limit_s=self._reads.limit_s,
            )
            return None if after and isinstance(page, Transient) and page.code == CURSOR_LOST else page

        return await self._reads.read(journal, read)

    async def _take(self, journal: Journal, page: EventPage, here: str, following: str) -> None:
        """Record the missing events of a page as open, apply them, then record the result with the next position.

        A crash in between loses no difference.
        """
        settled = [event for event in page.events if event.occurred_at <= page.at - SETTLED_AFTER_S]
        new = await events.unknown(self._pool, settled) if settled else []
        found = await self._differences(new)
        if journal.repairs and new:
            if found:
                await self._commit(journal, here, Counts(), found)
            await self._webhooks.store_read(new)
            applied = {event_id for _, event_id in await events.processed(self._pool, new)}
            found = [replace(difference, repaired=difference.subject in applied) for difference in found]
        repaired = sum(difference.repaired for difference in found)
        await self._commit(
            journal, following, Counts(compared=len(page.events), found=len(found), repaired=repaired), found
        )
        journal.report(found)

    async def _differences(self, new: Sequence[ProviderEvent]) -> list[Difference]:
        """Return a difference for each event about a payment of ours: it names the payment, or its intent belongs to it."""
        intents = {(event.provider, event.intent_id) for event in new if event.intent_id}
        own: dict[tuple[str, str], UUID] = {}
        if intents:
            async with self._pool.acquire() as connection:
                own = await payments.of_intents(connection, intents)
        return [_difference(event, payment_id) for event in new if (payment_id := _payment_of(event, own)) is not None]

    async def _commit(self, journal: Journal, position: str, counts: Counts, found: Sequence[Difference]) -> None:
        step = Step(comparison=self.name, position=position, counts=counts, found=found, provider=self._reads.name)
        async with self._pool.acquire() as connection, connection.transaction():
            await journal.commit(connection, step)


def _payment_of(event: ProviderEvent, own: Mapping[tuple[str, str], UUID]) -> UUID | None:
    """Return the payment that a webhook would apply the event to. Other programs have intents and refunds, too."""
    owner = own.get((event.provider, event.intent_id or ""))
    match event.disposition:
        case Disposition.APPLY:
            return owner or event.payment_id
        case Disposition.EXTERNAL:
            return owner
        case _:
            return None


def _difference(event: ProviderEvent, payment_id: UUID) -> Difference:
    at = datetime.fromtimestamp(event.occurred_at, UTC)
    return Difference(
        sides=Sides.EVENTS,
        code=EVENT_MISSING,
        subject=event.event_id,
        payment_id=payment_id,
        detail=f"{event.event_type} of {at:%Y-%m-%dT%H:%M:%SZ} is at the provider, and was not stored here",
        at=at,
    )
