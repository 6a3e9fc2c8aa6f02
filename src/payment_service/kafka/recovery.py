"""Kafka's part of a recovery: read what was published since a backup, and set the consumer group back to it."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

import payment_service_events
from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED
from payment_service.db.recovery import PublishedRecord
from payment_service.flows.operators.recover import Incomplete
from payment_service.kafka.published import (
    REQUEST_TIMEOUT_S,
    PublishedRecords,
    connection_settings,
    first_offsets,
    partitions_of,
    reader_settings,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from payment_service.config.config import KafkaSettings
    from payment_service.flows.comparisons.topics import TopicRecord

# Clocks of the broker, the producers and the database differ, and a backup takes a while. Records that the backup has are
# recognized, so a larger margin costs only time.
MARGIN: Final = timedelta(minutes=10)

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
    begin = since - MARGIN
    source = f"/payment-service/{deployment}".encode()
    async with PublishedRecords(config, payment_service_events.TOPICS) as reader:
        async for batch in reader.scan(begin):
            records = [_record(record, source, begin) for record in batch]
            if found := [record for record in records if record is not None]:
                yield found


def offsets_at(config: KafkaSettings, at: datetime) -> list[OffsetChange]:
    """Return how the group's offsets on the order topics are to be set back to a time, minus MARGIN.

    A partition without a committed offset is read from its start anyway.
    """
    at_ms = int((at - MARGIN).timestamp() * 1000)
    settings = {**reader_settings(config), "group.id": config.kafka_group_id}
    with closing(Consumer(settings, logger=logging.getLogger("librdkafka"))) as consumer:
        wanted = first_offsets(consumer, partitions_of(consumer, (ORDERS_CREATED, ORDERS_CANCELLED)), at_ms)
        if not wanted:
            return []
        partitions = [TopicPartition(one.topic, one.partition) for one in wanted]
        committed = {
            (p.topic, p.partition): p.offset for p in consumer.committed(partitions, timeout=REQUEST_TIMEOUT_S)
        }
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
        done = client.alter_consumer_group_offsets([group], request_timeout=REQUEST_TIMEOUT_S)[
            config.kafka_group_id
        ].result()
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
    found = client.describe_consumer_groups([config.kafka_group_id], request_timeout=REQUEST_TIMEOUT_S)
    try:
        return len(found[config.kafka_group_id].result().members)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise


def _record(record: TopicRecord, source: bytes, begin: datetime) -> PublishedRecord | None:
    """Return a record of ours, or None for a record of another program or an earlier time."""
    headers = dict(record.headers)
    recorded_at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    if headers.get("ce_source") != source or recorded_at < begin:
        return None
    try:
        return PublishedRecord(
            ce_id=UUID((headers["ce_id"] or b"").decode()),
            payment_id=UUID((record.key or b"").decode()),
            attempt=int(headers["ce_attempt"] or b""),
            sequence=int(headers["ce_sequence"] or b""),
            topic=record.place.topic,
            partition=record.place.partition,
            offset=record.place.offset,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            recorded_at=recorded_at,
        )
    except (KeyError, ValueError):
        return None


def _admin(config: KafkaSettings) -> AdminClient:
    return AdminClient(connection_settings(config), logger=logging.getLogger("librdkafka"))
