"""Compare our rows with each other, and our published records with their topics, as a run of reconciliation does.

Nothing is repaired: a row that contradicts another was changed outside the service, or by a defect. A run compares what
changed since the run before. Once a day it compares everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from payment_service.db import consistency
from payment_service.db.reconciliations import Counts
from payment_service.domain.differences import Sides
from payment_service.flows.comparisons.rows import row_step
from payment_service.flows.comparisons.topics import TopicsUnavailable, compared_since, topic_step
from payment_service.flows.reconciliation.journal import Step as JournalStep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from payment_service.db.pool import Pool
    from payment_service.flows.comparisons.steps import Step
    from payment_service.flows.comparisons.topics import TopicReader
    from payment_service.flows.reconciliation.journal import Journal

    OpenReader: TypeAlias = Callable[[], AbstractAsyncContextManager[TopicReader]]

log = structlog.get_logger(__name__)

# Open differences that are looked at together: about a second.
AGAIN_MAX: Final = 100


class RowComparison:
    """The comparison of our rows with each other."""

    name = "rows"
    sides = Sides.ROWS

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def compare(self, journal: Journal, position: str) -> None:
        """Compare step by step, then look again at open differences of payments that did not change."""
        since = journal.window.changed_since
        await _take_steps(self._pool, journal, self.name, position, lambda at: row_step(self._pool, at, since=since))
        if since is None:
            await journal.resolve_unseen(self.sides)
            return
        await journal.resolve_unseen(self.sides, only=consistency.OVER_TABLES)
        await self._compare_open(journal)

    async def _compare_open(self, journal: Journal) -> None:
        after = ("", "")
        while open_ones := await journal.open_before(self.sides, "", after, AGAIN_MAX):
            await journal.keep()
            asked = {one.payment_id for one in open_ones if one.payment_id is not None}
            found = {one.key: one for one in await consistency.check_again(self._pool, list(asked))}
            keys = {(one.code, one.subject) for one in open_ones}
            gone = {(one.code, one.subject) for one in open_ones if one.payment_id is not None} - found.keys()
            still = [found[key] for key in sorted(keys & found.keys())]
            async with self._pool.acquire() as connection, connection.transaction():
                counts = Counts(compared=len(asked), found=len(still))
                await journal.commit(
                    connection,
                    JournalStep(comparison=self.name, position="", counts=counts, found=still, resolved=gone),
                )
            journal.report(still)
            after = open_ones[-1].code, open_ones[-1].subject


class TopicComparison:
    """The comparison of published records with the outbox. It waits for no broker: a later run compares everything."""

    name = "topics"
    sides = Sides.TOPICS

    def __init__(self, pool: Pool, open_reader: OpenReader, *, deployment: str) -> None:
        self._pool = pool
        self._open_reader = open_reader
        self._deployment = deployment

    async def compare(self, journal: Journal, position: str) -> None:
        """Compare step by step. If the broker cannot be read, log it and postpone the rest."""
        since = journal.window.changed_since
        try:
            async with self._open_reader() as reader:

                def step(at: str) -> Awaitable[Step]:
                    return topic_step(self._pool, reader, at, deployment=self._deployment, since=since)

                await _take_steps(self._pool, journal, self.name, position, step)
        except TopicsUnavailable as error:
            log.warning("topics_not_compared", detail=str(error))
            async with self._pool.acquire() as connection, connection.transaction():
                await journal.commit(
                    connection, JournalStep(comparison=self.name, position="", counts=Counts(postponed=1))
                )
            return
        # Differences from before the outbox begins stay open until an operator closes them.
        await journal.resolve_unseen(self.sides, since=await compared_since(self._pool, since))


async def _take_steps(
    pool: Pool, journal: Journal, name: str, position: str, step: Callable[[str], Awaitable[Step]]
) -> None:
    """Take the steps from a position on. Each is stored before the next, so that a run resumes after it."""
    while True:
        await journal.keep()
        done = await step(position)
        async with pool.acquire() as connection, connection.transaction():
            counts = Counts(compared=done.compared, found=len(done.found))
            await journal.commit(
                connection, JournalStep(comparison=name, position=done.position, counts=counts, found=done.found)
            )
        journal.report(done.found)
        if not (position := done.position):
            return
