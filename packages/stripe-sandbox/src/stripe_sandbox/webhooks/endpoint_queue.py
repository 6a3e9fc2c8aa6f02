"""The deliveries to one endpoint, each started when it is due: a dead endpoint delays nobody else's."""

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
    """`attempt` is called with the id of each delivery added, once its `due` (seconds since 1970) has come."""

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
        """Start what is due; returns the seconds until the next one is, None for no such time."""
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
