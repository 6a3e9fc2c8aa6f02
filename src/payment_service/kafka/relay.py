"""The relay publishes the outbox to Kafka: each record at least once, and those of a payment in order.

At most one record of each payment is unacknowledged. So a producer time-out, a duplicate or a stopped predecessor that
resumes can only repeat a record, never reorder two.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import asyncpg
import structlog

from payment_service.db.clock import steady_s
from payment_service.kafka.lease import RENEWAL_INTERVAL_S, TAKING_INTERVAL_S, Lease
from payment_service.kafka.producer import Producer, RecordProducer
from payment_service.kafka.publication import LeaseLostError, Publication
from payment_service.loop import ERROR_PAUSE_MAX_S, ERROR_PAUSE_MIN_S
from payment_service.telemetry import metrics
from payment_service.telemetry.errors import describe_error, error_fields

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from payment_service.config.config import Config
    from payment_service.db.pool import Pool

log = structlog.get_logger(__name__)

PROBE_INTERVAL_S: Final = 5.0  # how often a topic that refused records is probed with one record
# Signals and renewals of the lease report new records. A look without them finds what an operator publishes again.
IDLE_INTERVAL_S: Final = 5.0
# Signals that come more often share a round: a fetch, a mark and its commit. A record waits at most this much longer.
ROUNDS_APART_S: Final = 0.02
BUSY_INTERVAL_S: Final = 0.1  # until the first look without a signal, which then doubles
RECREATION_PAUSE_S: Final = 1.0  # between a failed producer and the next
_DATABASE_ERRORS: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class MakeProducer(Protocol):
    """Opens a producer that calls `notify` in `loop` when it has reports."""

    def __call__(
        self,
        config: Config,
        *,
        loop: asyncio.AbstractEventLoop,
        notify: Callable[[], None],
        now: Callable[[], datetime],
    ) -> RecordProducer:
        """Open a producer."""


class Relay:
    """Publishes while it holds the lease; otherwise tries to take the lease."""

    def __init__(
        self,
        config: Config,
        pool: Pool,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float] = steady_s,
        make_producer: MakeProducer = Producer,
        probe_interval_s: float = PROBE_INTERVAL_S,
    ) -> None:
        self._config = config
        self._pool = pool
        self._now = now
        self._clock = clock
        self._make_producer = make_producer
        self._probe_interval_s = probe_interval_s
        self._lease = Lease(pool, clock=clock)
        self._signal = asyncio.Event()
        self._woken = True
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def leads(self) -> bool:
        """Return True while this relay publishes."""
        return self._lease.held

    async def start(self) -> None:
        """Start in a task of its own."""
        self._task = asyncio.create_task(self._run(), name="relay")

    def wake(self) -> None:
        """Signal that records were written, so that the relay does not wait for its interval."""
        self._woken = True
        self._signal.set()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Send nothing new, wait up to `grace_s` for acknowledgements, mark them, and release the lease."""
        self._stopping.set()
        self._signal.set()
        if self._task is None:
            return
        done, _ = await asyncio.wait([self._task], timeout=grace_s)
        if not done:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        pause_s = ERROR_PAUSE_MIN_S
        while not self._stopping.is_set():
            try:
                if await self._lease.take():
                    await self._lead()
                await self._pause(TAKING_INTERVAL_S)
                pause_s = ERROR_PAUSE_MIN_S
            except Exception as error:  # noqa: BLE001 - the relay outlives every error, and says so
                log.error("relay_failed", retry_in_s=pause_s, **error_fields(error))
                await self._pause(pause_s)
                pause_s = min(pause_s * 2, ERROR_PAUSE_MAX_S)

    async def _lead(self) -> None:
        log.info("relay_started_leading", epoch=self._lease.fence.epoch)
        metrics.RELAY_LEADER.set(1)
        renewal = asyncio.create_task(self._renew(), name="relay-lease")
        publication = Publication(self._pool, self._lease, clock=self._clock)
        try:
            while self._active(publication):
                await self._publish(publication)
        except LeaseLostError:
            self._lease.lose()
        finally:
            metrics.RELAY_LEADER.set(0)
            renewal.cancel()
            await self._step_down()

    def _active(self, publication: Publication) -> bool:
        return self._lease.held and not (self._stopping.is_set() and publication.drained)

    async def _publish(self, publication: Publication) -> None:
        """Publish with one producer until it fails, the lease is lost, or a stop has drained all records."""
        loop = asyncio.get_running_loop()
        producer = self._make_producer(self._config, loop=loop, notify=self._signal.set, now=self._now)
        try:
            await self._publish_with(producer, publication)
        finally:
            await producer.close()
            publication.recall()
        if producer.failed:
            await self._pause(RECREATION_PAUSE_S)

    async def _publish_with(self, producer: RecordProducer, publication: Publication) -> None:
        interval_s, error_pause_s, probe_at = BUSY_INTERVAL_S, ERROR_PAUSE_MIN_S, 0.0
        self._woken = True
        while self._active(publication) and not producer.failed:
            self._signal.clear()
            began_s, fetching, self._woken = self._clock(), self._woken, False
            try:
                if self._clock() >= probe_at:
                    await publication.probe()
                    probe_at = self._clock() + self._probe_interval_s
                busy = await publication.round(producer, sending=not self._stopping.is_set(), fetching=fetching)
            except _DATABASE_ERRORS as error:
                # Keep acknowledged records and mark them when the database answers again.
                log.warning("relay_database_error", error=describe_error(error))
                self._woken = True
                await asyncio.sleep(error_pause_s)
                error_pause_s = min(error_pause_s * 2, ERROR_PAUSE_MAX_S)
                continue
            error_pause_s = ERROR_PAUSE_MIN_S
            interval_s = BUSY_INTERVAL_S if busy else min(interval_s * 2, IDLE_INTERVAL_S, self._probe_interval_s)
            if not await _wait(self._signal, interval_s):
                self._woken = True
            await _wait(self._stopping, began_s + ROUNDS_APART_S - self._clock())

    async def _renew(self) -> None:
        # A record may be committed after the renewal that saw its position, so the one after it looks again.
        seen: deque[int] = deque(maxlen=2)
        while True:
            await asyncio.sleep(RENEWAL_INTERVAL_S)
            try:
                async with asyncio.timeout(RENEWAL_INTERVAL_S):
                    drawn = await self._lease.renew()
                if drawn is None:
                    self._signal.set()
                    return
                if list(seen) != [drawn, drawn]:
                    self.wake()
                seen.append(drawn)
            except _DATABASE_ERRORS as error:
                log.warning("relay_lease_not_renewed", error=describe_error(error))

    async def _step_down(self) -> None:
        log.info("relay_stopped_leading", lease_lost=not self._lease.held)
        try:
            await self._lease.release()
        except _DATABASE_ERRORS:
            self._lease.lose()

    async def _pause(self, seconds: float) -> None:
        await _wait(self._stopping, seconds)


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Return whether the event was set within this time."""
    if seconds > 0 and not event.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
    return event.is_set()
