"""The process of an isolated read: it reads records of one partition with limited memory and time.

A record that would kill the service kills this process instead. It gets a pickled `Task` on stdin and writes pickled steps
to stdout. `isolated_reads.py` starts it and judges its end.
"""

from __future__ import annotations

import pickle
import resource
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from confluent_kafka import Consumer, KafkaError, TopicPartition

from payment_service.kafka.consumer_settings import UNREADABLE
from payment_service.kafka.inbound import Decoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from payment_service.contracts.incoming import InboundRecord

# Python and the client take 60 MB. The rest unpacks batches of about 100 MB. Beside the service, it fits the chart's limit.
MEMORY_LIMIT_BYTES: Final = 201_326_592
CPU_LIMIT_S: Final = 20  # decoding the largest batch takes two
TIME_LIMIT_S: Final = 60
SILENCE_S: Final = 10.0  # a broker that sends nothing for this long is away
POLL_S: Final = 0.1
OUT_OF_MEMORY: Final = 77  # exit code, in the range that programs may define


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Read from `offset` up to `until`, exclusive, or to the end of the partition. `properties` are librdkafka's."""

    properties: Mapping[str, Any]
    decoder: Decoder
    topic: str
    partition: int
    offset: int
    until: int


@dataclass(frozen=True, slots=True)
class Reached:
    """The record at `offset` was fetched, and is decoded next."""

    offset: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The client cannot read the batch that contains `offset`."""

    offset: int


@dataclass(frozen=True, slots=True)
class Finished:
    """All was read; `following` is the next offset."""

    following: int


Step: TypeAlias = "Reached | InboundRecord | Unreadable | Finished"


def read(task: Task) -> Iterator[Step]:
    """Yield each step. Without an answer of the broker, `Finished` does not come."""
    consumer = Consumer({**task.properties, "error_cb": lambda _error: None})
    consumer.assign([TopicPartition(task.topic, task.partition, task.offset)])
    following, heard_at = task.offset, time.monotonic()
    while following < task.until:
        message = consumer.poll(POLL_S)
        if message is None:
            if time.monotonic() - heard_at > SILENCE_S:
                return
            continue
        heard_at, offset, error = time.monotonic(), message.offset() or 0, message.error()
        if error is None:
            yield Reached(offset)
            yield task.decoder.inbound_record(message)
            following = offset + 1
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
            following = offset
            break
        elif error.code() in UNREADABLE:
            yield Unreadable(following)
            following += 1
            consumer.seek(TopicPartition(task.topic, task.partition, following))
    yield Finished(following)


def _limit_process() -> None:
    signal.alarm(TIME_LIMIT_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = MEMORY_LIMIT_BYTES if hard == resource.RLIM_INFINITY else min(hard, MEMORY_LIMIT_BYTES)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def main() -> None:
    """Run the task on stdin."""
    _limit_process()
    task: Task = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the service, which started this process
    try:
        for step in read(task):
            sys.stdout.buffer.write(pickle.dumps(step))
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        return  # the service has ended
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
