"""Test topics that were created again, moved, compacted, or written by transactions that never end. Needs Apache Kafka."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType  # type: ignore[attr-defined]
from prometheus_client import REGISTRY

from payment_service.config.config import Config
from payment_service.contracts.findings import Finding, Verdict
from payment_service.doctor.broker import check_broker
from tests.support.consumer import BatchReceiver, Start, lag_of, order
from tests.support.eventually import eventually_async
from tests.support.kafka import ORDERS, PARTITIONS, QUIET, Topics, admin, create_topics, group_id

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("exact_ends"), pytest.mark.timeout(120)]


def recreate(topics: Topics, partitions: int = PARTITIONS) -> None:
    """Delete `orders.created` and create it again."""
    client = admin(topics.bootstrap_servers)
    for deletion in client.delete_topics([ORDERS]).values():
        deletion.result(timeout=30)
    create_topics(topics.bootstrap_servers, [ORDERS], partitions)


def set_topic(topics: Topics, **settings: str) -> None:
    """Change settings of `orders.created`."""
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    client = admin(topics.bootstrap_servers)
    resource = ConfigResource(ResourceType.TOPIC, ORDERS, incremental_configs=entries)
    for change in client.incremental_alter_configs([resource]).values():
        change.result(timeout=30)


def replaced() -> float:
    labels = {"topic": ORDERS, "partition": "0"}
    return REGISTRY.get_sample_value("payments_replaced_partitions_total", labels) or 0


async def findings(config: Config) -> list[Finding]:
    return [finding async for finding in check_broker(config)]


def order_ids(receiver: BatchReceiver) -> list[str]:
    return [getattr(record.decoded, "order_id", "") for record in receiver.accepted]


async def test_a_topic_created_again_is_read_from_its_first_record_after_a_stop(topics: Topics, member: Start) -> None:
    topics.produce([order(n) for n in range(5)], partition=0)
    receiver, successor = BatchReceiver(), BatchReceiver()
    consumer = member(receiver)
    await receiver.wait_for(5)
    await asyncio.to_thread(consumer.stop)
    await asyncio.to_thread(recreate, topics)
    topics.produce([order(n) for n in range(100, 120)], partition=0)
    member(successor)
    await successor.wait_for(20)
    assert order_ids(successor) == [f"o-{n}" for n in range(100, 120)]


@pytest.mark.parametrize("partitions", [PARTITIONS, 2])
async def test_a_topic_created_again_is_read_from_its_first_record_while_the_service_runs(
    topics: Topics, member: Start, monkeypatch: pytest.MonkeyPatch, partitions: int
) -> None:
    """It soon has more records than the position, so the client sees nothing unusual."""
    monkeypatch.setattr("payment_service.kafka.topic_ids.CHECK_INTERVAL_S", 0.5)
    topics.produce([order(n) for n in range(5)], partition=0)
    receiver, before = BatchReceiver(), replaced()
    member(receiver)
    await receiver.wait_for(5)
    receiver.accepted.clear()
    await asyncio.to_thread(recreate, topics, partitions)
    topics.produce([order(n) for n in range(100, 120)], partition=0)
    await eventually_async(lambda: {f"o-{n}" for n in range(100, 120)} <= set(order_ids(receiver)), timeout_s=60)
    await eventually_async(lambda: lag_of(0) == 0, timeout_s=30)
    assert replaced() >= before


async def test_a_position_of_another_topic_is_not_used(group_config: Config, topics: Topics, member: Start) -> None:
    """It would skip five orders without a word."""
    topics.produce([order(n) for n in range(10)], partition=0)
    await asyncio.to_thread(topics.commit, group_config.kafka_group_id, 5, "another-topic-id")
    receiver, before = BatchReceiver(), replaced()
    consumer = member(receiver)
    await receiver.wait_for(10)
    assert replaced() == before + 1
    await eventually_async(lambda: lag_of(0) == 0, timeout_s=30)
    await asyncio.to_thread(consumer.stop)
    successor = BatchReceiver()
    again = member(successor)
    await eventually_async(lambda: again.positions().get((ORDERS, 0)) == 10, timeout_s=30)
    assert (successor.accepted, replaced()) == ([], before + 1)


async def test_a_position_that_an_operator_set_is_used(group_config: Config, topics: Topics, member: Start) -> None:
    topics.produce([order(n) for n in range(10)], partition=0)
    await asyncio.to_thread(topics.commit, group_config.kafka_group_id, 5, "")
    receiver = BatchReceiver()
    member(receiver)
    await receiver.wait_for(5)
    assert order_ids(receiver) == [f"o-{n}" for n in range(5, 10)]


async def test_a_position_beyond_the_end_is_not_used(group_config: Config, topics: Topics, member: Start) -> None:
    topics.produce([order(n) for n in range(10)], partition=0)
    await asyncio.to_thread(topics.commit, group_config.kafka_group_id, 1_000, "")
    receiver = BatchReceiver()
    member(receiver)
    await receiver.wait_for(10)


async def test_an_open_transaction_is_reported_and_the_orders_behind_it_are_read_at_its_end(
    group_config: Config, topics: Topics, member: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payment_service.kafka.consumer.STALL_S", 2.0)
    topics.produce([order(0)], partition=0)
    producer = Producer({"bootstrap.servers": topics.bootstrap_servers, "transactional.id": group_id(), **QUIET})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(ORDERS, json.dumps(order(1)).encode(), partition=0)
    producer.flush(30)
    topics.produce([order(2), order(3)], partition=0)
    receiver = BatchReceiver()
    consumer = member(receiver)
    await receiver.wait_for(1)
    await eventually_async(lambda: lag_of(0) == 3, timeout_s=30)
    found = await findings(group_config)
    [waiting] = [one for one in found if "transaction" in one.found]
    assert waiting.verdict is Verdict.WARNING
    assert f"{ORDERS}-0: 3 offsets wait behind a transaction that is open at 1" in waiting.found
    held_at = asyncio.get_running_loop().time()
    await eventually_async(lambda: asyncio.get_running_loop().time() > held_at + 3)
    assert consumer.alive()  # a restart would change nothing
    producer.abort_transaction(30)
    await receiver.wait_for(3)
    assert order_ids(receiver) == ["o-0", "o-2", "o-3"]
    await eventually_async(lambda: lag_of(0) == 0, timeout_s=30)


async def test_compaction_and_large_batches_are_reported(group_config: Config, topics: Topics) -> None:
    assert [one for one in await findings(group_config) if one.verdict is Verdict.WARNING] == []
    await asyncio.to_thread(set_topic, topics, cleanup_policy="compact,delete", max_message_bytes="20000000")

    async def reported() -> list[str]:
        return [one.found for one in await findings(group_config) if one.verdict is Verdict.WARNING]

    await eventually_async(reported, timeout_s=30)  # the broker applies changes of settings later
    size, compaction = await reported()
    assert "max.message.bytes is 20000000" in size
    assert "compaction" in compaction


async def test_gaps_of_compaction_lose_no_order_and_leave_no_lag(topics: Topics, member: Start) -> None:
    await asyncio.to_thread(
        set_topic,
        topics,
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="100",
    )
    kept: dict[str, Any] = {}
    for n in range(30):
        topics.produce([order(n)], partition=0, key=lambda one: str(int(one["order_id"][2:]) % 3))
        kept[str(n % 3)] = n
    receiver = BatchReceiver()
    member(receiver)
    await eventually_async(lambda: f"o-{29}" in order_ids(receiver), timeout_s=60)
    assert {f"o-{n}" for n in kept.values()} <= set(order_ids(receiver))
    await eventually_async(lambda: lag_of(0) == 0, timeout_s=30)
