"""Kafka's part of a recovery: read what was published since a backup, and set the consumer group back to it."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import structlog
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from pydantic_core import from_json

import payment_service_events
from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED
from payment_service.db.recovery import PublishedRecord
from payment_service.flows.comparisons.topics import Offsets, TopicRecord, TopicsUnavailable
from payment_service.flows.operators.recover import Incomplete
from payment_service.kafka.published_records import LIBRARY_LOG_LEVEL, PublishedRecords

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from payment_service.config.config import KafkaSettings

log = structlog.get_logger(__name__)

# Clocks of the broker, the producers and the database differ, and a backup takes a while. Records that the backup has are
# recognized, so a larger margin costs only time.
MARGIN: Final = timedelta(minutes=10)
TIMEOUT_S: Final = 10.0
_INTEGER_MAX: Final = 2**31 - 1
# PostgreSQL stores no null character. After an escaped backslash, the same letters are text.
_NULL_CHARACTER: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_LOGGER: Final = logging.getLogger("librdkafka")
# The broker's answers while a member, perhaps a killed one until its session ends, owns the offsets.
_HAS_MEMBERS: Final = frozenset({KafkaError.NON_EMPTY_GROUP, KafkaError.UNKNOWN_MEMBER_ID})


@dataclass(frozen=True, slots=True)
class OffsetChange:
    """The committed offset of the group on a partition, and the offset to which it is set back."""

    topic: str
    partition: int
    committed: int
    offset: int


@dataclass(frozen=True, slots=True)
class Published:
    """A batch of records. `skipped`: how many more name us as their source, but cannot have been written by the service."""

    records: list[PublishedRecord]
    skipped: int


async def published_since(config: KafkaSettings, deployment: str, since: datetime) -> AsyncIterator[Published]:
    """Yield the records of this deployment on `payments.*` since a time, minus MARGIN. Raise KafkaException and Incomplete."""
    begin_ms = int((since - MARGIN).timestamp() * 1000)
    source = f"/payment-service/{deployment}"
    async with PublishedRecords(config, payment_service_events.TOPICS) as reader:
        offsets = await reader.starts(since - MARGIN)
        while offsets:
            batch, offsets = await _read(reader, offsets)
            found = select(batch, source, begin_ms)
            if found.records or found.skipped:
                yield found


async def offsets_at(config: KafkaSettings, at: datetime) -> list[OffsetChange]:
    """Return how the group's offsets on the order topics are to be set back to a time, minus MARGIN. Raise KafkaException.

    A partition without a committed offset is read from its start anyway.
    """
    async with PublishedRecords(config, (ORDERS_CREATED, ORDERS_CANCELLED)) as reader:
        starts = await reader.starts(at - MARGIN)
    if not starts:
        return []
    committed = await asyncio.to_thread(_committed, config, starts)
    return [
        OffsetChange(topic, partition, before, offset)
        for (topic, partition), offset in starts.items()
        if offset < (before := committed[topic, partition])
    ]


def set_offsets(config: KafkaSettings, changes: Iterable[OffsetChange]) -> None:
    """Set the group's offsets back. Raise KafkaException, and Incomplete if the group has members."""
    partitions = [TopicPartition(change.topic, change.partition, change.offset) for change in changes]
    if not partitions:
        return
    group = ConsumerGroupTopicPartitions(config.kafka_group_id, partitions)
    client = _admin(config)
    try:
        done = client.alter_consumer_group_offsets([group], request_timeout=TIMEOUT_S)[config.kafka_group_id].result()
        for partition in done.topic_partitions:
            if partition.error is not None:
                raise KafkaException(partition.error)
    except KafkaException as error:
        if error.args[0].code() not in _HAS_MEMBERS:
            raise
        message = (
            f"The consumer group {config.kafka_group_id} has members: stop every replica, and run the command again. "
            "The broker keeps a killed replica until its session ends."
        )
        raise Incomplete(message) from None


def members_of_group(config: KafkaSettings) -> int:
    """Return how many consumers are in the group. Raise KafkaException."""
    client = _admin(config)
    found = client.describe_consumer_groups([config.kafka_group_id], request_timeout=TIMEOUT_S)
    try:
        return len(found[config.kafka_group_id].result().members)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise


def _committed(config: KafkaSettings, partitions: Iterable[tuple[str, int]]) -> Offsets:
    """Return the group's committed offsets. It is negative where there is none."""
    asked = [TopicPartition(*partition) for partition in partitions]
    settings = {**_settings(config), "group.id": config.kafka_group_id, "enable.auto.commit": False}
    with closing(Consumer(settings, logger=_LOGGER)) as consumer:
        return {(one.topic, one.partition): one.offset for one in consumer.committed(asked, timeout=TIMEOUT_S)}


async def _read(reader: PublishedRecords, offsets: Offsets) -> tuple[Sequence[TopicRecord], Offsets]:
    try:
        return await reader.read_from(offsets)
    except TopicsUnavailable as error:
        message = f"{error} Check the broker, then run this again."
        raise Incomplete(message) from error


def select(batch: Iterable[TopicRecord], source: str, begin_ms: int) -> Published:
    """Select the records of a deployment since a time (milliseconds since 1970)."""
    ours = [one for one in batch if one.header("ce_source") == source and one.timestamp_ms >= begin_ms]
    records = [record for record in map(read_record, ours) if record is not None]
    return Published(records, skipped=len(ours) - len(records))


def read_record(record: TopicRecord) -> PublishedRecord | None:
    """Return a record of ours, or None for one that the service cannot have written."""
    try:
        _require_payload(record.value)
        return PublishedRecord(
            ce_id=UUID(record.header("ce_id")),
            payment_id=UUID((record.key or b"").decode()),
            attempt=_number(record.header("ce_attempt")),
            sequence=_number(record.header("ce_sequence")),
            topic=record.place.topic,
            partition=record.place.partition,
            offset=record.place.offset,
            key=record.key,
            value=record.value,
            headers=record.headers,
            recorded_at=datetime.fromtimestamp(record.timestamp_ms / 1000, UTC),
        )
    except (ValueError, OverflowError, OSError):
        place = record.place
        reason = "the service writes no such record"
        log.warning(
            "record_not_recovered", topic=place.topic, partition=place.partition, offset=place.offset, reason=reason
        )
        return None


def _require_payload(value: bytes | None) -> None:
    """Raise ValueError for a value that is no JSON object of an order, or that PostgreSQL does not read as JSON."""
    if value is None or _NULL_CHARACTER.search(value) or not _has_order(from_json(value, allow_inf_nan=False)):
        raise ValueError


def _has_order(payload: Any) -> bool:
    return isinstance(payload, dict) and isinstance(payload.get("order_id"), str)


def _number(text: str) -> int:
    """Return a number from 1 to the largest `integer` of PostgreSQL. Raise ValueError."""
    number = int(text)
    if not 1 <= number <= _INTEGER_MAX:
        raise ValueError
    return number


def _admin(config: KafkaSettings) -> AdminClient:
    return AdminClient(_settings(config), logger=_LOGGER)


def _settings(config: KafkaSettings) -> dict[str, Any]:
    return {
        **config.kafka_properties,
        "bootstrap.servers": config.kafka_brokers,
        "client.id": config.kafka_client_id,
        "error_cb": lambda _error: None,
        "log_level": LIBRARY_LOG_LEVEL,
    }
