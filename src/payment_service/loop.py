"""A background process: `run_once`, a signal that wakes it, an interval that adapts. Kafka's consumer and relay have their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

# Idle: look again after this time. It doubles from the first to the second while there is nothing to do.
INTERVAL_MIN_S: Final = 0.005
INTERVAL_MAX_S: Final = 0.1
# After an error: wait, at first a little, so that a database that restarts is not hammered, and recovery is soon noticed.
ERROR_PAUSE_MIN_S: Final = 0.1
ERROR_PAUSE_MAX_S: Final = 2.0


class Loop:
    """Runs `run_once` until stopped. It returns how much it did: above 0 it is called again at once."""

    def __init__(
        self,
        name: str,
        run_once: Callable[[], Awaitable[int]],
        *,
        interval_max_s: float = INTERVAL_MAX_S,
        interval_min_s: float = INTERVAL_MIN_S,
    ) -> None:
        self.name = name
        self._run_once = run_once
        self._interval_max_s = interval_max_s
        self._interval_min_s = interval_min_s
        self._signal = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin in a task of its own."""
        self._task = asyncio.create_task(self._run(), name=self.name)

    def wake(self) -> None:
        """Say that there is work; the loop looks without waiting for its interval."""
        self._signal.set()

    async def stop(self) -> None:
        """Let the current round finish, then end."""
        self._stopping.set()
        self._signal.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        pause_s, error_pause_s = self._interval_min_s, ERROR_PAUSE_MIN_S
        while not self._stopping.is_set():
            self._signal.clear()
            try:
                done = await self._run_once()
            except Exception as error:  # noqa: BLE001 - a background process outlives every error, and says so
                log.error(
                    "loop_failed",
                    loop=self.name,
                    error=type(error).__name__,
                    detail=str(error)[:300],
                    retry_in_s=error_pause_s,
                )
                await self._wait(error_pause_s, wakeable=False)
                error_pause_s = min(error_pause_s * 2, ERROR_PAUSE_MAX_S)
                continue
            error_pause_s = ERROR_PAUSE_MIN_S
            if done > 0:
                pause_s = self._interval_min_s
            else:
                await self._wait(pause_s, wakeable=True)
                pause_s = min(pause_s * 2, self._interval_max_s)

    async def _wait(self, seconds: float, *, wakeable: bool) -> None:
        event = self._signal if wakeable else self._stopping
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
