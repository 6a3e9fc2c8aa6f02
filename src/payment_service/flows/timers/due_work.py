"""Look once a second, in one statement, what is due for the loops of this process, and wake those that have work."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from payment_service.db.due_work import due_work
from payment_service.loop import Loop

if TYPE_CHECKING:
    from payment_service.flows.state.context import Context

# Deadlines are minutes away and retries are seconds apart, so a second late is on time.
INTERVAL_S: Final = 1.0
# How often a loop looks for itself, should the look here fail.
LOOP_INTERVAL_S: Final = 60.0
# An old snapshot retains what was due, and the look steps over it: the server may search for this part of the time.
SHARE_MAX: Final = 0.02


class DueWork:
    """Wakes loops by what is due."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loops: defaultdict[str, list[Loop]] = defaultdict(list)
        self._looking = Loop("due_work", self.look_once, interval_min_s=INTERVAL_S, interval_max_s=INTERVAL_S)
        self._look_at_s = 0.0

    def wakes(self, what: str, loop: Loop) -> None:
        """Wake a loop when this is due. `what` is a name of `db/due_work.py`."""
        loop.look_every(LOOP_INTERVAL_S)
        self._loops[what].append(loop)

    def start(self) -> None:
        """Start to look."""
        self._looking.start()

    async def stop(self) -> None:
        """Finish the look, then stop."""
        await self._looking.stop()

    async def look_once(self) -> int:
        """Wake the loops that have work, if a look is due. Return 0."""
        if not self._loops or time.monotonic() < self._look_at_s:
            return 0
        due, took_s = await due_work(self._context.pool, self._context.providers.by_name.keys())
        self._look_at_s = time.monotonic() + took_s / SHARE_MAX - INTERVAL_S
        for what in due:
            for loop in self._loops[what]:
                loop.wake()
        return 0
