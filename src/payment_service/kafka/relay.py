"""From the outbox to Kafka: each record at least once, those of a payment one after another.

Order: of each payment at most one record is unacknowledged, so neither a time-out in the producer's queue, nor a duplicate,
nor a predecessor that was stopped and goes on can put a later record before an earlier one; a record can only be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol

import asyncpg
import structlog

from payment_service.kafka.lease import RENEWAL_INTERVAL_S, TAKING_INTERVAL_S, Lease, boot_clock
from payment_service.kafka.producer import Producer, RecordProducer
from payment_service.kafka.publication import LeaseLostError, Publication
from payment_service.loop import ERROR_PAUSE_MAX_S, ERROR_PAUSE_MIN_S, INTERVAL_MAX_S, INTERVAL_MIN_S
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from payment_service.config.config import Config
    from payment_service.db.pool import Pool

log = structlog.get_logger(__name__)

PROBE_INTERVAL_S: Final = 5.0  # how often a topic that refused records is tried with one
RECREATION_PAUSE_S: Final = 1.0  # between a producer that failed and the next
_DATABASE_ERRORS: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class MakeProducer(Protocol):
    """Opens a producer; `notify` is to be called in `loop` when it has reports."""

    def __call__(
        self, config: Config, *, loop: asyncio.AbstractEventLoop, notify: Callable[[], None]
    ) -> RecordProducer:
        """Open it."""


class Relay:
    """Publishes while it holds the lease, and tries to take it otherwise."""

    def __init__(
        self,
        config: Config,
        pool: Pool,
        *,
        clock: Callable[[], float] = boot_clock,
        make_producer: MakeProducer = Producer,
        probe_interval_s: float = PROBE_INTERVAL_S,
    ) -> None:
        self._config = config
        self._pool = pool
        self._clock = clock
        self._make_producer = make_producer
        self._probe_interval_s = probe_interval_s
        self._lease = Lease(pool, clock=clock)
        self._signal = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def leads(self) -> bool:
        """Whether this one publishes."""
        return self._lease.held

    async def start(self) -> None:
        """Begin in a task of its own."""
        self._task = asyncio.create_task(self._run(), name="relay")

    def wake(self) -> None:
        """Say that records were written; the relay looks without waiting for its interval."""
        self._signal.set()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Send nothing new, wait up to `grace_s` for what is on its way, mark it, and let a successor take over at once."""
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
                log.error("relay_failed", error=type(error).__name__, detail=str(error)[:300], retry_in_s=pause_s)
                await self._pause(pause_s)
                pause_s = min(pause_s * 2, ERROR_PAUSE_MAX_S)

    async def _lead(self) -> None:
        log.info("relay_leads", epoch=self._lease.fence.epoch)
        metrics.RELAY_LEADER.set(1)
        renewal = asyncio.create_task(self._renew(), name="relay-lease")
        publication = Publication(self._pool, self._lease, clock=self._clock)
        try:
            while self._goes_on(publication):
                await self._publish(publication)
        except LeaseLostError:
            self._lease.lose()
        finally:
            metrics.RELAY_LEADER.set(0)
            renewal.cancel()
            await self._retire()

    def _goes_on(self, publication: Publication) -> bool:
        return self._lease.held and not (self._stopping.is_set() and publication.settled)

    async def _publish(self, publication: Publication) -> None:
        """Publish with one producer until it fails, the lease is lost, or we are stopped and all is settled."""
        producer = self._make_producer(self._config, loop=asyncio.get_running_loop(), notify=self._signal.set)
        try:
            await self._publish_with(producer, publication)
        finally:
            await producer.close()
            publication.recall()
        if producer.failed:
            await self._pause(RECREATION_PAUSE_S)

    async def _publish_with(self, producer: RecordProducer, publication: Publication) -> None:
        interval_s, error_pause_s, probe_at = INTERVAL_MIN_S, ERROR_PAUSE_MIN_S, 0.0
        while self._goes_on(publication) and not producer.failed:
            self._signal.clear()
            try:
                if self._clock() >= probe_at:
                    await publication.probe()
                    probe_at = self._clock() + self._probe_interval_s
                busy = await publication.round(producer, sending=not self._stopping.is_set())
            except _DATABASE_ERRORS as error:
                # What is in hand stays in hand: acknowledged records are marked when the database is back.
                log.warning("relay_database_error", error=type(error).__name__, detail=str(error)[:300])
                await asyncio.sleep(error_pause_s)
                error_pause_s = min(error_pause_s * 2, ERROR_PAUSE_MAX_S)
                continue
            error_pause_s = ERROR_PAUSE_MIN_S
            interval_s = INTERVAL_MIN_S if busy else min(interval_s * 2, INTERVAL_MAX_S)
            await _wait(self._signal, interval_s)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL_INTERVAL_S)
            try:
                async with asyncio.timeout(RENEWAL_INTERVAL_S):
                    if not await self._lease.renew():
                        self._signal.set()
                        return
            except _DATABASE_ERRORS as error:
                log.warning("relay_lease_not_renewed", error=type(error).__name__, detail=str(error)[:300])

    async def _retire(self) -> None:
        log.info("relay_retires", lease_lost=not self._lease.held)
        try:
            await self._lease.release()
        except _DATABASE_ERRORS:
            self._lease.lose()

    async def _pause(self, seconds: float) -> None:
        await _wait(self._stopping, seconds)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
