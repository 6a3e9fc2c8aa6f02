"""Limit how often something may happen per name, with token buckets in the memory of one process."""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
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


class LineFolder:
    """Let one log line of each kind pass per `every_s` seconds, and count the others."""

    def __init__(self, *, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limiter = RateLimiter(burst=1, every_s=every_s, clock=clock)
        self._folded: Counter[str] = Counter()

    def fields(self, kind: str) -> dict[str, int] | None:
        """Return None if the line is folded; else its fields, with the number of lines that were folded before it."""
        if not self._limiter.allows(kind):
            self._folded[kind] += 1
            return None
        return {"folded": folded} if (folded := self._folded.pop(kind, 0)) else {}
