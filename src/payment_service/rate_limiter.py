"""Limit how often something may happen per name, with token buckets in the memory of one process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Names kept, about 200 bytes each. The least recently used is evicted first.
NAMES_MAX: Final = 10_000


class RateLimiter:
    """For each name, allow a burst of `burst`, then one every `every_s` seconds."""

    def __init__(self, *, burst: int, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._every_s = every_s
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, name: str) -> bool:
        """Take a token and return whether one was available."""
        return self.spend(name) == 0

    def spend(self, name: str) -> int:
        """Take a token and return 0, or return the seconds until the next token."""
        now = self._clock()
        tokens, at = self._buckets.pop(name, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - at) / self._every_s)
        allowed = tokens >= 1
        self._buckets[name] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > NAMES_MAX:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1 - tokens) * self._every_s))
