"""The position up to which every record is published, so that the relay need not search there again.

An old snapshot (a report, a dump) retains the rows of `outbox_pending` that were deleted, and a fetch from the beginning steps
over all of them. The frontier moves only over positions below which no record can appear any more. Positions are drawn
before their transactions commit, and a record that appears late must not be overtaken by the next record of its payment. So
the frontier waits until every transaction has ended that ran when the positions were drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db import outbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from payment_service.db.pool import Pool

# Each look is a statement of 0.1 ms, and the frontier follows two looks later.
LOOK_INTERVAL_S: Final = 1.0
# How often a fetch begins at the first position. It finds what an operator publishes again. Each look of an idle relay is one.
FULL_FETCH_INTERVAL_S: Final = 4.0
# A full fetch takes at most this part of the time, however old the snapshot is.
FULL_FETCH_SHARE: Final = 0.05


class Frontier:
    """The frontier of one term of leadership."""

    def __init__(self, pool: Pool, *, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._clock = clock
        self._position = 0
        self._server: datetime | None = None
        self._drawn: int | None = None
        self._running: int | None = None
        self._look_at = 0.0
        self._full_at = 0.0
        self._began = 0.0
        self._full = True

    def begin(self) -> outbox.Start:
        """Return where a fetch begins."""
        self._began = self._clock()
        self._full = self._began >= self._full_at
        return outbox.Start(0 if self._full else self._position, self._server)

    def end(self) -> None:
        """Note that the fetch has ended."""
        if self._full:
            now = self._clock()
            self._full_at = now + max(FULL_FETCH_INTERVAL_S, (now - self._began) / FULL_FETCH_SHARE)

    async def look(self) -> None:
        """Move the frontier, if the last look is long enough ago."""
        if self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK_INTERVAL_S
            self.move(await outbox.look(self._pool, self._position))

    def move(self, seen: outbox.Look) -> None:
        """Move as far as this look allows."""
        if seen.server != self._server:
            # Another server may have lost transactions, so it may draw positions again.
            self._server, self._position, self._drawn, self._running = seen.server, 0, None, None
        if self._drawn is None:
            self._drawn = seen.drawn
        elif self._running is None:
            # Whoever drew a position up to `_drawn` had its transaction id before this later snapshot.
            self._running = seen.next_transaction
        if self._running is not None and seen.oldest_transaction >= self._running:
            end = self._drawn if seen.oldest_pending is None else min(self._drawn, seen.oldest_pending - 1)
            self._position = max(self._position, end)
            self._drawn, self._running = seen.drawn, None
