"""Read from outside the consumer group what endangers the intake: settings of topics, and transactions that never end."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payment_service.config.config import KafkaSettings

# Kafka's default. A batch of that size in gzip unpacks to at most 1.1 GB; in practice orders are unpacked to a tenth.
BATCH_LIMIT_BYTES: Final = 1_048_588


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTransaction:
    """Records from `offset` on wait for the end of a transaction; `behind` counts their offsets."""

    topic: str
    partition: int
    offset: int
    behind: int


def settings_of(config: KafkaSettings, topics: Sequence[str], timeout_s: float) -> dict[str, dict[str, str]]:
    """Return the settings of topics by name. Raises KafkaException, for example without the right to read them."""
    client = _client(config)
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    answers = client.describe_configs(resources, request_timeout=timeout_s)
    return {
        resource.name: {name: str(entry.value) for name, entry in future.result(timeout_s).items()}
        for resource, future in answers.items()
    }


def open_transactions(config: KafkaSettings, partitions: Mapping[str, int], timeout_s: float) -> list[OpenTransaction]:
    """Compare the last stable offsets with the ends. `partitions`: the number of each topic. Raises KafkaException."""
    client = _client(config)
    wanted = [TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)]
    stable = _ends(client, wanted, IsolationLevel.READ_COMMITTED, timeout_s)
    ends = _ends(client, wanted, IsolationLevel.READ_UNCOMMITTED, timeout_s)
    return [
        OpenTransaction(topic=topic, partition=number, offset=offset, behind=ends[topic, number] - offset)
        for (topic, number), offset in stable.items()
        if ends[topic, number] > offset
    ]


def _ends(
    client: AdminClient, wanted: Sequence[TopicPartition], isolation: IsolationLevel, timeout_s: float
) -> dict[tuple[str, int], int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    answers = client.list_offsets(dict.fromkeys(wanted, latest), isolation_level=isolation, request_timeout=timeout_s)
    return {(one.topic, one.partition): future.result(timeout_s).offset for one, future in answers.items()}


def _client(config: KafkaSettings) -> AdminClient:
    settings: dict[str, Any] = {
        **config.kafka_properties,
        "bootstrap.servers": config.kafka_brokers,
        "client.id": config.kafka_client_id,
    }
    return AdminClient(settings, logger=logging.getLogger("librdkafka"))
