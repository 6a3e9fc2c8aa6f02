"""Kafka's part of a recovery: read what was published since a backup, and set the consumer group back to it.

The reader joins no group. It stops at the end of each partition, or after a silence: end offsets of the embedded broker are
wrong.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

import payment_service_events
from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED
from payment_service.db.recovery import PublishedRecord
from payment_service.flows.operators.recover import Incomplete

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from confluent_kafka import Message

    from payment_service.config.config import KafkaSettings

# Clocks of the broker, the producers and the database differ, and a backup takes a while. Records that the backup has are
# recognized, so a larger margin costs only time.
MARGIN: Final = timedelta(minutes=10)
BATCH_RECORDS: Final = 500
POLL_S: Final = 0.2
# A partition that reports neither a record nor its end for so long has no more.
SILENCE_S: Final = 5.0
TIMEOUT_S: Final = 10.0
PREFETCH_KBYTES: Final = 16_384
LIBRARY_LOG_LEVEL: Final = 2  # errors are raised instead
# A plain call does not report a header whose name is not UTF-8 (`kafka/consumer.py`).
_call_headers: Final = methodcaller("headers")
_END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the library's name

# The broker's answers while a member, perhaps a killed one until its session ends, owns the offsets.
_HAS_MEMBERS: Final = frozenset({KafkaError.NON_EMPTY_GROUP, KafkaError.UNKNOWN_MEMBER_ID})


@dataclass(frozen=True, slots=True)
class OffsetChange:
    """The committed offset of the group on a partition, and the offset to which it is set back."""

    topic: str
    partition: int
    committed: int
    offset: int


async def published_since(
    config: KafkaSettings, deployment: str, since: datetime
) -> AsyncIterator[list[PublishedRecord]]:
    """Yield the records of this deployment on `payments.*` since a time, minus MARGIN. Raise KafkaException."""
    begin_ms = int((since - MARGIN).timestamp() * 1000)
    source = f"/payment-service/{deployment}".encode()
    with closing(Consumer(_settings(config), logger=logging.getLogger("librdkafka"))) as consumer:
        starts = await asyncio.to_thread(_offsets_at, consumer, payment_service_events.TOPICS, begin_ms)
        left = {(start.topic, start.partition) for start in starts if start.offset >= 0}
        consumer.assign([start for start in starts if start.offset >= 0])
        heard_at = time.monotonic()
        while left and time.monotonic() - heard_at < SILENCE_S:
            messages = await asyncio.to_thread(consumer.consume, BATCH_RECORDS, POLL_S)
            if messages:
                heard_at = time.monotonic()
            left -= _ended(messages)
            batch = [_record(message, source, begin_ms) for message in messages if message.error() is None]
            if found := [record for record in batch if record is not None]:
                yield found
        silent = [start for start in starts if (start.topic, start.partition) in left]
        await asyncio.to_thread(_require_read, consumer, silent)


def offsets_at(config: KafkaSettings, at: datetime) -> list[OffsetChange]:
    """Return how the group's offsets on the order topics are to be set back to a time, minus MARGIN.

    A partition without a committed offset is read from its start anyway.
    """
    at_ms = int((at - MARGIN).timestamp() * 1000)
    settings = {**_settings(config), "group.id": config.kafka_group_id}
    with closing(Consumer(settings, logger=logging.getLogger("librdkafka"))) as consumer:
        wanted = _offsets_at(consumer, (ORDERS_CREATED, ORDERS_CANCELLED), at_ms)
        if not wanted:
            return []
        partitions = [TopicPartition(one.topic, one.partition) for one in wanted]
        committed = {(p.topic, p.partition): p.offset for p in consumer.committed(partitions, timeout=TIMEOUT_S)}
    return [
        OffsetChange(one.topic, one.partition, before, one.offset)
        for one in wanted
        if 0 <= one.offset < (before := committed[one.topic, one.partition])
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
    except KafkaException as error:
        if error.args[0].code() not in _HAS_MEMBERS:
            raise
        message = (
            f"The consumer group {config.kafka_group_id} has members: stop every replica, and run the command again."
        )
        raise Incomplete(message) from None
    for partition in done.topic_partitions:
        if partition.error is not None:
            raise KafkaException(partition.error)


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


def _offsets_at(consumer: Consumer, topics: Iterable[str], at_ms: int) -> list[TopicPartition]:
    """Return the first offset at or after a time of each partition; -1 if no record is that new."""
    existing = consumer.list_topics(timeout=TIMEOUT_S).topics
    asked = [
        TopicPartition(name, number, at_ms)
        for name in topics
        if name in existing
        for number in existing[name].partitions
    ]
    found = consumer.offsets_for_times(asked, timeout=TIMEOUT_S) if asked else []
    for one in found:
        if one.error is not None:
            raise KafkaException(one.error)
    return list(found)


def _require_read(consumer: Consumer, silent: Iterable[TopicPartition]) -> None:
    """Raise Incomplete if a partition became silent before its end, and KafkaException if the broker is gone."""
    for start in silent:
        _, end = consumer.get_watermark_offsets(start, timeout=TIMEOUT_S)
        (at,) = consumer.position([start])
        if max(at.offset, start.offset) < end:
            message = f"{start.topic}-{start.partition} was not read to its end. Check the broker, then run this again."
            raise Incomplete(message)


def _ended(messages: Iterable[Message]) -> set[tuple[str, int]]:
    """Return the partitions whose end was reached. Raise KafkaException for any other error."""
    ended = set()
    for message in messages:
        error = message.error()
        if error is not None and error.code() != _END:
            raise KafkaException(error)
        if error is not None:
            ended.add((message.topic() or "", message.partition() or 0))
    return ended


def _record(message: Message, source: bytes, begin_ms: int) -> PublishedRecord | None:
    """Return a record of ours, or None for a record of another program or an earlier time."""
    if message.timestamp()[1] < begin_ms:
        return None
    try:
        named: Any = _call_headers(message) or []
        headers = [(name, _bytes(value)) for name, value in named]
        known = dict(headers)
        if known.get("ce_source") != source:
            return None
        return PublishedRecord(
            ce_id=UUID((known["ce_id"] or b"").decode()),
            payment_id=UUID((_bytes(message.key()) or b"").decode()),
            attempt=int(known["ce_attempt"] or b""),
            sequence=int(known["ce_sequence"] or b""),
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            key=_bytes(message.key()),
            value=_bytes(message.value()),
            headers=headers,
            recorded_at=datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC),
        )
    except (KeyError, ValueError, SystemError):
        return None


def _bytes(value: object) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def _admin(config: KafkaSettings) -> AdminClient:
    return AdminClient({**_connection(config), "log_level": LIBRARY_LOG_LEVEL}, logger=logging.getLogger("librdkafka"))


def _connection(config: KafkaSettings) -> dict[str, Any]:
    return {
        **config.kafka_properties,
        "bootstrap.servers": config.kafka_brokers,
        "client.id": config.kafka_client_id,
        "error_cb": lambda _error: None,
    }


def _settings(config: KafkaSettings) -> dict[str, Any]:
    return {
        **_connection(config),
        "group.id": f"{config.kafka_client_id}-recover",  # the library needs a name; nothing is committed under it
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "queued.max.messages.kbytes": PREFETCH_KBYTES,
        "log_level": LIBRARY_LOG_LEVEL,
    }
