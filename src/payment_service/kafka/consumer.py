"""A Kafka consumer for orders, in a thread of its own.

It passes each batch to the event loop and commits the offsets only after the batch was accepted. Nothing is in flight
between two polls, so a rebalance never interrupts a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import asdict, replace
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Message, TopicPartition

from payment_service.contracts.dead_letters import dead_letter
from payment_service.contracts.incoming import decode
from payment_service.contracts.records import ORDERS_CREATED
from payment_service.crash_points import reached
from payment_service.domain.order import Rejected
from payment_service.flows.intake.records import InboundRecord
from payment_service.kafka.broker_status import BrokerStatus
from payment_service.kafka.positions import PartitionKey, Positions, Restarted, Skipped, Watermarks
from payment_service.loop import ERROR_PAUSE_MAX_S, ERROR_PAUSE_MIN_S
from payment_service.rate_limiter import RateLimiter
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from payment_service.config.config import Config

    Accept: TypeAlias = Callable[[Sequence[InboundRecord]], Awaitable[None]]

log = structlog.get_logger(__name__)

BATCH_RECORDS: Final = 500  # one transaction of some tens of milliseconds
POLL_S: Final = 0.1  # maximum delay before an idle consumer notices a stop
STALL_S: Final = 30.0  # no progress for this long while records wait means that the consumer hangs
RECREATION_PAUSE_S: Final = 2.0
LOG_INTERVAL_S: Final = 60.0  # how often the same error is logged
LAG_INTERVAL_S: Final = 1.0
COMMITTED_TIMEOUT_S: Final = 2.0
# Prefetch limit in bytes: enough for several batches, and a bound on memory for records of any size.
PREFETCH_KBYTES: Final = 16_384
PREFETCH_RECORDS: Final = 2_000
FETCH_LIMIT_BYTES: Final = 8_388_608
METADATA_INTERVAL_MS: Final = 30_000  # a new partition is read within a minute
CLOSE_S: Final = 2.0
SOCKET_TIMEOUT_MS: Final = 10_000  # a hanging broker must not delay a stop for a minute
RECONNECT_MAX_MS: Final = 1_000
LIBRARY_LOG_LEVEL: Final = 2  # the error callback reports what matters, once

# For a header whose name is not UTF-8, `Message.headers` returns a broken list *and* sets an error. A specialized plain
# call of CPython does not notice that: the error surfaces later, or the process crashes. A call through `methodcaller`
# does notice.
_call_headers: Final = methodcaller("headers")


class _RestartConsumerError(Exception):
    """This consumer cannot continue; a new one starts at the committed offsets."""


class OrderConsumer:
    """A member of the consumer group. `accept` runs in `loop` and returns once every record of the batch is durable."""

    def __init__(
        self,
        config: Config,
        accept: Accept,
        loop: asyncio.AbstractEventLoop,
        *,
        topics: Sequence[str] = (ORDERS_CREATED,),
        broker_status: BrokerStatus | None = None,
    ) -> None:
        self._config = config
        self._broker_status = broker_status or BrokerStatus()
        self._accept = accept
        self._loop = loop
        self._topics = list(topics)
        for topic in topics:
            metrics.RECORDS_READ.labels(topic)  # from 0, so that an alert sees the first increase
        self._stopping = threading.Event()
        self._abandoned = threading.Event()
        self._positions = Positions(self._watermarks)
        self._ends: dict[PartitionKey, int] = {}  # ends that the client reached with the records of the last poll
        self._consumer: Consumer | None = None
        self._lag: dict[PartitionKey, int] = {}
        self._lag_at = 0.0
        self._progress_at = time.monotonic()
        self._log_limiter = RateLimiter(burst=1, every_s=LOG_INTERVAL_S)
        self._thread = threading.Thread(target=self._run, name="order-consumer", daemon=True)

    def start(self) -> None:
        """Join the group."""
        self._progress_at = time.monotonic()
        self._thread.start()

    def stop(self, grace_s: float = 10.0) -> None:
        """Stop polling, finish and commit the current batch, and leave the group.

        A batch that is not accepted within `grace_s` is abandoned without a commit and is read again. This call blocks:
        do not use it in the event loop.
        """
        self._stopping.set()
        if not self._thread.is_alive():
            return
        self._thread.join(grace_s)
        if self._thread.is_alive():
            self._abandoned.set()
            self._thread.join(CLOSE_S)

    def positions(self) -> Mapping[PartitionKey, int]:
        """Return the next offset of each assigned partition; -1 if nothing was read yet."""
        return self._positions.current()

    def alive(self) -> bool:
        """Return False if the thread has ended, or if records wait without progress for `STALL_S`."""
        return self._thread.is_alive() and time.monotonic() - self._progress_at < STALL_S

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._consume()
            except Exception as error:  # noqa: BLE001 - a thread that died would leave orders unread, silently
                log.error("consumer_failed", error=type(error).__name__, detail=str(error)[:300])
                self._stopping.wait(RECREATION_PAUSE_S)

    def _consume(self) -> None:
        consumer = self._consumer = Consumer(self._settings(), logger=logging.getLogger("librdkafka"))
        try:
            consumer.subscribe(
                self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            pause_s = ERROR_PAUSE_MIN_S
            while not self._stopping.is_set():
                batch = self._poll(consumer)
                accepted = not batch or self._process(consumer, batch)
                self._advance(consumer, batch if accepted else [])
                self._update_lag(consumer)
                if not accepted:
                    self._stopping.wait(pause_s)
                    pause_s = min(pause_s * 2, ERROR_PAUSE_MAX_S)
                    continue
                pause_s = ERROR_PAUSE_MIN_S
                if batch or not any(self._lag.values()):
                    self._progress_at = time.monotonic()
        finally:
            consumer.close()
            self._drop_partitions(list(self._positions.current()))

    def _poll(self, consumer: Consumer) -> list[InboundRecord]:
        # Wait for one record, then take those already fetched: a single `consume` would wait until the batch is full.
        messages = consumer.consume(num_messages=1, timeout=POLL_S)
        if messages:
            messages += consumer.consume(num_messages=BATCH_RECORDS - 1, timeout=0)
        inbound = []
        for message in messages:
            if (error := message.error()) is None:
                self._broker_status.record_success()
                inbound.append(_inbound_record(message, self._config))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
                self._ends[message.topic() or "", message.partition() or 0] = message.offset() or 0
            else:
                self._handle_error(error)
        return inbound

    def _handle_error(self, error: KafkaError) -> None:
        if error.fatal():
            raise KafkaException(error)
        self._broker_status.record_error(error)
        self._log_limited("consumer_error", reason=error.name(), detail=error.str()[:300])

    def _process(self, consumer: Consumer, batch: Sequence[InboundRecord]) -> bool:
        """Accept a batch. Return False if it was not accepted; it is then read again."""
        try:
            self._wait_until_accepted(batch)
        except Exception as error:  # noqa: BLE001 - whatever it was, the records are not safe yet: they are read again
            self._log_limited(
                "batch_not_accepted", records=len(batch), error=type(error).__name__, detail=str(error)[:300]
            )
            self._rewind(consumer, batch)
            return False
        return True

    def _wait_until_accepted(self, batch: Sequence[InboundRecord]) -> None:
        future = asyncio.run_coroutine_threadsafe(_call(self._accept, batch), self._loop)
        while not self._abandoned.is_set():
            try:
                return future.result(timeout=POLL_S)
            except TimeoutError:
                if future.done():  # `accept` itself raised it
                    raise
        future.cancel()
        message = "The batch was not accepted within the grace period."
        raise _RestartConsumerError(message)

    def _rewind(self, consumer: Consumer, batch: Sequence[InboundRecord]) -> None:
        assigned = self._positions.current()
        for (topic, partition), offset in _first_offsets(batch).items():
            self._ends.pop((topic, partition), None)  # reached again after the records
            if (topic, partition) not in assigned:
                continue
            try:
                consumer.seek(TopicPartition(topic, partition, offset))
            except KafkaException as error:
                # Continuing here would skip records that were not accepted.
                message = f"Cannot seek to offset {offset} of {topic}-{partition}: {error}"
                raise _RestartConsumerError(message) from error

    def _advance(self, consumer: Consumer, accepted: Sequence[InboundRecord]) -> None:
        """Move past the accepted records and the reached ends, report what was skipped, and commit."""
        before = self._positions.current()
        read: dict[PartitionKey, list[int]] = {partition: [] for partition in self._ends}
        for record in accepted:
            read.setdefault((record.topic, record.partition), []).append(record.offset)
            metrics.RECORDS_READ.labels(record.topic).inc()
        for partition, offsets in read.items():
            for finding in self._positions.advance(partition, offsets, self._ends.get(partition)):
                _report(finding)
        self._ends.clear()
        moved = {
            partition: offset
            for partition, offset in self._positions.current().items()
            if partition in read and offset != before[partition] and offset > 0
        }
        if moved:
            self._commit(consumer, moved)

    def _commit(self, consumer: Consumer, offsets: Mapping[PartitionKey, int]) -> None:
        reached("offset_commit.before")
        try:
            consumer.commit(
                offsets=[TopicPartition(*partition, offset) for partition, offset in offsets.items()],
                asynchronous=False,
            )
        except KafkaException as error:
            # The records are durable. At worst they are read again, here or by the partition's new owner, and
            # change nothing.
            log.warning("offsets_not_committed", detail=str(error)[:300])
        reached("offset_commit.after")

    def _watermarks(self, partition: PartitionKey) -> Watermarks:
        """Return those of the last fetch, without a request."""
        assert self._consumer is not None  # noqa: S101 - partitions are assigned to a consumer
        low, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        return low, high

    def _update_lag(self, consumer: Consumer) -> None:
        now = time.monotonic()
        if now - self._lag_at < LAG_INTERVAL_S:
            return
        self._lag_at = now
        self._load_committed_offsets(consumer)
        for partition in self._positions.current():
            lag = self._positions.lag(partition)
            if lag is not None:
                self._lag[partition] = lag
            metrics.CONSUMER_LAG.labels(partition[0], str(partition[1])).set(-1 if lag is None else lag)

    def _load_committed_offsets(self, consumer: Consumer) -> None:
        """Load the committed offsets of partitions without a position."""
        unknown = [TopicPartition(*partition) for partition in self._positions.unknown()]
        if not unknown:
            return
        with contextlib.suppress(KafkaException):
            for found in consumer.committed(unknown, timeout=COMMITTED_TIMEOUT_S):
                self._positions.load((found.topic, found.partition), found.offset)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._positions.assign((p.topic, p.partition) for p in partitions)
        # Before the first record: it shows whether records were deleted since the last commit.
        self._load_committed_offsets(consumer)
        self._lag_at = 0.0
        self._broker_status.record_success()
        log.info("partitions_assigned", partitions=_names(partitions))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop_partitions([(p.topic, p.partition) for p in partitions])
        log.info("partitions_revoked", partitions=_names(partitions))

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop_partitions([(p.topic, p.partition) for p in partitions])
        log.warning("partitions_lost", partitions=_names(partitions))

    def _drop_partitions(self, partitions: Sequence[PartitionKey]) -> None:
        for partition in partitions:
            self._positions.drop(partition)
            self._ends.pop(partition, None)
            self._lag.pop(partition, None)
            with contextlib.suppress(KeyError):
                metrics.CONSUMER_LAG.remove(partition[0], str(partition[1]))

    def _log_limited(self, event: str, **facts: object) -> None:
        if self._log_limiter.allows(f"{event}:{facts.get('reason') or facts.get('error')}"):
            log.error(event, **facts)

    def _on_error(self, error: KafkaError) -> None:
        self._broker_status.record_error(error)
        if not error.fatal():
            self._log_limited("consumer_error", reason=error.name(), detail=error.str()[:300])

    def _settings(self) -> dict[str, Any]:
        session_ms = self._config.kafka_session_timeout_ms
        return {
            **self._config.kafka_properties,
            "bootstrap.servers": self._config.kafka_brokers,
            "client.id": self._config.kafka_client_id,
            "group.id": self._config.kafka_group_id,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,  # offsets have gaps, so only the client knows when all is read
            "partition.assignment.strategy": "cooperative-sticky",
            "topic.metadata.refresh.interval.ms": METADATA_INTERVAL_MS,
            "session.timeout.ms": session_ms,
            "heartbeat.interval.ms": min(3_000, session_ms // 3),
            "check.crcs": True,
            "fetch.wait.max.ms": 100,
            "fetch.max.bytes": FETCH_LIMIT_BYTES,
            "queued.min.messages": PREFETCH_RECORDS,
            "queued.max.messages.kbytes": PREFETCH_KBYTES,
            "socket.timeout.ms": SOCKET_TIMEOUT_MS,
            "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
            "log_level": LIBRARY_LOG_LEVEL,
            "error_cb": self._on_error,
        }


async def _call(accept: Accept, batch: Sequence[InboundRecord]) -> None:
    await accept(batch)


def _inbound_record(message: Message, config: Config) -> InboundRecord:
    """Decode a record, and build its dead letter if it is rejected: both before a transaction is open."""
    kind, timestamp_ms = message.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE:
        timestamp_ms = -1
    topic, value = message.topic() or "", _bytes(message.value())
    decoded = decode(
        topic,
        value,
        timestamp_ms=timestamp_ms,
        amount_minor_max=config.max_amount_minor,
        card_like_ids=config.allow_card_like_ids,
    )
    inbound_record = InboundRecord(
        topic=topic,
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=timestamp_ms,
        key=_bytes(message.key()),
        value=value,
        headers=_headers(message),
        decoded=decoded,
    )
    if isinstance(decoded, Rejected):
        return replace(inbound_record, letter=dead_letter(inbound_record, decoded))
    return inbound_record


def _headers(message: Message) -> tuple[tuple[str, bytes | None], ...]:
    try:
        headers: Any = _call_headers(message) or []
    except (UnicodeDecodeError, SystemError):
        # The client cannot return headers if one name is not UTF-8; the order is valid without them.
        return ()
    return tuple((name, _bytes(value)) for name, value in headers)


def _bytes(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()


def _first_offsets(batch: Sequence[InboundRecord]) -> dict[PartitionKey, int]:
    return {(a.topic, a.partition): a.offset for a in reversed(batch)}


def _report(finding: Skipped | Restarted) -> None:
    if isinstance(finding, Restarted):
        log.warning("partition_restarted", **asdict(finding))
        return
    metrics.SKIPPED_RECORDS.labels(finding.topic, str(finding.partition)).inc(finding.count)
    log.error("records_skipped", **asdict(finding), reason="the broker deleted them before they were read")


def _names(partitions: Sequence[TopicPartition]) -> list[str]:
    return [f"{p.topic}-{p.partition}" for p in partitions]
