"""Pass batches from the consumer's thread to the event loop, and wait until they are durable."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from payment_service.loop import ERROR_PAUSE_MAX_S
from payment_service.rate_limiter import RateLimiter
from payment_service.telemetry.errors import error_fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from payment_service.contracts.incoming import InboundRecord

    Accept: TypeAlias = Callable[[Sequence[InboundRecord]], Awaitable[None]]

log = structlog.get_logger(__name__)

CHECK_S: Final = 0.1  # maximum delay before an abandoned batch is noticed
LOG_INTERVAL_S: Final = 60.0  # how often the same error is logged


class RestartConsumerError(Exception):
    """The consumer cannot continue; a new one starts at the committed offsets."""


class Acceptor:
    """Calls `accept` in `loop`. `stopping` ends repetitions."""

    def __init__(self, accept: Accept, loop: asyncio.AbstractEventLoop, stopping: threading.Event) -> None:
        self._accept = accept
        self._loop = loop
        self._stopping = stopping
        self._abandoned = threading.Event()
        self._log_limiter = RateLimiter(burst=1, every_s=LOG_INTERVAL_S)

    def abandon(self) -> None:
        """Do not wait for the current batch any more. It is read again."""
        self._abandoned.set()

    def accepts(self, batch: Sequence[InboundRecord]) -> bool:
        """Return whether a batch is durable now. Raise RestartConsumerError if it was abandoned."""
        try:
            self._wait_until_accepted(batch)
        except RestartConsumerError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the records are not safe yet: they are read again
            kind = type(error).__name__
            if self._log_limiter.allows(kind):
                log.error("batch_not_accepted", records=len(batch), **error_fields(error))
            return False
        return True

    def accept_until_stopped(self, batch: Sequence[InboundRecord]) -> None:
        """Wait until a batch is durable. Raise RestartConsumerError if the consumer stops before."""
        while batch and not self.accepts(batch):
            if self._stopping.wait(ERROR_PAUSE_MAX_S):
                message = "The records are read again after the next start."
                raise RestartConsumerError(message)

    def _wait_until_accepted(self, batch: Sequence[InboundRecord]) -> None:
        future = asyncio.run_coroutine_threadsafe(_call(self._accept, batch), self._loop)
        while not self._abandoned.is_set():
            try:
                return future.result(timeout=CHECK_S)
            except TimeoutError:
                if future.done():  # `accept` itself raised it
                    raise
        future.cancel()
        message = "The batch was not accepted within the grace period."
        raise RestartConsumerError(message)


async def _call(accept: Accept, batch: Sequence[InboundRecord]) -> None:
    await accept(batch)
