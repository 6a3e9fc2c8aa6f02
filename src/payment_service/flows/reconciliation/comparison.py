"""A comparison: it looks at a window in small steps, and records what differs in the journal of the run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from payment_service.db.reconciliations import Counts
from payment_service.flows.reconciliation.journal import Step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from payment_service.db.pool import Pool
    from payment_service.db.reconciliations import Window
    from payment_service.domain.differences import Difference, Sides
    from payment_service.flows.reconciliation.journal import Journal

# Differences that are written together.
GROUP_MAX: Final = 100
# A stopping process waits this long for an iterator that finds nothing. The lease is renewed meanwhile.
KEEP_INTERVAL_S: Final = 1.0


class Comparison(Protocol):
    """A comparison of a run. `name` identifies it in the progress of the run."""

    name: str
    sides: Sides

    async def compare(self, journal: Journal, position: str) -> None:
        """Compare the window of the journal, from `position` (empty: the beginning). Raise Interrupted, LeaseLost,
        ProviderUnavailable.
        """
        ...


class IteratedComparison:
    """A comparison that is an iterator of differences over a window. After a crash it begins again."""

    def __init__(
        self, pool: Pool, name: str, sides: Sides, iterate: Callable[[Window], AsyncIterator[Difference]]
    ) -> None:
        self._pool = pool
        self._iterate = iterate
        self.name = name
        self.sides = sides

    async def compare(self, journal: Journal, position: str) -> None:  # noqa: ARG002 - it has no position
        """Record the differences in groups."""
        group: list[Difference] = []
        async for difference in _kept(journal, self._iterate(journal.window)):
            group.append(difference)
            if len(group) == GROUP_MAX:
                await self._record(journal, group)
                group = []
        await self._record(journal, group)

    async def _record(self, journal: Journal, group: Sequence[Difference]) -> None:
        await journal.keep()
        repaired = sum(difference.repaired for difference in group)
        counts = Counts(compared=len(group), found=len(group), repaired=repaired)
        async with self._pool.acquire() as connection, connection.transaction():
            await journal.commit(connection, Step(comparison=self.name, position="", counts=counts, found=group))
        journal.report(group)


async def _kept(journal: Journal, found: AsyncIterator[Difference]) -> AsyncIterator[Difference]:
    """Iterate, and keep the run while the iterator finds nothing."""
    while True:
        step = asyncio.ensure_future(anext(found, None))
        try:
            while not (await asyncio.wait([step], timeout=KEEP_INTERVAL_S))[0]:
                await journal.keep()
        finally:
            if not step.done():
                step.cancel()
                await asyncio.wait([step])
        if (difference := step.result()) is None:
            return
        yield difference
