"""Test the consumer's lag over gaps in offsets, records that were deleted unread, and new partitions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.cimpl import NewPartitions
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from payment_service.config.config import Config
from payment_service.kafka.consumer_settings import METADATA_INTERVAL_MS
from payment_service.kafka.unread import deleted_unread
from tests.support.consumer import BatchReceiver, Start, lag_of, order
from tests.support.eventually import eventually_async
from tests.support.kafka import ORDERS, PARTITIONS, QUIET, Topics, admin, group_id


def produce_in_transactions(topics: Topics, numbers: Sequence[int], *, aborted: int) -> None:
    """Write one order per committed transaction to partition 0, and then `aborted` in one that is aborted."""
    producer = Producer({"bootstrap.servers": topics.bootstrap_servers, "transactional.id": group_id(), **QUIET})
    producer.init_transactions(30)
    for number in numbers:
        producer.begin_transaction()
        producer.produce(ORDERS, json.dumps(order(number)).encode(), partition=0)
        producer.commit_transaction(30)
    producer.begin_transaction()
    for number in range(aborted):
        producer.produce(ORDERS, json.dumps(order(number)).encode(), partition=0)
    producer.flush(30)
    producer.abort_transaction(30)


def delete_records(topics: Topics, before: int) -> None:
    """Delete the records of partition 0 below an offset, as retention does; -1 deletes all."""
    wanted = [TopicPartition(ORDERS, 0, before)]
    client = admin(topics.bootstrap_servers)  # a client that is garbage-collected fails its requests
    for deletion in client.delete_records(wanted).values():
        deletion.result(timeout=30)


def skipped() -> float:
    """Read the counter of skipped records of partition 0."""
    labels = {"topic": ORDERS, "partition": "0"}
    return REGISTRY.get_sample_value("payments_skipped_records_total", labels) or 0


@pytest.mark.kafka
async def test_lag_is_zero_when_all_is_read_despite_wrong_end_offsets(topics: Topics, member: Start) -> None:
    topics.produce([order(n) for n in range(10)], partition=0)
    receiver = BatchReceiver()
    consumer = member(receiver)
    await receiver.wait_for(10)
    await eventually_async(lambda: lag_of(0) == 0, timeout_s=10)
    assert consumer.alive()


@pytest.mark.kafka
async def test_an_end_with_records_behind_it_is_no_end(
    topics: Topics, member: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position must not go back to an end that was reached before the records of the same poll."""
    numbers = iter(range(5))

    class BusyConsumer(Consumer):
        """Return an end together with an order that is written just behind it."""

        def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
            messages = super().consume(num_messages=num_messages, timeout=timeout)
            if any(m.error() and m.partition() == 0 for m in messages) and (number := next(numbers, None)) is not None:
                topics.produce([order(number)], partition=0)
                while messages[-1].error():
                    messages += super().consume(num_messages=1, timeout=5)
            return messages

    monkeypatch.setattr("payment_service.kafka.consumer.Consumer", BusyConsumer)
    receiver = BatchReceiver()
    with capture_logs() as logs:
        consumer = member(receiver)
        await receiver.wait_for(5)
        await eventually_async(lambda: consumer.positions()[ORDERS, 0] == 5, timeout_s=30)
    assert [line for line in logs if line["event"] == "partition_restarted"] == []


@pytest.mark.kafka
@pytest.mark.usefixtures("exact_ends")
async def test_lag_is_reported_while_no_batch_is_accepted(topics: Topics, member: Start) -> None:
    """The alerts mainly serve database outages, which can start before the first batch."""
    topics.produce([order(n) for n in range(10)], partition=0)
    receiver = BatchReceiver()
    receiver.refusals_left = 1_000_000
    consumer = member(receiver)
    await eventually_async(lambda: lag_of(0) == 10, timeout_s=30)
    topics.produce([order(n) for n in range(10, 15)], partition=0)
    await eventually_async(lambda: lag_of(0) == 15, timeout_s=30)
    assert receiver.accepted == []
    receiver.refusals_left = 0
    await eventually_async(lambda: lag_of(0) == 0, timeout_s=30)
    assert len(receiver.positions) == 15
    assert consumer.alive()


@pytest.mark.kafka
@pytest.mark.usefixtures("exact_ends")
async def test_lag_returns_to_zero_after_transactional_producers(topics: Topics, member: Start) -> None:
    """Control records and aborted records have offsets, and no consumer receives them."""
    produce_in_transactions(topics, range(4), aborted=3)
    before, receiver, successor = skipped(), BatchReceiver(), BatchReceiver()
    consumer = member(receiver)
    await receiver.wait_for(4)
    await eventually_async(lambda: lag_of(0) == 0, timeout_s=30)
    produce_in_transactions(topics, [], aborted=2)
    await eventually_async(lambda: consumer.positions()[ORDERS, 0] > 12, timeout_s=30)
    await eventually_async(lambda: lag_of(0) == 0, timeout_s=30)
    await asyncio.to_thread(consumer.stop)
    again = member(successor)
    await eventually_async(again.positions, timeout_s=30)
    await eventually_async(lambda: lag_of(0) == 0, timeout_s=30)
    assert (len(receiver.accepted), successor.accepted, skipped()) == (4, [], before)


@pytest.mark.kafka
@pytest.mark.usefixtures("exact_ends")
@pytest.mark.parametrize(("deleted_before", "left"), [(7, 3), (-1, 0)])
async def test_records_that_were_deleted_unread_are_counted(
    group_config: Config, topics: Topics, member: Start, deleted_before: int, left: int
) -> None:
    """Retention deletes records while the service is down: some of the unread ones, or all of them."""
    before, receiver, successor = skipped(), BatchReceiver(), BatchReceiver()
    topics.produce([order(n) for n in range(4)], partition=0)
    consumer = member(receiver)
    await receiver.wait_for(4)
    await asyncio.to_thread(consumer.stop)
    topics.produce([order(n) for n in range(4, 10)], partition=0)
    await asyncio.to_thread(delete_records, topics, deleted_before)
    [found] = await asyncio.to_thread(deleted_unread, group_config, {ORDERS: PARTITIONS}, 10)
    assert (found.partition, found.first, found.count) == (0, 4, 6 - left)
    member(successor)
    await eventually_async(lambda: skipped() - before == 6 - left, timeout_s=30)
    await successor.wait_for(left)
    await eventually_async(lambda: lag_of(0) == 0, timeout_s=30)


@pytest.mark.kafka
@pytest.mark.usefixtures("exact_ends")
async def test_a_new_partition_is_read(topics: Topics, member: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client looks for partitions at the metadata interval, which is under a minute."""
    assert METADATA_INTERVAL_MS < 60_000
    monkeypatch.setattr("payment_service.kafka.consumer_settings.METADATA_INTERVAL_MS", 1_000)
    receiver = BatchReceiver()
    consumer = member(receiver)
    await eventually_async(consumer.positions, timeout_s=30)
    wanted = [NewPartitions(ORDERS, PARTITIONS + 1)]
    client = admin(topics.bootstrap_servers)
    for creation in client.create_partitions(wanted).values():
        creation.result(timeout=30)
    await eventually_async(lambda: (ORDERS, PARTITIONS) in consumer.positions(), timeout_s=30)
    topics.produce([order(1)], partition=PARTITIONS)
    await receiver.wait_for(1)
