"""Ids of topics: a topic that was deleted and created again, or is on another cluster, has the same name and another id.

An offset says nothing about another topic of that name. So each commit carries the id, and a position is used only for it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from payment_service.config.config import KafkaSettings

ANSWER_TIMEOUT_S: Final = 2.0
CHECK_INTERVAL_S: Final = 30.0  # as often as the client looks for new partitions
_NONE: Final = "AAAAAAAAAAAAAAAAAAAAAA"  # the id of a broker that has none


class TopicIds:
    """Asks the broker for the ids of topics. A topic whose id is unknown is missing in the answers."""

    def __init__(self, config: KafkaSettings, topics: Sequence[str]) -> None:
        settings: dict[str, Any] = {
            **config.kafka_properties,
            "bootstrap.servers": config.kafka_brokers,
            "client.id": config.kafka_client_id,
            "log_level": 0,  # the consumer reports errors of the connection
            "error_cb": lambda _error: None,
        }
        self._client = AdminClient(settings, logger=logging.getLogger("librdkafka"))
        self._topics = TopicCollection(list(topics))
        self._pending: Mapping[str, Future[Any]] = {}
        self._asked_at = time.monotonic()

    def ask(self) -> dict[str, str]:
        """Return the ids, after at most `ANSWER_TIMEOUT_S` per topic."""
        self._pending = {}
        self._asked_at = time.monotonic()
        return _ids(self._request())

    def poll(self) -> dict[str, str]:
        """Return the ids if an answer has come, without waiting. Ask again every `CHECK_INTERVAL_S`."""
        if self._pending and all(future.done() for future in self._pending.values()):
            answered, self._pending = self._pending, {}
            return _ids(answered)
        if not self._pending and time.monotonic() - self._asked_at > CHECK_INTERVAL_S:
            self._asked_at = time.monotonic()
            self._pending = self._request()
        return {}

    def _request(self) -> Mapping[str, Future[Any]]:
        found: Mapping[str, Future[Any]] = self._client.describe_topics(self._topics, request_timeout=ANSWER_TIMEOUT_S)
        return found


def _ids(answers: Mapping[str, Future[Any]]) -> dict[str, str]:
    ids = {}
    for topic, future in answers.items():
        try:
            found = str(future.result(ANSWER_TIMEOUT_S).topic_id)
        except (KafkaException, TimeoutError):  # the topic does not exist now, or no broker answers
            continue
        if found != _NONE:
            ids[topic] = found
    return ids
