"""Settings of librdkafka for reading orders, and the limits of the memory that reading takes.

librdkafka decompresses a whole batch of records as soon as a fetch has brought it, and only then counts its bytes. So the
limits of a fetch hold for compressed bytes, and one batch is always delivered, whatever its size. The memory is bounded by:

- `max.partition.fetch.bytes` and `fetch.max.bytes`: compressed bytes per fetch, so few batches at once.
- `queued.max.messages.kbytes`: decompressed bytes that wait. No fetch starts above it.
- `receive.message.max.bytes`: bytes of an answer, and for zstd alone also the decompressed bytes of a batch. A larger batch is
  an error at its offset.
- `max.message.bytes` of the topic: compressed bytes of a batch. gzip unpacks up to 1,030 times as many, lz4 255, snappy 21.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from payment_service.config.config import Config

PREFETCH_KBYTES: Final = 16_384  # several batches of the largest orders
PREFETCH_RECORDS: Final = 2_000
FETCH_PARTITION_BYTES: Final = 65_536  # some hundred orders; a fetch takes a millisecond
FETCH_LIMIT_BYTES: Final = 1_048_576
ANSWER_LIMIT_BYTES: Final = 33_554_432  # a batch at the broker's limit of 1 MiB, unpacked thirty times
FETCH_WAIT_MAX_MS: Final = 500  # the broker answers as soon as it has a record
METADATA_INTERVAL_MS: Final = 30_000  # a new partition is read within a minute
SOCKET_TIMEOUT_MS: Final = 10_000  # a hanging broker must not delay a stop for a minute
RECONNECT_MAX_MS: Final = 1_000
LIBRARY_LOG_LEVEL: Final = 2  # the error callback reports what matters, once

# Errors of a batch that the client cannot read, however often it asks. It never moves past such a batch by itself.
UNREADABLE: Final = frozenset(
    {
        KafkaError._BAD_COMPRESSION,  # noqa: SLF001 - the library's name
        KafkaError._BAD_MSG,  # noqa: SLF001 - the checksum is wrong
        KafkaError._CRIT_SYS_RESOURCE,  # noqa: SLF001 - no memory to decompress it
        KafkaError._NOT_IMPLEMENTED,  # noqa: SLF001 - an unknown format or compression
        KafkaError.MSG_SIZE_TOO_LARGE,
    }
)


def connection_settings(config: Config) -> dict[str, Any]:
    """Return the settings of every client that reads orders."""
    return {
        **config.kafka_properties,
        "bootstrap.servers": config.kafka_brokers,
        "client.id": config.kafka_client_id,
        "group.id": config.kafka_group_id,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,  # offsets have gaps, so only the client knows when all is read
        "check.crcs": True,
        "fetch.wait.max.ms": FETCH_WAIT_MAX_MS,
        "fetch.max.bytes": FETCH_LIMIT_BYTES,
        "max.partition.fetch.bytes": FETCH_PARTITION_BYTES,
        "receive.message.max.bytes": ANSWER_LIMIT_BYTES,
        "queued.max.messages.kbytes": PREFETCH_KBYTES,
        "queued.min.messages": PREFETCH_RECORDS,
        "socket.timeout.ms": SOCKET_TIMEOUT_MS,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
        "log_level": LIBRARY_LOG_LEVEL,
    }


def member_settings(config: Config, on_error: Callable[[KafkaError], None]) -> dict[str, Any]:
    """Return the settings of a member of the consumer group."""
    session_ms = config.kafka_session_timeout_ms
    return {
        **connection_settings(config),
        "partition.assignment.strategy": "cooperative-sticky",
        "topic.metadata.refresh.interval.ms": METADATA_INTERVAL_MS,
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": min(3_000, session_ms // 3),
        "error_cb": on_error,
    }


def isolated_settings(config: Config) -> dict[str, Any]:
    """Return the settings of a client that reads one batch at a time. It joins no group."""
    return {
        **connection_settings(config),
        "max.partition.fetch.bytes": 1,  # Apache Kafka then returns the first batch alone
        "queued.min.messages": 1,
        "fetch.queue.backoff.ms": 1,
        "fetch.error.backoff.ms": 1,
    }
