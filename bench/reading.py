"""Read what the service published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from bench.environment import Refused

PATIENCE_S: Final = 60.0


def read_sequences(brokers: str, topic: str, count: int) -> Iterator[tuple[bytes, int]]:
    """Read `count` records of a topic from its beginning: key and `ce_sequence`, in the order of each partition."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench-order", "fetch.wait.max.ms": 20})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        seen, deadline = 0, time.monotonic() + PATIENCE_S
        while seen < count:
            if time.monotonic() > deadline:
                raise Refused(f"{seen} of {count} records were read from {topic} within {PATIENCE_S:.0f} s.")
            for message in consumer.consume(num_messages=10_000, timeout=0.1):
                if message.error() is None:
                    seen += 1
                    headers = dict(message.headers() or [])
                    yield message.key() or b"", int(headers["ce_sequence"] or 0)
                    deadline = time.monotonic() + PATIENCE_S
    finally:
        consumer.close()
