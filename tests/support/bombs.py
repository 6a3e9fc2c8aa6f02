"""Records that are small on the wire and large, deep or many when they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Producer

from tests.support.consumer import order
from tests.support.kafka import ORDERS, QUIET, Topics

MEGABYTE: Final = 1_000_000
CODECS: Final = ("gzip", "zstd", "lz4", "snappy")
# Zeros compressed by each codec fit the broker's limit of 1 MiB for a batch. lz4 reaches 1:255, snappy 1:21.
UNPACKED: Final[Mapping[str, int]] = {
    "gzip": 300 * MEGABYTE,
    "zstd": 300 * MEGABYTE,
    "lz4": 240 * MEGABYTE,
    "snappy": 20 * MEGABYTE,
}


def produce_packed(
    topics: Topics, values: Sequence[bytes], codec: str, *, partition: int = 0, **record: Any
) -> list[int]:
    """Write values as one compressed batch, which the producer does not limit. Return the offsets."""
    producer = Producer(
        {
            "bootstrap.servers": topics.bootstrap_servers,
            "compression.type": codec,
            "message.max.bytes": 1_000_000_000,
            "batch.size": 2_000_000_000,
            "queue.buffering.max.kbytes": 2_000_000,
            "linger.ms": 500,
            "acks": "all",
            **QUIET,
        }
    )
    offsets: list[int] = []
    for value in values:
        producer.produce(
            ORDERS,
            value,
            partition=partition,
            on_delivery=lambda error, message: offsets.append(-1 if error else message.offset() or 0),
            **record,
        )
    assert producer.flush(60) == 0
    assert -1 not in offsets, f"the broker refused the {codec} batch"
    return offsets


def bomb(topics: Topics, codec: str, *, partition: int = 0, records: int = 1) -> list[int]:
    """Write zeros that unpack to hundreds of megabytes, in one batch of `records`. Return the offsets."""
    return produce_packed(topics, [bytes(UNPACKED[codec] // records)] * records, codec, partition=partition)


def spaced_digits(characters: int = 512_000) -> bytes:
    """Digits of card numbers with spaces, which masking must search."""
    return ("4 2 " * (characters // 4 + 1))[:characters].encode()


def nested(levels: int = 100_000) -> bytes:
    """An array in an array in an array."""
    return b"[" * levels + b"]" * levels


def many_keys(keys: int = 20_000) -> bytes:
    """An order with many unknown fields."""
    return json.dumps(order(1) | {f"k{i}": i for i in range(keys)}).encode()


def long_number(digits: int = 200_000) -> bytes:
    """A number that takes quadratic time to convert."""
    return b'{"total": ' + b"9" * digits + b"}"
