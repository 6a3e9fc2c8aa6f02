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

POLL_S: Final = 0.1  # maximum delay before a consumer notices a stop
IDLE_POLL_S: Final = 0.5  # the same, without records for IDLE_AFTER_S
IDLE_AFTER_S: Final = 30.0
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
        idle = time.monotonic() - self._batch_at > IDLE_AFTER_S
        messages = consumer.consume(num_messages=1, timeout=IDLE_POLL_S if idle else POLL_S)
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
                self._ends.pop(partition, None)  # the record was written behind it
