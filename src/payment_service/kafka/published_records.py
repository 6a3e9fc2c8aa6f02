"""Read published records: since a time, or at given places. The reader joins no group and commits nothing."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from itertools import groupby
from operator import attrgetter, methodcaller
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

import payment_service_events
from payment_service.contracts.records import DEAD_LETTERS
from payment_service.db.placements import Place
from payment_service.flows.comparisons.topics import Offsets, TopicRecord, TopicsUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from payment_service.config.config import KafkaSettings

BATCH_RECORDS: Final = 500
POLL_S: Final = 0.2
REQUEST_TIMEOUT_S: Final = 10.0
# After this long without a record or a report of an end, positions are compared with the broker's end offsets.
IDLE_S: Final = 2.0
# Brokers answer a fetch within 500 ms, and a paused or throttled one within seconds.
SILENCE_S: Final = 30.0
# Electing a leader takes the controller some 100 ms.
MOVING_PAUSE_S: Final = 0.2
# Two places on a partition that are closer than this are read in one go.
GAP_RECORDS: Final = 1_000
PREFETCH_KBYTES: Final = 16_384
LIBRARY_LOG_LEVEL: Final = 2  # errors are raised instead
PUBLISHED_TOPICS: Final = (*payment_service_events.TOPICS, *DEAD_LETTERS.values())
_END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the library's names for its own findings begin so
_MOVING: Final = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
# A plain call does not report a header whose name is not UTF-8 (`kafka/consumer.py`).
_call_headers: Final = methodcaller("headers")


@asynccontextmanager
async def open_published_records(config: KafkaSettings) -> AsyncIterator[PublishedRecords]:
    """Open a reader for reconciliation. Raises TopicsUnavailable for every error of Kafka."""
    try:
        async with PublishedRecords(config) as reader:
            yield reader
    except KafkaException as error:
        raise TopicsUnavailable(error.args[0].str()) from error


class PublishedRecords:
    """A reader of topics. Topics that the broker does not have are empty.

    Raises KafkaException if the broker cannot be read, and TopicsUnavailable if a partition becomes silent before its end.
    """

    def __init__(self, config: KafkaSettings, topics: Sequence[str] = PUBLISHED_TOPICS) -> None:
        self._topics = topics
        self._partitions: list[tuple[str, int]] = []
        self._assigned: Offsets = {}
        self._following: Offsets = {}  # what the consumer returns next, if `read_from` has read before
        self._active_at_s = self._compared_at_s = monotonic()
        self._consumer = Consumer(_settings(config), logger=logging.getLogger("librdkafka"))

    async def __aenter__(self) -> Self:
        existing = (await asyncio.to_thread(self._consumer.list_topics, timeout=REQUEST_TIMEOUT_S)).topics
        self._partitions = sorted(
            (name, number) for name in self._topics if name in existing for number in existing[name].partitions
        )
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._consumer.close)

    async def starts(self, since: datetime) -> Offsets:
        """Return the offset of the first record since a time of each partition that has one."""
        since_ms = int(since.timestamp() * 1000)
        asked = [TopicPartition(topic, number, since_ms) for topic, number in self._partitions]
        if not asked:
            return {}
        found = await self._offsets_for_times(asked)
        # A negative offset means the end: no record is that new.
        return {(start.topic, start.partition): start.offset for start in found if start.offset >= 0}

    async def _offsets_for_times(self, asked: list[TopicPartition]) -> list[TopicPartition]:
        """Ask the leaders of partitions, again while a partition moves to another broker."""
        deadline_s = monotonic() + REQUEST_TIMEOUT_S
        while True:
            try:
                found = await asyncio.to_thread(self._consumer.offsets_for_times, asked, timeout=REQUEST_TIMEOUT_S)
                _raise_first(found)
            except KafkaException as error:
                if error.args[0].code() not in _MOVING or monotonic() > deadline_s:
                    raise
                await asyncio.sleep(MOVING_PAUSE_S)
            else:
                return found

    async def read_from(self, offsets: Offsets) -> tuple[Sequence[TopicRecord], Offsets]:
        """Return some records from offsets on, and the offsets after them. A partition whose end was reached is absent."""
        following = {partition: offset for partition, offset in offsets.items() if partition in self._partitions}
        if offsets != self._following:
            self._assign([TopicPartition(*partition, offset) for partition, offset in following.items()])
        left, batch = set(following), list[TopicRecord]()
        while left and not batch:
            batch = await self._consume(left)
        following |= {(record.place.topic, record.place.partition): record.place.offset + 1 for record in batch}
        self._following = {partition: offset for partition, offset in following.items() if partition in left}
        return batch, self._following

    async def read_at(self, places: Collection[Place]) -> Mapping[Place, TopicRecord | None]:
        """Return the records at places. None: the topic's retention has deleted it. Absent: there is none."""
        found: dict[Place, TopicRecord | None] = {}
        existing = set(self._partitions)
        runs = [run for run in _runs(places) if (run[0].topic, run[0].partition) in existing]
        while runs:
            now = {(run[0].topic, run[0].partition): run for run in reversed(runs)}
            runs = [run for run in runs if now[run[0].topic, run[0].partition] is not run]
            starts = [TopicPartition(*run[0]) for run in now.values()]
            wanted = {place for run in now.values() for place in run}
            ends = {partition: run[-1].offset for partition, run in now.items()}
            async for batch in self._read(starts, ends):
                found.update({record.place: record for record in batch if record.place in wanted})
        for place in set(places) - found.keys():
            if (place.topic, place.partition) not in existing:
                continue
            first, _ = await self._first_and_end(TopicPartition(place.topic, place.partition))
            if place.offset < first:
                found[place] = None
        return found

    async def _first_and_end(self, partition: TopicPartition) -> tuple[int, int]:
        first, end = await asyncio.to_thread(self._consumer.get_watermark_offsets, partition, timeout=REQUEST_TIMEOUT_S)
        return first, end

    async def _read(
        self, starts: Sequence[TopicPartition], ends: Mapping[tuple[str, int], int]
    ) -> AsyncIterator[list[TopicRecord]]:
        """Yield batches from `starts` until each partition has reached its last wanted offset, or else its end."""
        left = {(start.topic, start.partition) for start in starts}
        self._assign(starts)
        while left:
            if batch := await self._consume(left, ends):
                yield batch
        self._consumer.unassign()

    def _assign(self, starts: Sequence[TopicPartition]) -> None:
        self._following = {}
        self._active_at_s = monotonic()
        self._assigned = {(start.topic, start.partition): start.offset for start in starts}
        self._consumer.assign(list(starts))

    async def _consume(
        self, left: set[tuple[str, int]], ends: Mapping[tuple[str, int], int] | None = None
    ) -> list[TopicRecord]:
        """Return what has come of the partitions that are `left`, and drop those that have reached their end."""
        batch: list[TopicRecord] = []
        messages = await asyncio.to_thread(self._consumer.consume, BATCH_RECORDS, POLL_S)
        for message in messages:
            partition = (message.topic() or "", message.partition() or 0)
            if (error := message.error()) is not None and error.code() != _END:
                raise KafkaException(error)
            if partition in left and error is None:
                batch.append(_record(message))
            if error is not None or (ends is not None and (message.offset() or 0) >= ends[partition]):
                left.discard(partition)
        if messages:
            self._active_at_s = monotonic()
        elif monotonic() - max(self._active_at_s, self._compared_at_s) > IDLE_S:
            left -= {partition for partition in left if await self._at_end(*partition)}
            self._compared_at_s = monotonic()
            self._require_active(left)
        return batch

    async def _at_end(self, topic: str, number: int) -> bool:
        partition = TopicPartition(topic, number)
        _, end = await self._first_and_end(partition)
        (at,) = self._consumer.position([partition])
        return max(at.offset, self._assigned[topic, number]) >= end

    def _require_active(self, left: Collection[tuple[str, int]]) -> None:
        """Raise TopicsUnavailable if partitions are silent before their end: their other records would count as missing."""
        if left and monotonic() - self._active_at_s > SILENCE_S:
            names = ", ".join(f"{topic}-{number}" for topic, number in sorted(left))
            raise TopicsUnavailable(f"The broker sent nothing for {SILENCE_S:.0f} s before the end of {names}.")


def _raise_first(partitions: Iterable[TopicPartition]) -> None:
    if (error := next((partition.error for partition in partitions if partition.error), None)) is not None:
        raise KafkaException(error)


def _runs(places: Iterable[Place]) -> list[list[Place]]:
    """Group places into runs on one partition that are worth reading in one go."""
    runs: list[list[Place]] = []
    for _, of_partition in groupby(sorted(places), key=attrgetter("topic", "partition")):
        run: list[Place] = []
        for place in of_partition:
            if run and place.offset - run[-1].offset > GAP_RECORDS:
                runs.append(run)
                run = []
            run.append(place)
        runs.append(run)
    return runs


def _record(message: Message) -> TopicRecord:
    return TopicRecord(
        place=Place(message.topic() or "", message.partition() or 0, message.offset() or 0),
        timestamp_ms=message.timestamp()[1],
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=_headers(message),
    )


def _headers(message: Message) -> tuple[tuple[str, bytes | None], ...]:
    try:
        headers: Any = _call_headers(message) or []
    except (UnicodeDecodeError, SystemError):
        return ()  # a record of another program
    return tuple((name, _bytes(value)) for name, value in headers)


def _bytes(value: object) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def _settings(config: KafkaSettings) -> dict[str, Any]:
    return {
        **config.kafka_properties,
        "bootstrap.servers": config.kafka_brokers,
        "client.id": config.kafka_client_id,
        "group.id": f"{config.kafka_client_id}-verify",  # the library needs a name, and never uses it
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "queued.max.messages.kbytes": PREFETCH_KBYTES,
        "log_level": LIBRARY_LOG_LEVEL,
        "error_cb": lambda _error: None,
    }
