"""The sandbox's time: the wall clock plus an offset that only grows."""

from __future__ import annotations

import time
from collections.abc import Callable

LATEST = 4_102_444_800.0  # the year 2100: no more than calendars, cards and clients' integers can follow


class Clock:
    """Seconds since 1970 as a float. It never runs backwards, so lists by `created` stay sorted."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._latest = 0.0
        self.offset_s = 0.0

    def now(self) -> float:
        self._latest = max(self._latest, self._wall() + self.offset_s)
        return self._latest

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, at least 0."""
        if seconds < 0:
            raise ValueError("advance_s must not be negative: the clock never runs backwards")
        self.offset_s += seconds

    def advance_to(self, moment: float) -> None:
        """Move on to `moment`; one that is past changes nothing."""
        self.offset_s += max(0.0, moment - self.now())

    def not_before(self, moment: float) -> None:
        """Never again tell a time before `moment`, the latest one found in a stored state."""
        self._latest = max(self._latest, moment)
