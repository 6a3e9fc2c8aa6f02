"""The engine of reconciliation: run the comparisons of a window one after another, on one lease.

A run is stored with its progress. At most one is active, so two processes never do the same work. If its process
dies, the next one resumes it from its last step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import structlog

from payment_service.db import reconciliations
from payment_service.flows.reconciliation.journal import DryJournal, Interrupted, Pace, StoredJournal
from payment_service.flows.reconciliation.missing_events import MissingEvents
from payment_service.flows.reconciliation.own_data import RowComparison, TopicComparison
from payment_service.flows.reconciliation.provider_objects import LOOK_AGAIN_S, ProviderObjects
from payment_service.flows.reconciliation.provider_reads import BudgetedReads, ProviderReads, ProviderUnavailable
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.listed_objects import Reconcilable
from payment_service.provider.port import RecentEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payment_service.config.config import Config
    from payment_service.db.reconciliations import Counts, Window
    from payment_service.domain.differences import Difference
    from payment_service.flows.reconciliation.comparison import Comparison
    from payment_service.flows.reconciliation.journal import Journal
    from payment_service.flows.reconciliation.own_data import OpenReader
    from payment_service.flows.state.context import Context

log = structlog.get_logger(__name__)


class AlreadyRunning(Exception):
    """Another process runs a reconciliation."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run. `run_id` is None for a dry run."""

    run_id: UUID | None
    window: Window
    counts: Counts


def comparisons_of(
    context: Context, config: Config, *, open_reader: OpenReader | None, look_again_s: float = LOOK_AGAIN_S
) -> list[Comparison]:
    """Return the comparisons of a run, in their order. A provider that cannot list its objects or events has none.

    Objects decide more than events, so they come first. Rows are compared with each other after the repairs. Topics come last,
    since a broker that is down must not delay the others. `open_reader`: None compares no topics.
    """
    pool, limits = context.pool, {"rate_per_s": config.provider_rate_per_second, "limit_s": config.provider_timeout_s}
    webhooks = Webhooks(context)
    objects: list[Comparison] = []
    events: list[Comparison] = []
    for name, provider in context.providers.by_name.items():
        if isinstance(provider, Reconcilable):
            reads = ProviderReads(pool, name, provider, **limits)
            objects.append(ProviderObjects(context, reads, look_again_s=look_again_s))
        if isinstance(provider, RecentEvents):
            events.append(MissingEvents(pool, webhooks, BudgetedReads(pool, name, **limits), provider))
    topics = [TopicComparison(pool, open_reader, deployment=context.deployment)] if open_reader is not None else []
    return [*objects, *events, RowComparison(pool), *topics]


class Reconciliation:
    """Runs of one process. `report` receives each difference after it is recorded."""

    def __init__(
        self,
        context: Context,
        comparisons: Sequence[Comparison],
        *,
        pace: Pace | None = None,
        report: Callable[[Difference], None] = lambda _difference: None,
    ) -> None:
        self._context = context
        self._comparisons = comparisons
        self._pace = pace or Pace()
        self._report = report
        self._holder = uuid4()

    async def run(self, window: Window) -> Finished:
        """Compare a window and repair what is certain. Raise AlreadyRunning, ProviderUnavailable, Interrupted, LeaseLost.

        A run that was interrupted is finished first.
        """
        while (stored := await reconciliations.start(self._context.pool, self._holder, window)) is None:
            if await self.resume() is None:
                message = "Another process runs a reconciliation. Wait until it has finished."
                raise AlreadyRunning(message)
        return await self._run(stored)

    async def resume(self) -> Finished | None:
        """Finish a run whose process has died. Return None if there is none. Raise as `run`."""
        stored = await reconciliations.resume(self._context.pool, self._holder)
        return await self._run(stored) if stored is not None else None

    async def run_dry(self, window: Window) -> Finished:
        """Compare a window, and write nothing. Raise ProviderUnavailable, Interrupted."""
        journal = DryJournal(window, pace=self._pace, report=self._report)
        await self._compare(journal)
        return Finished(None, window, journal.counts)

    async def _run(self, stored: reconciliations.StoredRun) -> Finished:
        journal = StoredJournal(self._context.pool, self._holder, stored, pace=self._pace, report=self._report)
        log.info("reconciliation_started", since=stored.window.since, until=stored.window.until, at=stored.position)
        try:
            await self._compare(journal)
        except (Interrupted, ProviderUnavailable):
            await journal.release()
            raise
        counts = journal.counts
        log.info("reconciliation_finished", compared=counts.compared, found=counts.found, repaired=counts.repaired)
        return Finished(stored.id, stored.window, counts)

    async def _compare(self, journal: Journal) -> None:
        names = [comparison.name for comparison in self._comparisons]
        begin = names.index(journal.comparison) if journal.comparison in names else 0
        for comparison in self._comparisons[begin:]:
            position = journal.position if comparison.name == journal.comparison else ""
            await comparison.compare(journal, position)
        await journal.finish()
