"""Write records to a broker and read the events that the service published.

Reading continues until the expected records have arrived: end offsets of the embedded broker are wrong, so nothing here
relies on a watermark.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from payment_service_events.published_events import EVENTS
from tests.support import contracts
from tests.support.eventually import TIMEOUT_S, NeverHappenedError, eventually

ORDERS: Final = "orders.created"
DEAD_LETTERS: Final = "orders.created.dlq"
ANNOUNCEMENTS: Final = tuple(EVENTS)
CANCELLED: Final = "orders.cancelled"
CANCELLED_DEAD_LETTERS: Final = "orders.cancelled.dlq"
TOPICS: Final = (ORDERS, DEAD_LETTERS, CANCELLED, CANCELLED_DEAD_LETTERS, *ANNOUNCEMENTS)
PARTITIONS: Final = 6
_MARK: Final = "suite-mark"
# Tests kill brokers on purpose, so errors in the log of librdkafka fail no test.
QUIET: Final[dict[str, Any]] = {"log_level": 0, "error_cb": lambda _error: None}


@dataclass(frozen=True, slots=True)
class Record:
    """A record on a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes | None]
    timestamp_ms: int = 0

    @classmethod
    def of(cls, message: Message) -> Self:
        """Copy a message of the client library."""
        headers: Any = message.headers() or []
        return cls(
            topic=str(message.topic()),
            partition=int(message.partition() or 0),
            offset=int(message.offset() or 0),
            key=_bytes(message.key()),
            value=_bytes(message.value()),
            headers={name: _bytes(value) for name, value in headers},
            timestamp_ms=message.timestamp()[1],
        )

    def json(self) -> Any:
        """Parse the value."""
        return json.loads(self.value or b"null")

    def header(self, name: str) -> str | None:
        """Return a header as text, or None if the record has no such header."""
        value = self.headers.get(name)
        return None if value is None else value.decode()

    @property
    def sequence(self) -> int:
        """The `ce_sequence` header: the record's number within its payment."""
        return int(self.header("ce_sequence") or 0)


def _bytes(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()


def admin(bootstrap_servers: str) -> AdminClient:
    """Create an administration client that does not log."""
    return AdminClient({"bootstrap.servers": bootstrap_servers, **QUIET})


def create_topics(bootstrap_servers: str, names: Iterable[str] = TOPICS, partitions: int = PARTITIONS) -> None:
    """Create topics and wait until the broker shows them."""
    wanted = [NewTopic(name, num_partitions=partitions, replication_factor=1) for name in names]
    client = admin(bootstrap_servers)
    for future in client.create_topics(wanted).values():
        future.result(timeout=30)
    eventually(lambda: {topic.topic for topic in wanted} <= topic_names(bootstrap_servers))


def topic_names(bootstrap_servers: str) -> set[str]:
    """Return the names of all topics except the broker's own."""
    listed = admin(bootstrap_servers).list_topics(timeout=10).topics
    return {name for name in listed if not name.startswith("__")}


class Topics:
    """Writes to and reads from the topics of one broker."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers

    def produce(
        self,
        values: Iterable[object],
        *,
        topic: str = ORDERS,
        key: Callable[[Any], str | bytes | None] | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Write records and wait until the broker has them. `bytes` and `None` are sent unchanged, the rest as JSON."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "acks": "all", "linger.ms": 2, **QUIET})
        failures: list[KafkaError] = []
        place: dict[str, Any] = {} if partition is None else {"partition": partition}
        if timestamp_ms is not None:
            place["timestamp"] = timestamp_ms
        for value in values:
            producer.produce(
                topic,
                value=value if value is None or isinstance(value, bytes) else json.dumps(value).encode(),
                key=key(value) if key else None,
                headers=dict(headers or {}),
                on_delivery=lambda error, _message: failures.append(error) if error else None,
                **place,
            )
            producer.poll(0)
        left = producer.flush(30)
        if left or failures:
            message = f"{left} records were not delivered, and these failed: {failures}"
            raise AssertionError(message)

    def read(
        self,
        enough: Callable[[Sequence[Record]], object],
        *,
        topics: Sequence[str] = ANNOUNCEMENTS,
        timeout_s: float = TIMEOUT_S,
    ) -> list[Record]:
        """Read the topics from the beginning until `enough(records)`; raise NeverHappenedError if none comes for `timeout_s`.

        Records of one partition keep its order; those of different partitions arrive in any order. A record that breaks its
        contract fails the test that reads it.
        """
        records: list[Record] = []
        deadline = time.monotonic() + timeout_s
        with closing(self._reader(topics)) as consumer:
            while not enough(records):
                if time.monotonic() > deadline:
                    seen = [(record.topic, record.key) for record in records]
                    message = f"No further record within {timeout_s} s; {len(records)} came: {seen[:50]}"
                    raise NeverHappenedError(message)
                messages = consumer.consume(num_messages=500, timeout=0.05)
                came = [Record.of(message) for message in messages if message.error() is None]
                for record in came:
                    if _MARK not in record.headers:
                        contracts.validate_record(record.topic, record.key, record.value, record.headers)
                records += came
                if came:
                    deadline = time.monotonic() + timeout_s
        return records

    def read_count(
        self, count: int, *, topics: Sequence[str] = ANNOUNCEMENTS, timeout_s: float = TIMEOUT_S
    ) -> list[Record]:
        """Read until there are at least `count` records."""
        return self.read(lambda records: len(records) >= count, topics=topics, timeout_s=timeout_s)

    def read_all(self, topics: Sequence[str]) -> list[Record]:
        """Read every record that is on these topics now.

        This writes a marker to the end of each partition and reads until all markers are found. Do not use it for topics with
        a consumer, which would read the markers too.
        """
        name = uuid.uuid4().hex.encode()
        places = [(topic, partition) for topic in topics for partition in range(PARTITIONS)]
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "acks": "all", **QUIET})
        for topic, partition in places:
            producer.produce(topic, value=name, partition=partition, headers={_MARK: name})
        assert producer.flush(30) == 0, "the markers were not delivered"
        records = self.read(lambda seen: sum(r.headers.get(_MARK) == name for r in seen) == len(places), topics=topics)
        return [record for record in records if _MARK not in record.headers]

    def committed(self, group: str, topic: str = ORDERS) -> int:
        """Return how many records of a topic a group has committed."""
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        with closing(Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": group, **QUIET})) as consumer:
            return sum(max(0, found.offset) for found in consumer.committed(partitions, timeout=10))

    def commit(self, group: str, offset: int, metadata: str) -> None:
        """Commit a position of partition 0 of the orders for a group, as tools do that move or reset a group."""
        with closing(Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": group, **QUIET})) as client:
            client.commit(offsets=[TopicPartition(ORDERS, 0, offset, metadata)], asynchronous=False)

    @contextmanager
    def member(self, group: str) -> Iterator[None]:
        """Be a member of a group that has partitions, and commit nothing."""
        # A join waits for half of the session.
        names: Any = {"bootstrap.servers": self.bootstrap_servers, "group.id": group, "session.timeout.ms": 2_000}
        with closing(Consumer({**names, **_FROM_START})) as consumer:
            consumer.subscribe([ORDERS])
            eventually(lambda: consumer.poll(0.1) is not None or consumer.assignment(), timeout_s=60)
            yield

    def delete_all(self) -> None:
        """Delete every topic and consumer group, so that the next test has an empty broker."""
        client = admin(self.bootstrap_servers)
        if names := topic_names(self.bootstrap_servers):
            for future in client.delete_topics(list(names)).values():
                future.result(timeout=30)
        eventually(lambda: not topic_names(self.bootstrap_servers))
        groups = [group.group_id for group in client.list_consumer_groups().result(timeout=30).valid or []]
        if groups:
            for deletion in client.delete_consumer_groups(groups).values():
                # A killed member keeps its group until its session ends. Each test has its own group id.
                deletion.exception(timeout=30)

    def _reader(self, topics: Sequence[str]) -> Consumer:
        """Create a consumer that reads all partitions from 0 and joins no group."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": group_id(), **_FROM_START})
        listed = consumer.list_topics(timeout=10).topics
        consumer.assign(
            [TopicPartition(name, number, 0) for name in topics if name in listed for number in listed[name].partitions]
        )
        return consumer


def group_id() -> str:
    """Return an unused consumer group id."""
    return f"test-{uuid.uuid4()}"


_FROM_START: Final[dict[str, Any]] = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "fetch.wait.max.ms": 20,
    **QUIET,
}
