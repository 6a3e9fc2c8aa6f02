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
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from payment_service.contracts.records import ORDERS_CREATED
from payment_service.crash_points import reached
from payment_service.kafka.acceptor import LOG_INTERVAL_S, Acceptor, RestartConsumerError
from payment_service.kafka.broker_status import BrokerStatus
from payment_service.kafka.consumer_settings import UNREADABLE, member_settings
from payment_service.kafka.inbound import Decoder
from payment_service.kafka.isolated_reads import BATCH_RECORDS, RECORDS_MAX, IsolatedReads
from payment_service.kafka.positions import PartitionKey, Positions, Restarted, Skipped, Watermarks
from payment_service.kafka.topic_ids import TopicIds
from payment_service.loop import ERROR_PAUSE_MAX_S, ERROR_PAUSE_MIN_S
from payment_service.rate_limiter import LineFolder
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payment_service.config.config import Config
    from payment_service.contracts.incoming import InboundRecord
    from payment_service.kafka.acceptor import Accept
    from payment_service.kafka.reader_marks import ReaderMarks

log = structlog.get_logger(__name__)

POLL_S: Final = 0.2  # maximum delay before a consumer notices a stop
# Orders that keep coming share a commit. An order after a pause does not wait, nor does a full batch.
BATCHES_APART_S: Final = 0.1
STALL_S: Final = 30.0  # no progress for this long while records wait means that the consumer hangs
RECREATION_PAUSE_S: Final = 2.0
LAG_INTERVAL_S: Final = 1.0
COMMITTED_TIMEOUT_S: Final = 2.0
CLOSE_S: Final = 2.0


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
        marks: ReaderMarks | None = None,
    ) -> None:
        self._config = config
        self._decoder = Decoder.of(config)
        self._marks = marks
        self._topic_ids = TopicIds(config, topics)
        self._ids: dict[str, str] = {}  # of the topics to which the positions belong
        self._failed = False  # by an unknown record, perhaps
        self._replaced: set[PartitionKey] = set()  # their committed offset is of another topic
        self._queried: dict[PartitionKey, Watermarks] = {}
        self._unreadable: set[PartitionKey] = set()  # partitions at a batch that the client cannot read
        self._broker_status = broker_status or BrokerStatus()
        self._topics = list(topics)
        for topic in topics:
            metrics.RECORDS_READ.labels(topic)  # from 0, so that an alert sees the first increase
        self._stopping = threading.Event()
        self._acceptor = Acceptor(accept, loop, self._stopping)
        self._positions = Positions(self._watermarks)
        self._ends: dict[PartitionKey, int] = {}  # ends that the client reached with the records of the last poll
        self._held: dict[PartitionKey, int] = {}  # the last ends; an open transaction holds what is behind them
        self._consumer: Consumer | None = None
        self._lag: dict[PartitionKey, int] = {}
        self._lag_at = 0.0
        self._batch_at = 0.0
        self._progress_at = time.monotonic()
        self._lines = LineFolder(every_s=LOG_INTERVAL_S)
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
            self._acceptor.abandon()
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
                self._failed = not isinstance(error, (RestartConsumerError, KafkaException))
                log.error("consumer_failed", error=type(error).__name__, detail=str(error)[:300])
                self._stopping.wait(RECREATION_PAUSE_S)

    def _consume(self) -> None:
        consumer = self._consumer = Consumer(
            member_settings(self._config, self._on_error), logger=logging.getLogger("librdkafka")
        )
        try:
            consumer.subscribe(
                self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            pause_s = ERROR_PAUSE_MIN_S
            while not self._stopping.is_set():
                batch = self._poll(consumer)
                accepted = not batch or self._process(consumer, batch)
                if batch or self._ends:
                    self._advance(consumer, batch if accepted else [])
                self._update_lag(consumer)
                self._pass_unreadable(consumer)
                self._apply_topic_ids(consumer, self._topic_ids.poll())
                if not accepted:
                    self._stopping.wait(pause_s)
                    pause_s = min(pause_s * 2, ERROR_PAUSE_MAX_S)
                    continue
                pause_s = ERROR_PAUSE_MIN_S
                if batch or self._all_read():
                    self._progress_at = time.monotonic()
        finally:
            consumer.close()
            self._drop_partitions(list(self._positions.current()))

    def _all_read(self) -> bool:
        """Return whether each partition is read to the end that the client may read; a transaction can hold the rest."""
        positions = self._positions.current()
        return all(not lag or self._held.get(one) == positions.get(one) for one, lag in self._lag.items())

    def _poll(self, consumer: Consumer) -> list[InboundRecord]:
        # Wait for one record, then take those already fetched. While orders keep coming, wait until the batches are apart.
        messages = consumer.consume(num_messages=1, timeout=POLL_S)
        if messages:
            rest_s = max(0.0, self._batch_at + BATCHES_APART_S - time.monotonic())
            messages += consumer.consume(num_messages=BATCH_RECORDS - 1, timeout=rest_s)
            self._batch_at = time.monotonic()
        inbound = []
        for message in messages:
            partition = (message.topic() or "", message.partition() or 0)
            if partition in self._unreadable:
                continue  # read again behind the unreadable batch
            if (error := message.error()) is None:
                self._broker_status.record_success()
                self._ends.pop(partition, None)  # a record behind it was written since
                inbound.append(self._decoder.inbound_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
                self._ends[partition] = self._held[partition] = message.offset() or 0
            elif error.code() in UNREADABLE:
                self._unreadable.add(partition)
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
        accepted = self._acceptor.accepts(batch)
        if not accepted:
            self._rewind(consumer, batch)
        return accepted

    def _pass_unreadable(self, consumer: Consumer) -> None:
        """Read on behind the batches that the client cannot read."""
        while self._unreadable:
            partition = self._unreadable.pop()
            offset = self._read_isolated(consumer, partition)
            if offset is not None:
                self._seek(consumer, partition, offset)

    def _apply_topic_ids(self, consumer: Consumer, ids: Mapping[str, str]) -> None:
        """Read a topic that was created again from its first record: a position in the old one may skip records."""
        for topic, current in ids.items():
            if self._ids.get(topic, current) != current:
                for partition in [one for one in self._positions.current() if one[0] == topic]:
                    self._ignore_position(partition, self._positions.current()[partition])
                    self._positions.restart(partition)
                    self._seek(consumer, partition, OFFSET_BEGINNING)
            self._ids[topic] = current

    def _ignore_position(self, partition: PartitionKey, position: int) -> None:
        if partition not in self._replaced:
            self._replaced.add(partition)
            metrics.REPLACED_PARTITIONS.labels(partition[0], str(partition[1])).inc()
            log.warning("topic_replaced", partition=_name(partition), position=position)

    def _read_isolated(self, consumer: Consumer, partition: PartitionKey) -> int | None:
        """Accept the next records of a partition from a process of their own. Return the next offset, None if unknown."""
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(*partition), timeout=COMMITTED_TIMEOUT_S)
        except KafkaException as error:
            self._handle_error(error.args[0])
            return None
        self._queried[partition] = (low, high)
        start = max(self._positions.current()[partition], low)
        self._move(partition, [], start)
        position = start
        batch: list[InboundRecord] = []
        reads = IsolatedReads(self._config, *partition, topic_id=self._ids.get(partition[0], ""))
        for record, following in reads.read(start, start + RECORDS_MAX):
            position = following
            self._progress_at = time.monotonic()
            batch += [] if record is None else [record]
            if len(batch) == BATCH_RECORDS:
                self._acceptor.accept_until_stopped(batch)
                batch = []
        self._acceptor.accept_until_stopped(batch)
        self._move(partition, [], position)
        log.warning("partition_read_in_isolation", partition=_name(partition), first=start, following=position)
        if position != start:
            self._commit(consumer, {partition: position})
        return position

    def _rewind(self, consumer: Consumer, batch: Sequence[InboundRecord]) -> None:
        assigned = self._positions.current()
        for (topic, partition), offset in _first_offsets(batch).items():
            self._ends.pop((topic, partition), None)  # reached again after the records
            if (topic, partition) not in assigned:
                continue
            self._seek(consumer, (topic, partition), offset)

    def _seek(self, consumer: Consumer, partition: PartitionKey, offset: int) -> None:
        try:
            consumer.seek(TopicPartition(*partition, offset))
        except KafkaException as error:
            # Continuing here would skip records that were not accepted.
            message = f"Cannot seek to offset {offset} of {_name(partition)}: {error}"
            raise RestartConsumerError(message) from error

    def _advance(self, consumer: Consumer, accepted: Sequence[InboundRecord]) -> None:
        """Move past the accepted records and the reached ends, report what was skipped, and commit."""
        before = self._positions.current()
        read: dict[PartitionKey, list[int]] = {partition: [] for partition in self._ends}
        for record in accepted:
            read.setdefault((record.topic, record.partition), []).append(record.offset)
            metrics.RECORDS_READ.labels(record.topic).inc()
        for partition, offsets in read.items():
            self._move(partition, offsets, self._ends.get(partition))
        self._ends.clear()
        moved = {
            partition: offset
            for partition, offset in self._positions.current().items()
            if partition in read and offset != before[partition] and offset > 0
        }
        if moved:
            self._commit(consumer, moved)

    def _move(self, partition: PartitionKey, offsets: Sequence[int], end: int | None) -> None:
        for finding in self._positions.advance(partition, offsets, end):
            _report(finding)

    def _commit(self, consumer: Consumer, offsets: Mapping[PartitionKey, int]) -> None:
        reached("offset_commit.before")
        try:
            consumer.commit(
                offsets=[
                    TopicPartition(*partition, offset, self._ids.get(partition[0], ""))
                    for partition, offset in offsets.items()
                ],
                asynchronous=False,
            )
        except KafkaException as error:
            # The records are durable. At worst they are read again, here or by the partition's new owner, and
            # change nothing.
            log.warning("offsets_not_committed", detail=str(error)[:300])
        self._replaced.difference_update(offsets)
        reached("offset_commit.after")

    def _watermarks(self, partition: PartitionKey) -> Watermarks:
        """Return those of the last fetch, without a request, or those before the first fetch."""
        assert self._consumer is not None  # noqa: S101 - partitions are assigned to a consumer
        low, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        return (low, high) if high >= 0 else self._queried.get(partition, (low, high))

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
                partition, current = (found.topic, found.partition), self._ids.get(found.topic)
                if found.offset >= 0 and found.metadata and current not in {None, found.metadata}:
                    self._ignore_position(partition, found.offset)
                else:
                    self._positions.load(partition, found.offset)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        assigned = [(p.topic, p.partition) for p in partitions]
        self._apply_topic_ids(consumer, self._topic_ids.ask())
        self._positions.assign(assigned)
        # Before the first record: it shows whether records were deleted since the last commit.
        self._load_committed_offsets(consumer)
        self._lag_at = 0.0
        self._broker_status.record_success()
        log.info("partitions_assigned", partitions=[_name(one) for one in assigned])
        died = self._marks.begin(assigned) if self._marks else set()
        # Before the client fetches: unpacking a batch can end the process.
        starts = {one: self._read_isolated(consumer, one) for one in assigned if self._failed or one in died}
        self._failed = False
        known = dict.fromkeys(self._replaced.intersection(assigned), OFFSET_BEGINNING)
        known |= {one: offset for one, offset in starts.items() if offset is not None}
        if known:
            consumer.incremental_assign(
                [TopicPartition(p.topic, p.partition, known.get((p.topic, p.partition), p.offset)) for p in partitions]
            )

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop_partitions([(p.topic, p.partition) for p in partitions])
        log.info("partitions_revoked", partitions=[_name((p.topic, p.partition)) for p in partitions])

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop_partitions([(p.topic, p.partition) for p in partitions])
        log.warning("partitions_lost", partitions=[_name((p.topic, p.partition)) for p in partitions])

    def _drop_partitions(self, partitions: Sequence[PartitionKey]) -> None:
        for partition in partitions:
            self._positions.drop(partition)
            self._unreadable.discard(partition)
            self._replaced.discard(partition)
            self._queried.pop(partition, None)
            self._ends.pop(partition, None)
            self._held.pop(partition, None)
            self._lag.pop(partition, None)
            with contextlib.suppress(KeyError):
                metrics.CONSUMER_LAG.remove(partition[0], str(partition[1]))
        if self._marks and partitions:
            self._marks.end(partitions)

    def _log_limited(self, event: str, **facts: object) -> None:
        if (more := self._lines.fields(f"{event}:{facts.get('reason') or facts.get('error')}")) is not None:
            log.error(event, **facts, **more)

    def _on_error(self, error: KafkaError) -> None:
        self._broker_status.record_error(error)
        if not error.fatal():
            self._log_limited("consumer_error", reason=error.name(), detail=error.str()[:300])


def _first_offsets(batch: Sequence[InboundRecord]) -> dict[PartitionKey, int]:
    return {(a.topic, a.partition): a.offset for a in reversed(batch)}


def _report(finding: Skipped | Restarted) -> None:
    if isinstance(finding, Restarted):
        log.warning("partition_restarted", **asdict(finding))
        return
    metrics.SKIPPED_RECORDS.labels(finding.topic, str(finding.partition)).inc(finding.count)
    log.error("records_skipped", **asdict(finding), reason="the broker deleted them before they were read")


def _name(partition: PartitionKey) -> str:
    return f"{partition[0]}-{partition[1]}"
