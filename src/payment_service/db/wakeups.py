"""Signals between processes: a process that wrote work for another wakes it, so that it need not look often.

A signal is only a hint. Whatever it reports is also found by looking, a second or two later. So a lost connection, or a pooler that
delivers no notifications, delays and loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import structlog

from payment_service.db.pool import CLOSE_TIMEOUT_S, TRANSIENT_ERRORS, open_session
from payment_service.db.queries import load
from payment_service.rate_limiter import RateLimiter
from payment_service.telemetry.errors import describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from payment_service.config.config import DatabaseSettings

log = structlog.get_logger(__name__)

CHANNEL: Final = "payment_service"
RELAY: Final = "relay"
DISPATCH: Final = "dispatch"
CANCELLATIONS: Final = "cancellations"
# Signals within this time are sent together: at most a hundred statements per second, and a delay that nobody notices.
COLLECT_S: Final = 0.01
RECONNECT_PAUSE_S: Final = 5.0
LOG_INTERVAL_S: Final = 60.0

_SQL = load(__package__, "wakeups.sql")


class Wakeups:
    """Sends signals, and calls `received[name]` for each that another process sent. It has a connection of its own."""

    def __init__(self, config: DatabaseSettings, received: Mapping[str, Callable[[], None]]) -> None:
        self._config = config
        self._received = received
        self._unsent: set[str] = set()
        self._signal = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._logged = RateLimiter(burst=1, every_s=LOG_INTERVAL_S)

    def start(self) -> None:
        """Connect, in a task."""
        self._task = asyncio.create_task(self._run(), name="wakeups")

    async def stop(self) -> None:
        """Disconnect. Unsent signals are lost: the other processes look for themselves."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def send(self, name: str) -> None:
        """Wake the other processes, soon."""
        self._unsent.add(name)
        self._signal.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except TRANSIENT_ERRORS as error:
                if self._logged.allows("wakeups"):
                    log.warning("wakeups_interrupted", error=describe_error(error), retry_in_s=RECONNECT_PAUSE_S)
            await asyncio.sleep(RECONNECT_PAUSE_S)

    async def _serve(self) -> None:
        connection: Any = await open_session(self._config, "payment-service-wakeups")
        try:
            connection.add_termination_listener(lambda _connection: self._signal.set())
            await connection.add_listener(CHANNEL, self._receive)
            for wake in self._received.values():
                wake()  # for what was sent before we listened
            while not connection.is_closed():
                await self._signal.wait()
                self._signal.clear()
                await asyncio.sleep(COLLECT_S)
                if self._unsent and not connection.is_closed():
                    names, self._unsent = sorted(self._unsent), set()
                    await connection.execute(_SQL.send, CHANNEL, names)
        finally:
            with contextlib.suppress(*TRANSIENT_ERRORS):
                await connection.close(timeout=CLOSE_TIMEOUT_S)

    def _receive(self, connection: Any, sender_pid: int, _channel: str, name: str) -> None:
        wake = self._received.get(name)
        if wake is not None and sender_pid != connection.get_server_pid():
            wake()
