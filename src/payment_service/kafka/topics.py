"""The topics that the service needs: create them, and report missing ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from payment_service.contracts.records import topics_needed

if TYPE_CHECKING:
    from collections.abc import Callable

    from payment_service.config.config import KafkaSettings

ANSWER_TIMEOUT_S: Final = 30.0  # a cluster needs seconds to elect leaders for new partitions
LIST_TIMEOUT_S: Final = 10.0  # a running broker answers in milliseconds
BROKERS_DEFAULT: Final = -1
# These codes say that no broker was reached, but not why.
_UNSPECIFIC: Final = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT}  # noqa: SLF001 - the library's names


def create_topics(config: KafkaSettings, timeout_s: float = ANSWER_TIMEOUT_S) -> list[str]:
    """Create the missing topics with the broker's default replication, and return their names.

    Existing topics stay as they are. Raises KafkaException if the broker cannot be reached or refuses.
    """
    missing = missing_topics(config, LIST_TIMEOUT_S)
    if not missing:
        return []
    wanted = [
        NewTopic(name, num_partitions=config.kafka_topic_partitions, replication_factor=BROKERS_DEFAULT)
        for name in missing
    ]
    client = _client(config)  # keep a reference: a client that is garbage-collected fails its pending requests
    futures = client.create_topics(wanted, request_timeout=timeout_s)
    return [name for name, future in futures.items() if _is_created(future.exception(timeout=timeout_s))]


def missing_topics(config: KafkaSettings, timeout_s: float) -> list[str]:
    """Return the needed topics that the broker does not have. Raises KafkaException if it cannot be reached.

    This lists all topics, because some brokers create a topic that is requested by name.
    """
    existing = topic_partitions(config, timeout_s)
    return [name for name in topics_needed(orders_cancelled=config.orders_cancelled) if name not in existing]


def topic_partitions(config: KafkaSettings, timeout_s: float) -> dict[str, int]:
    """Return the number of partitions of every topic. Raises KafkaException if the broker cannot be reached."""
    errors: list[KafkaError] = []
    client = _client(config, errors.append)
    try:
        existing = client.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        client.poll(0)  # delivers the errors of each connection
        raise next((KafkaException(one) for one in reversed(errors) if one.code() not in _UNSPECIFIC), error) from None
    return {name: len(topic.partitions) for name, topic in existing.items()}


def _is_created(error: BaseException | None) -> bool:
    if error is None:
        return True
    if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
        return False
    raise error


def _client(config: KafkaSettings, on_error: Callable[[KafkaError], None] = lambda _error: None) -> AdminClient:
    settings: dict[str, Any] = {
        **config.kafka_properties,
        "bootstrap.servers": config.kafka_brokers,
        "client.id": config.kafka_client_id,
        "error_cb": on_error,
    }
    return AdminClient(settings, logger=logging.getLogger("librdkafka"))
