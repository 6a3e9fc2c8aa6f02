"""The sandbox's time: the wall clock plus an offset that only grows."""

from __future__ import annotations

import time
from collections.abc import Callable

LATEST = 4_102_444_800.0  # the year 2100: calendars, cards and client integers stay valid


class Clock:
    """Seconds since 1970 as a float. The clock never runs backwards, so lists by `created` stay sorted."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._latest = 0.0
        self.offset_s = 0.0

    def now(self) -> float:
        self._latest = max(self._latest, self._wall() + self.offset_s)
        return self._latest

    def advance_to(self, moment: float) -> None:
        """Advance to `moment`; a past one changes nothing."""
        self.offset_s += max(0.0, moment - self.now())

    def not_before(self, moment: float) -> None:
        """Never return a time before `moment`, the latest one in the stored state."""
        self._latest = max(self._latest, moment)
