"""Find records that the broker deleted before the service read them, from outside the consumer group."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, TopicPartition

from payment_service.kafka.positions import Skipped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payment_service.config.config import KafkaSettings


def deleted_unread(config: KafkaSettings, partitions: Mapping[str, int], timeout_s: float) -> list[Skipped]:
    """Compare the group's committed offsets with the first offsets of the partitions. Raises KafkaException.

    `partitions` has the number of partitions of each topic that the service reads.
    """
    settings: dict[str, Any] = {
        **config.kafka_properties,
        "bootstrap.servers": config.kafka_brokers,
        "client.id": config.kafka_client_id,
        "group.id": config.kafka_group_id,
    }
    wanted = [TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)]
    skipped = []
    with closing(Consumer(settings, logger=logging.getLogger("librdkafka"))) as client:
        for found in client.committed(wanted, timeout=timeout_s):
            if found.offset < 0:
                continue
            low, _ = client.get_watermark_offsets(found, timeout=timeout_s)
            if low > found.offset:
                skipped.append(Skipped(topic=found.topic, partition=found.partition, first=found.offset, last=low - 1))
    return skipped
