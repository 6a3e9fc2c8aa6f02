"""Test the order consumer on a real broker. The test plays the flow that accepts the batches."""

from __future__ import annotations

import asyncio
import ctypes
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import Consumer, TopicPartition

from payment_service.config.config import Config
from payment_service.domain.order import Order, Rejected
from payment_service.kafka.consumer import OrderConsumer
from tests.support.consumer import BatchReceiver, Start, order
from tests.support.eventually import eventually_async
from tests.support.kafka import ORDERS, PARTITIONS, QUIET, Topics
from tests.support.outbox import config_of


@contextmanager
def same_group(config: Config) -> Iterator[Consumer]:
    """Return a client that reads the group's offsets without joining it."""
    client = Consumer({"bootstrap.servers": config.kafka_brokers, "group.id": config.kafka_group_id, **QUIET})
    try:
        yield client
    finally:
        client.close()


def produce_with_header(topics: Topics, name: bytes, value: bytes) -> None:
    """Write a record whose header name may be any bytes, which only librdkafka itself allows."""
    package = Path(confluent_kafka.__file__).parent
    library = ctypes.CDLL(str(next((package.parent / "confluent_kafka.libs").glob("librdkafka*"))))
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = ctypes.c_void_p
    configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
    servers = topics.bootstrap_servers.encode()
    assert library.rd_kafka_conf_set(configuration, b"bootstrap.servers", servers, None, ctypes.c_size_t(0)) == 0
    producer = ctypes.c_void_p(library.rd_kafka_new(0, configuration, None, ctypes.c_size_t(0)))
    topic, copied_value, flags, header, end = (
        (1, ORDERS.encode()),
        (4, value, ctypes.c_size_t(len(value))),
        (7, 2),
        9,
        0,
    )
    one = ctypes.c_ssize_t(1)
    assert library.rd_kafka_producev(producer, *topic, *copied_value, *flags, header, name, b"v", one, end) == 0
    assert library.rd_kafka_flush(producer, 10_000) == 0
    library.rd_kafka_destroy(producer)


def committed(config: Config) -> int:
    """Return the number of records that the group has committed on all partitions."""
    positions = [TopicPartition(ORDERS, partition) for partition in range(PARTITIONS)]
    with same_group(config) as client:
        return sum(max(0, found.offset) for found in client.committed(positions, timeout=10))


@pytest.mark.kafka
async def test_orders_are_read_from_the_oldest_and_committed_after_acceptance(
    group_config: Config, topics: Topics, member: Start
) -> None:
    """No offset is committed while a batch is being accepted; afterwards all are."""
    topics.produce(
        [order(n) for n in range(40)], key=lambda o: o["order_id"], headers={"h": "v"}, timestamp_ms=1_790_000_000_000
    )
    receiver = BatchReceiver()
    receiver.open.clear()
    member(receiver)
    await eventually_async(lambda: receiver.waiting, timeout_s=30)
    assert await asyncio.to_thread(committed, group_config) == 0
    receiver.open.set()
    await receiver.wait_for(40)
    await eventually_async(lambda: asyncio.to_thread(committed, group_config), timeout_s=10)
    assert len(receiver.accepted) == 40
    first = receiver.accepted[0]
    assert isinstance(first.decoded, Order)
    assert first.decoded.order_id.encode() == first.key
    assert (first.headers, first.timestamp_ms) == ((("h", b"v"),), 1_790_000_000_000)


@pytest.mark.invariant("I2")
@pytest.mark.kafka
async def test_a_rejected_batch_is_retried_and_nothing_is_lost(
    group_config: Config, topics: Topics, member: Start
) -> None:
    """While the database is down no offset moves. Afterwards the same records follow, each once."""
    receiver = BatchReceiver()
    receiver.refusals_left = 4
    topics.produce([order(n) for n in range(30)], key=lambda o: o["order_id"])
    member(receiver)
    await eventually_async(lambda: len(receiver.refused) >= 2, timeout_s=30)
    assert receiver.accepted == []
    assert await asyncio.to_thread(committed, group_config) == 0
    await receiver.wait_for(30)
    assert len(receiver.accepted) == 30
    for partition in range(PARTITIONS):
        offsets = [a.offset for a in receiver.accepted if a.partition == partition]
        assert offsets == list(range(len(offsets)))


@pytest.mark.invariant("I2")
@pytest.mark.kafka
async def test_a_rebalance_loses_no_record(group_config: Config, topics: Topics, member: Start) -> None:
    """A second member joins and the first leaves while orders arrive. Every record is accepted."""
    first, second = BatchReceiver(), BatchReceiver()
    one = member(first)
    await eventually_async(one.positions, timeout_s=30)
    stop_producing = threading.Event()
    produced = 0

    def produce() -> None:
        nonlocal produced
        while not stop_producing.is_set():
            topics.produce([order(produced + n) for n in range(20)], key=lambda o: o["order_id"])
            produced += 20

    producing = asyncio.create_task(asyncio.to_thread(produce))
    await first.wait_for(40)
    two = member(second)
    await eventually_async(two.positions, timeout_s=30)
    await eventually_async(lambda: len(one.positions()) < PARTITIONS, timeout_s=30)
    await second.wait_for(20)
    await asyncio.to_thread(one.stop)
    await eventually_async(lambda: len(two.positions()) == PARTITIONS, timeout_s=30)
    stop_producing.set()
    await producing
    await eventually_async(lambda: len(first.positions | second.positions) == produced, timeout_s=30)


@pytest.mark.kafka
async def test_stopping_finishes_and_commits_the_current_batch(
    group_config: Config, topics: Topics, member: Start
) -> None:
    """A restart therefore repeats nothing."""
    receiver, successor = BatchReceiver(), BatchReceiver()
    receiver.open.clear()
    topics.produce([order(n) for n in range(25)], key=lambda o: o["order_id"])
    consumer = member(receiver)
    await eventually_async(lambda: receiver.waiting, timeout_s=30)
    stopping = asyncio.create_task(asyncio.to_thread(consumer.stop))
    await asyncio.sleep(0)
    receiver.open.set()
    await stopping
    assert not consumer.alive()
    taken = len(receiver.accepted)
    assert taken > 0
    assert await asyncio.to_thread(committed, group_config) == taken
    member(successor)
    if taken < 25:
        await successor.wait_for(25 - taken)
    assert receiver.positions.isdisjoint(successor.positions)


@pytest.mark.kafka
async def test_stopping_abandons_a_hanging_batch_without_committing_it(
    group_config: Config, topics: Topics, member: Start
) -> None:
    """A database that does not respond can neither delay the exit nor lose a record."""
    receiver, successor = BatchReceiver(), BatchReceiver()
    receiver.open.clear()
    topics.produce([order(1)])
    consumer = member(receiver)
    await eventually_async(lambda: receiver.waiting, timeout_s=30)
    await asyncio.to_thread(consumer.stop, 0.2)
    assert not consumer.alive()
    assert await asyncio.to_thread(committed, group_config) == 0
    member(successor)
    await successor.wait_for(1)


@pytest.mark.kafka
async def test_bad_records_are_delivered_as_rejected_and_block_nothing(topics: Topics, member: Start) -> None:
    """No value, no JSON, no key, odd headers: each is an inbound record like any other."""
    topics.produce([b"\xff\xfe", None, b"", b"{", order(1), b"[]"], headers={"odd": b"\xff\x00"})
    receiver = BatchReceiver()
    member(receiver)
    await receiver.wait_for(6)
    assert len([a for a in receiver.accepted if isinstance(a.decoded, Rejected)]) == 5
    assert {a.headers for a in receiver.accepted} == {(("odd", b"\xff\x00"),)}


@pytest.mark.kafka
async def test_a_header_name_that_is_not_utf_8_blocks_nothing(topics: Topics, member: Start) -> None:
    """The client library raises on it, but the order in the value is still valid."""
    topics.produce([order(n) for n in range(50)], headers={"h": "v"})  # warm up the interpreter
    produce_with_header(topics, b"\xff\xfe", json.dumps(order(50)).encode())
    topics.produce([order(51)], headers={"h": "v"})
    receiver = BatchReceiver()
    member(receiver)
    await receiver.wait_for(52)
    assert sorted(inbound_record.headers for inbound_record in receiver.accepted) == [(), *[(("h", b"v"),)] * 51]
    assert all(isinstance(inbound_record.decoded, Order) for inbound_record in receiver.accepted)


@pytest.mark.kafka
async def test_a_new_group_starts_at_the_oldest_offset(
    service_env: dict[str, str], topics: Topics, member: Start
) -> None:
    """A renamed group rereads everything instead of skipping existing records."""
    topics.produce([order(n) for n in range(10)])
    receiver, again = BatchReceiver(), BatchReceiver()
    member(receiver)
    await receiver.wait_for(10)
    renamed = OrderConsumer(
        config_of(service_env, KAFKA_SESSION_TIMEOUT_MS="2000"), again.accept, asyncio.get_running_loop()
    )
    renamed.start()
    await again.wait_for(10)
    await asyncio.to_thread(renamed.stop)
    assert again.positions == receiver.positions


async def test_a_consumer_without_progress_is_reported(
    topics: Topics, member: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hanging consumer looks healthy from outside unless its progress is compared."""
    monkeypatch.setattr("payment_service.kafka.consumer.STALL_S", 0.5)
    receiver = BatchReceiver()
    consumer = member(receiver)
    await eventually_async(consumer.positions, timeout_s=30)
    await eventually_async(consumer.alive)
    receiver.open.clear()
    topics.produce([order(1)])
    await eventually_async(lambda: receiver.waiting, timeout_s=30)
    await eventually_async(lambda: not consumer.alive())
    receiver.open.set()
    await eventually_async(consumer.alive)
