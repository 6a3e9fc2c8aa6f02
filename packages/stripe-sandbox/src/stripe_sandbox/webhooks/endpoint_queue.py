"""The queue of deliveries to one endpoint, so that a dead endpoint delays no other."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from stripe_sandbox.state.clock import Clock

CONCURRENCY = 16  # deliveries on the wire per endpoint

log = logging.getLogger(__name__)


class EndpointQueue:
    """A queue that calls `attempt` with the id of each delivery once it is `due` (seconds since 1970)."""

    def __init__(self, clock: Clock, attempt: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self._clock = clock
        self._attempt = attempt
        self._due: list[tuple[float, int, str]] = []
        self._count = 0
        self._running: set[asyncio.Task[None]] = set()
        self.wake = asyncio.Event()
        self._loop = asyncio.create_task(self._run())

    def add(self, due: float, delivery_id: str) -> None:
        self._count += 1
        heapq.heappush(self._due, (due, self._count, delivery_id))
        self.wake.set()

    async def stop(self) -> None:
        tasks = [self._loop, *self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self.wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._start_due()):
                    await self.wake.wait()

    def _start_due(self) -> float | None:
        """Start due deliveries and return the seconds until the next one; None if there is none."""
        while self._due and len(self._running) < CONCURRENCY:
            wait = self._due[0][0] - self._clock.now()
            if wait > 0:
                return wait
            self._start(heapq.heappop(self._due)[2])
        return None

    def _start(self, delivery_id: str) -> None:
        task = asyncio.create_task(self._attempt(delivery_id))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.wake.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("a delivery failed unexpectedly", exc_info=task.exception())
