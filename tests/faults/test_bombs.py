"""Test records that are small on the wire and large, deep or slow when they are read: nothing stops, and memory stays bounded."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bombs import (
    MEGABYTE,
    bomb,
    long_number,
    many_keys,
    nested,
    produce_packed,
    spaced_digits,
)
from tests.support.consumer import order
from tests.support.eventually import eventually
from tests.support.kafka import DEAD_LETTERS, PARTITIONS, Topics
from tests.support.service import ServiceProcess
from tests.support.shop import Shop

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

SEEN = "SELECT count(*) AS n FROM payments WHERE order_id = 'behind'"
BEHIND = json.dumps({"order_id": "behind", "user_id": "u", "total": "19.90", "currency": "eur"}).encode()


def memory_bytes(service: ServiceProcess, field: str) -> int:
    """Read a field of /proc: VmData is what RLIMIT_DATA counts, VmHWM the peak of the resident memory."""
    for line in Path(f"/proc/{service.pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    pytest.fail(f"{field} is not in /proc")


def limit_memory(service: ServiceProcess, growth_bytes: int) -> None:
    """Let the process grow by so much, as the memory limit of a container does."""
    limit = memory_bytes(service, "VmData") + growth_bytes
    resource.prlimit(service.pid, resource.RLIMIT_DATA, (limit, limit))
    resource.prlimit(service.pid, resource.RLIMIT_CORE, (0, 0))


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("codec", ["gzip", "lz4"])
def test_a_record_that_kills_the_process_is_set_aside_by_the_next_one(shop: Shop, codec: str) -> None:
    """Unpacking happens in the client library, before the service sees any record."""
    service = shop.serve()
    eventually(lambda: len(shop.query("SELECT FROM partition_readers WHERE ended_at IS NULL")) == PARTITIONS)
    limit_memory(service, 150 * MEGABYTE)
    [offset] = bomb(shop.topics, codec)
    produce_packed(shop.topics, [BEHIND], "none")
    shop.orders.append("behind")
    assert service.wait() == -signal.SIGABRT
    successor = shop.serve()
    shop.expect_bad(1)
    shop.wait_status("pending", "behind", timeout_s=120)
    assert successor.running
    assert memory_bytes(successor, "VmHWM") < 250 * MEGABYTE
    [row] = shop.query("SELECT reason, record_partition, record_offset FROM quarantine")
    assert row == {"reason": "unreadable", "record_partition": 0, "record_offset": offset}
    [letter] = shop.topics.read_count(1, topics=[DEAD_LETTERS])
    assert (letter.header("dlq_reason"), letter.header("dlq_offset")) == ("unreadable", str(offset))


@pytest.mark.invariant("I2")
def test_a_killed_process_has_nothing_set_aside(shop: Shop) -> None:
    """Its partitions are read in isolation, and every record is good."""
    first = shop.serve()
    shop.order(*(f"before-{n}" for n in range(20)))
    shop.wait_status("pending")
    for attempt in range(3):
        first.kill()
        shop.order(*(f"o-{attempt}-{n}" for n in range(20)))
        first = shop.serve()
    shop.wait_status("pending", timeout_s=60)
    assert first.logs("partition_read_in_isolation")
    assert shop.count("quarantine") == 0
    first.stop()
    last = shop.serve()
    shop.order("last")
    shop.wait_status("pending")
    assert last.logs("partition_read_in_isolation") == []
    shop.wait_quiet()
    shop.check()


def spaced(topics: Topics) -> int:
    return len(produce_packed(topics, [spaced_digits()] * 3, "gzip"))


def unpacked(codec: str, size: int, records: int = 1) -> Callable[[Topics], int]:
    def produce(topics: Topics) -> int:
        return sum(len(produce_packed(topics, [bytes(size)], codec)) for _ in range(records))

    return produce


def values(*contents: bytes) -> Callable[[Topics], int]:
    return lambda topics: len(produce_packed(topics, contents, "gzip"))


def with_good_order(**record: Any) -> Callable[[Topics], int]:
    """Odd keys and headers make no order bad."""

    def produce(topics: Topics) -> int:
        produce_packed(topics, [json.dumps(order(1)).encode()], "gzip", **record)
        return 0

    return produce


@pytest.mark.invariant("I10")
@pytest.mark.invariant("I11")
@pytest.mark.parametrize(
    "produce",
    [
        pytest.param(spaced, id="spaced digits"),
        pytest.param(unpacked("gzip", 50 * MEGABYTE, 8), id="gzip"),
        pytest.param(unpacked("zstd", 300 * MEGABYTE, 3), id="zstd"),
        pytest.param(unpacked("lz4", 50 * MEGABYTE, 3), id="lz4"),
        pytest.param(unpacked("snappy", 20 * MEGABYTE, 3), id="snappy"),
        pytest.param(values(nested(), nested(1_000_000), b'{"a":' * 200_000), id="nesting"),
        pytest.param(values(many_keys(200_000)), id="keys"),
        pytest.param(values(long_number(), long_number(5_000_000)), id="numbers"),
        pytest.param(with_good_order(headers=[("h", b"4 2 " * 200_000)]), id="a huge header"),
        pytest.param(with_good_order(headers=[(f"h{n}", b"4242") for n in range(50_000)]), id="many headers"),
        pytest.param(with_good_order(key=b"4 2 " * 200_000), id="a long key"),
    ],
)
def test_bombs_stop_nothing_and_webhooks_are_answered_meanwhile(shop: Shop, produce: Callable[[Topics], int]) -> None:
    """An order behind them is taken, customers pay, and memory stays bounded by one batch."""
    service = shop.serve()
    shop.order("first")
    shop.wait_status("pending", "first")
    bad = produce(shop.topics)
    produce_packed(shop.topics, [BEHIND], "none")
    shop.pay("first")
    shop.wait_status("succeeded", "first")
    eventually(lambda: shop.query(SEEN)[0]["n"] == 1, timeout_s=120)
    assert shop.count("quarantine") == bad
    assert service.running
    assert memory_bytes(service, "VmHWM") < 400 * MEGABYTE
