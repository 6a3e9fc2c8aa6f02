"""A background loop: `run_once`, a wake signal and an adaptive interval.

The Kafka consumer and the relay have loops of their own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from payment_service.telemetry.errors import error_fields

log = structlog.get_logger(__name__)

# The pause while there is nothing to do. It doubles from the first value to the second.
INTERVAL_MIN_S: Final = 0.005
INTERVAL_MAX_S: Final = 0.1
# The pause after an error. It starts short for a fast recovery and doubles to spare a restarting database.
ERROR_PAUSE_MIN_S: Final = 0.1
ERROR_PAUSE_MAX_S: Final = 2.0


class Loop:
    """Run `run_once` until stopped. It returns the amount of work done. If that is above 0, it runs again at once.

    `share_max`: the part of the time that rounds without work may take. A slow round is followed by a longer pause.
    `apart_s`: the time between the beginnings of two rounds, unless there is `enough` to do. So rounds of a busy loop share a
    commit, and the first one after a pause begins at once.
    """

    def __init__(
        self,
        name: str,
        run_once: Callable[[], Awaitable[int]],
        *,
        interval_max_s: float = INTERVAL_MAX_S,
        interval_min_s: float = INTERVAL_MIN_S,
        share_max: float = 1.0,
        apart_s: float = 0.0,
        enough: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self._run_once = run_once
        self._interval_max_s = interval_max_s
        self._interval_min_s = interval_min_s
        self._share_max = share_max
        self._apart_s = apart_s
        self._enough = enough
        self._gathering = False
        self._signal = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start in a task."""
        self._task = asyncio.create_task(self._run(), name=self.name)

    def wake(self) -> None:
        """Run again without waiting for the interval."""
        if not self._gathering or self._enough():
            self._signal.set()

    def look_every(self, interval_s: float) -> None:
        """Look without a signal only this often."""
        self._interval_min_s = self._interval_max_s = interval_s

    async def stop(self) -> None:
        """Let the current round finish, then stop."""
        self._stopping.set()
        self._signal.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        pause_s, error_pause_s = self._interval_min_s, ERROR_PAUSE_MIN_S
        worked_s = -math.inf
        while not self._stopping.is_set():
            await self._gather(worked_s + self._apart_s - time.monotonic())
            if self._stopping.is_set():
                return
            self._signal.clear()
            began_s = time.monotonic()
            try:
                done = await self._run_once()
            except Exception as error:  # noqa: BLE001 - a background loop must survive every error
                log.error(
                    "loop_failed",
                    loop=self.name,
                    retry_in_s=error_pause_s,
                    **error_fields(error),
                )
                await self._wait(error_pause_s, wakeable=False)
                error_pause_s = min(error_pause_s * 2, ERROR_PAUSE_MAX_S)
                continue
            error_pause_s = ERROR_PAUSE_MIN_S
            if done > 0:
                pause_s, worked_s = self._interval_min_s, began_s
            else:
                took_s = time.monotonic() - began_s
                await self._wait(max(pause_s, took_s * (1 / self._share_max - 1)), wakeable=True)
                pause_s = min(pause_s * 2, self._interval_max_s)

    async def _gather(self, seconds: float) -> None:
        """Let work gather until there is enough."""
        if seconds <= 0 or self._enough():
            return
        self._gathering = True
        if not self._stopping.is_set():
            self._signal.clear()
        await self._wait(seconds, wakeable=True)
        self._gathering = False

    async def _wait(self, seconds: float, *, wakeable: bool) -> None:
        event = self._signal if wakeable else self._stopping
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
