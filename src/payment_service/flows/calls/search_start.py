"""Where claims begin to search among the due operations.

An old snapshot (a report, a dump) retains the index entry of every operation that was ever due. A claim that begins at the
first entry steps over all of them. So a claim begins where the last one found nothing left.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from payment_service.db.operations import BEGINNING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

# A heartbeat looks for nothing before the first search has ended, so that no search delays it.
NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
# Operations are due from the begin of their transaction, and visible after its commit. Transactions take milliseconds.
LATE_COMMIT: Final = timedelta(seconds=1)
# How often a claim searches from the beginning. It finds operations of longer transactions, those that waited for an operation
# which an operator ended, and those of another process that died while it claimed them.
FULL_SEARCH_INTERVAL_S: Final = 5.0
# A full search takes at most this part of the time, unless it takes longer than half a second.
FULL_SEARCH_SHARE: Final = 0.05
# On a busy machine a commit may come later than LATE_COMMIT, and a search take seconds. The operation waits at most this long.
FULL_SEARCH_INTERVAL_MAX_S: Final = 10.0


class SearchStart:
    """The due time above which the next claim searches. `steady_s` returns the seconds of a clock that nobody sets."""

    def __init__(self, steady_s: Callable[[], float]) -> None:
        self._steady_s = steady_s
        self._after = NEVER
        self.left_out: frozenset[str] = frozenset()  # the kinds that the last search left out
        self._full_at_s = float("-inf")
        self._began_s = 0.0
        self._full = True

    @property
    def after(self) -> datetime:
        """Return the time above which the last search may have left something."""
        return self._after

    def begin(self, kinds_left_out: Collection[str]) -> datetime:
        """Return where a claim begins. It searches everything if that is due, or if it leaves out other kinds than the last."""
        self._began_s = self._steady_s()
        self._full = self._began_s >= self._full_at_s or self.left_out != frozenset(kinds_left_out)
        self.left_out = frozenset(kinds_left_out)
        if self._full:
            self._full_at_s = float("-inf")  # until it has ended
        return BEGINNING if self._full else self._after

    def end(self, looked_until: datetime) -> None:
        """Note that nothing which was due before `looked_until` was left. `BEGINNING`: nothing was searched."""
        if looked_until <= BEGINNING:
            return
        until = looked_until - LATE_COMMIT
        if self._full:
            took_s = self._steady_s() - self._began_s
            pause_s = min(FULL_SEARCH_INTERVAL_MAX_S, max(FULL_SEARCH_INTERVAL_S, took_s / FULL_SEARCH_SHARE))
            self._full_at_s = self._steady_s() + pause_s
        self._after = until if self._full else max(self._after, until)
