"""The relay, on a real database and a real broker."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import Any

import pytest
from confluent_kafka.cimpl import NewTopic

from payment_service.config.config import Config
from payment_service.db import outbox
from payment_service.db.outbox import Fence, OutboxRow, Placement
from payment_service.db.pool import Pool
from payment_service.db.records import OutboxRecord, append_outbox
from payment_service.kafka import producer, publication
from payment_service.kafka.lease import Lease, boot_clock
from payment_service.kafka.producer import DeliveryReport, FailureScope, Producer
from payment_service_demo.embedded.broker import EmbeddedBroker
from payment_service_demo.embedded.process import free_port
from tests.support.eventually import eventually, eventually_async
from tests.support.kafka import Topics, admin, create_topics, topic_names
from tests.support.outbox import (
    INITIATED,
    SUCCEEDED,
    config_of,
    distinct,
    drained,
    first_occurrences,
    opened,
    pending,
    records,
    relaying,
    sequences,
    write,
)


def delete_topic(topics: Topics, name: str) -> None:
    """Delete a topic and wait until it is gone."""
    client = admin(topics.bootstrap_servers)
    client.delete_topics([name])[name].result(timeout=30)
    eventually(lambda: name not in topic_names(topics.bootstrap_servers))


class Watched(Producer):
    """The real producer; notes whether two records of one payment were ever on their way at once, and can lie."""

    def __init__(self, *args: Any, lies: dict[str, FailureScope] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lies = {} if lies is None else lies
        self.on_their_way: dict[int, OutboxRow] = {}
        self.overtaken: list[OutboxRow] = []
        self.sent: list[OutboxRow] = []

    def send(self, row: OutboxRow) -> None:
        """Note it, and send it unless its topic is one that we lie about."""
        if any(other.aggregate_id == row.aggregate_id for other in self.on_their_way.values()):
            self.overtaken.append(row)
        self.sent.append(row)
        if fault := self.lies.get(row.topic):
            self._report(DeliveryReport(row.position, fault, "INJECTED"))
        else:
            self.on_their_way[row.position] = row
            super().send(row)

    def drain_reports(self) -> list[DeliveryReport]:
        """Note what has arrived."""
        reports = super().drain_reports()
        for report in reports:
            self.on_their_way.pop(report.position, None)
        return reports


@pytest.mark.kafka
async def test_the_records_of_a_payment_arrive_in_their_order_with_key_value_and_headers(
    config: Config, pool: Pool, topics: Topics
) -> None:
    """Whatever the mix of payments and transactions, each payment's records carry 1..n."""
    payments = [uuid.uuid4() for _ in range(50)]
    written: list[OutboxRecord] = []
    async with relaying(config, pool):
        for sequence in range(1, 6):
            written += [record for p in payments for record in records(p, first=sequence)]
            await write(pool, written[-len(payments) :])
        await drained(pool)
    seen = await asyncio.to_thread(topics.read_count, 250, topics=[INITIATED])
    assert sequences(seen) == {str(p).encode(): [1, 2, 3, 4, 5] for p in payments}
    assert {(r.key, r.value, tuple(r.headers.items())) for r in seen} == {(w.key, w.value, w.headers) for w in written}


@pytest.mark.invariant("I5")
@pytest.mark.kafka
async def test_at_most_one_record_of_a_payment_is_unacknowledged(config: Config, pool: Pool, topics: Topics) -> None:
    """The next one goes out after the acknowledgement of the one before, so nothing can change their order."""
    producers: list[Watched] = []

    def watch(*args: Any, **options: Any) -> Watched:
        producers.append(Watched(*args, **options))
        return producers[-1]

    await write(pool, [record for _ in range(20) for record in records(uuid.uuid4(), 10)])
    async with relaying(config, pool, make_producer=watch):
        await drained(pool)
    [watched] = producers
    assert len(watched.sent) == 200
    assert watched.overtaken == []


@pytest.mark.invariant("I5")
async def test_a_transaction_that_commits_late_with_a_lower_position_is_not_passed_over(
    config: Config, pool: Pool, topics: Topics
) -> None:
    """Positions are drawn before commits: what is unpublished is asked for, never what is above the last one seen."""
    async with relaying(config, pool), pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await append_outbox(connection, records(uuid.uuid4()))
        await write(pool, records(uuid.uuid4()))
        await drained(pool)  # sees the second only
        await transaction.commit()
        await drained(pool)
    seen = await asyncio.to_thread(topics.read_count, 2, topics=[INITIATED])
    assert len(first_occurrences(seen)) == 2


async def test_a_successor_takes_over_and_the_marks_of_the_predecessor_are_refused(
    config: Config, pool: Pool, topics: Topics
) -> None:
    """The one that was paused wakes up, believes that it leads, and can change nothing."""
    predecessor = Lease(pool)
    assert await predecessor.take()
    await pool.execute("UPDATE relay_lease SET expires_at = '-infinity'")  # its time has passed while it was paused
    await write(pool, records(uuid.uuid4()))
    successor = Lease(pool)
    assert await successor.take()
    [row] = await outbox.fetch_unpublished(pool, limit=10, in_progress=[], limit_bytes=1_000)
    assert successor.fence.epoch > predecessor.fence.epoch
    assert not await outbox.mark_published(pool, [Placement(row.position, 0, 0)], predecessor.fence)
    assert not await outbox.park_aggregates(
        pool,
        [outbox.ParkedAggregate(aggregate_id=row.aggregate_id, position=row.position, topic=None, reason="x")],
        predecessor.fence,
    )
    assert await pending(pool) == 1
    assert await pool.fetchval("SELECT count(*) FROM outbox_placements") == 0
    assert await pool.fetchval("SELECT count(*) FROM parked_aggregates") == 0
    assert not await predecessor.renew()
    assert not predecessor.held
    assert await outbox.mark_published(pool, [Placement(row.position, 0, 0)], successor.fence)
    assert await pending(pool) == 0


async def test_one_relay_publishes_and_a_second_follows_when_it_stops(
    config: Config, pool: Pool, topics: Topics
) -> None:
    """A clean stop gives the lease back: the successor need not wait until it expires."""
    async with relaying(config, pool) as first:
        await eventually_async(lambda: first.leads)
        async with relaying(config, pool) as second:
            await write(pool, records(uuid.uuid4()))
            await drained(pool)
            assert not second.leads
            await first.stop()
            assert not first.leads
            await eventually_async(lambda: second.leads, timeout_s=3)
            await write(pool, records(uuid.uuid4()))
            await drained(pool)


@pytest.mark.invariant("I5")
async def test_a_relay_that_was_paused_beyond_its_lease_sends_nothing_more(
    config: Config, pool: Pool, topics: Topics
) -> None:
    """It need not ask anybody: by its own clock the lease may be another's."""
    paused_s = 0.0
    lease = Lease(pool, clock=lambda: boot_clock() + paused_s)
    assert await lease.take()
    assert lease.held
    paused_s = 6.0
    assert not lease.held


@pytest.mark.invariant("I4")
@pytest.mark.kafka
async def test_a_lost_acknowledgement_repeats_a_record_and_loses_none(
    config: Config, pool: Pool, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was acknowledged and not marked is published again; by `ce_id` each record is there exactly once."""
    failures = iter([True, True])

    def fail_twice(name: str) -> None:
        if name == "relay.acknowledged" and next(failures, False):
            raise RuntimeError(name)

    monkeypatch.setattr(publication, "reached", fail_twice)
    payments = [uuid.uuid4() for _ in range(30)]
    await write(pool, [record for p in payments for record in records(p, 4)])
    async with relaying(config, pool):
        await drained(pool)
    seen = await asyncio.to_thread(
        topics.read, lambda seen: len(seen) > 120 and distinct(120)(seen), topics=[INITIATED]
    )
    assert len(first_occurrences(seen)) == 120
    assert sequences(seen) == {str(p).encode(): [1, 2, 3, 4] for p in payments}


async def test_what_waited_for_a_broker_that_was_down_drains_in_order(
    service_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is parked and nothing is lost; a broker that has forgotten everything is written to all the same."""
    monkeypatch.setattr(
        producer, "MESSAGE_TIMEOUT_MS", 3_000
    )  # the library asks a broker without memory again and again
    port = free_port()
    config = config_of(service_env, KAFKA_BROKERS=f"127.0.0.1:{port}")
    payments = [uuid.uuid4() for _ in range(20)]
    async with opened(config) as pool, relaying(config, pool) as relay:
        await write(pool, [record for p in payments for record in records(p, 3)])
        await eventually_async(lambda: relay.leads)
        with EmbeddedBroker(port) as broker:
            await drained(pool)
            seen = await asyncio.to_thread(Topics(broker.bootstrap_servers).read, distinct(60), topics=[INITIATED])
            assert sequences(seen) == {str(p).encode(): [1, 2, 3] for p in payments}
        await write(pool, [record for p in payments for record in records(p, 2, first=4)])
        with EmbeddedBroker(port) as broker:
            await drained(pool, timeout_s=40)
            seen = await asyncio.to_thread(Topics(broker.bootstrap_servers).read, distinct(40), topics=[INITIATED])
            assert sequences(seen) == {str(p).encode(): [4, 5] for p in payments}
        assert await pool.fetchval("SELECT count(*) FROM parked_aggregates") == 0


@pytest.mark.invariant("I10")
async def test_a_topic_that_refuses_holds_only_payments_whose_next_record_goes_there(
    config: Config, pool: Pool, topics: Topics
) -> None:
    """The first payment waits with all it has; the second, held up at its second record, has its first one out."""
    lies = {SUCCEEDED: FailureScope.TOPIC}
    first, second, third = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    await write(pool, records(first, topic=SUCCEEDED) + records(first, first=2))
    await write(pool, records(second) + records(second, first=2, topic=SUCCEEDED) + records(second, first=3))
    await write(pool, records(third, 2))

    def make(*args: Any, **options: Any) -> Watched:
        return Watched(*args, lies=lies, **options)

    async def waiting() -> bool:
        return await pending(pool) == 4 and await pool.fetchval("SELECT count(*) FROM parked_aggregates") == 2

    async with relaying(config, pool, make_producer=make, probe_interval_s=0.2):
        await eventually_async(waiting)
        seen = await asyncio.to_thread(topics.read_count, 3, topics=[INITIATED])
        assert sequences(seen) == {str(second).encode(): [1], str(third).encode(): [1, 2]}
        lies.clear()
        await drained(pool)
    seen = await asyncio.to_thread(topics.read_count, 5, topics=[INITIATED])
    assert sequences(seen) == {str(first).encode(): [2], str(second).encode(): [1, 3], str(third).encode(): [1, 2]}
    assert await pool.fetchval("SELECT count(*) FROM parked_aggregates") == 0


@pytest.mark.kafka
async def test_a_topic_that_is_missing_is_waited_for(
    config: Config, pool: Pool, topics: Topics, request: pytest.FixtureRequest
) -> None:
    """Others go on meanwhile; when somebody has made the topic, its records follow by themselves."""
    if request.getfixturevalue("_apache_kafka") is None:
        pytest.skip("the embedded broker makes topics by itself")
    delete_topic(topics, SUCCEEDED)
    first, second = uuid.uuid4(), uuid.uuid4()
    await write(pool, records(first, topic=SUCCEEDED) + records(second))

    async def held() -> bool:
        return await pool.fetchval("SELECT count(*) FROM parked_aggregates") == 1 and await pending(pool) == 1

    async with relaying(config, pool, probe_interval_s=0.5):
        await eventually_async(held)
        create_topics(topics.bootstrap_servers, [SUCCEEDED])
        await drained(pool)


@pytest.mark.invariant("I10")
@pytest.mark.kafka
async def test_a_record_that_is_too_large_parks_only_its_payment(config: Config, pool: Pool, topics: Topics) -> None:
    """It can't be published by trying again: a person decides, and all others go on."""
    stuck, well = uuid.uuid4(), uuid.uuid4()
    await write(
        pool, records(stuck) + records(stuck, first=2, value=random.randbytes(1_500_000)) + records(stuck, first=3)
    )
    await write(pool, records(well, 3))

    async def parked() -> bool:
        return (
            await pending(pool) == 2
            and await pool.fetchval("SELECT count(*) FROM parked_aggregates WHERE topic IS NULL") == 1
        )

    async with relaying(config, pool):
        await eventually_async(parked)
        await write(pool, records(well, first=4))
        seen = await asyncio.to_thread(topics.read_count, 5, topics=[INITIATED])
    assert sequences(seen) == {str(stuck).encode(): [1], str(well).encode(): [1, 2, 3, 4]}
    assert await pool.fetchval("SELECT aggregateid FROM parked_aggregates") == stuck


@pytest.mark.kafka
async def test_a_batch_refused_for_one_record_parks_only_that_record(
    config: Config, pool: Pool, topics: Topics, request: pytest.FixtureRequest
) -> None:
    """The broker refuses a batch whole: each of its records is tried alone before any is parked."""
    if request.getfixturevalue("_apache_kafka") is None:
        pytest.skip("the embedded broker knows no limit of a topic")
    delete_topic(topics, SUCCEEDED)
    limited = NewTopic(SUCCEEDED, num_partitions=1, replication_factor=1, config={"max.message.bytes": "2000"})
    client = admin(topics.bootstrap_servers)
    client.create_topics([limited])[SUCCEEDED].result(timeout=30)
    small = [
        record for _ in range(20) for record in records(uuid.uuid4(), topic=SUCCEEDED, value=random.randbytes(300))
    ]
    [large] = records(uuid.uuid4(), topic=SUCCEEDED, value=random.randbytes(3_000))
    await write(pool, [*small, large])

    async def parked() -> bool:
        return await pending(pool) == 1

    async with relaying(config, pool):
        await eventually_async(parked)
    assert [row["aggregateid"] for row in await pool.fetch("SELECT aggregateid FROM parked_aggregates")] == [
        large.aggregate_id
    ]


async def test_what_is_held_does_not_fill_the_fetch(config: Config, pool: Pool, topics: Topics) -> None:
    """A thousand held records in front of one that can go delay it by nothing."""
    lease = Lease(pool)
    assert await lease.take()
    held = [uuid.uuid4() for _ in range(1_000)]
    await write(pool, [record for payment in held for record in records(payment)])
    holds = [outbox.ParkedAggregate(aggregate_id=payment, position=1, topic=None, reason="TEST") for payment in held]
    assert await outbox.park_aggregates(pool, holds, lease.fence)
    await write(pool, records(free := uuid.uuid4()))
    rows = await outbox.fetch_unpublished(pool, limit=10, in_progress=[], limit_bytes=1_000)
    assert [row.aggregate_id for row in rows] == [free]


@pytest.mark.invariant("I11")
async def test_large_values_are_fetched_within_a_bound_of_bytes(config: Config, pool: Pool, topics: Topics) -> None:
    """At least one, and at most one more than the bound."""
    await write(pool, [record for _ in range(5) for record in records(uuid.uuid4(), value=random.randbytes(400_000))])
    for limit_bytes, count in ((1, 1), (400_000, 1), (400_001, 2), (10_000_000, 5)):
        rows = await outbox.fetch_unpublished(pool, limit=10, in_progress=[], limit_bytes=limit_bytes)
        assert len(rows) == count


async def test_a_producer_that_has_failed_is_replaced(config: Config, pool: Pool, topics: Topics) -> None:
    """The library gives up for good on some errors; the relay does not."""
    producers: list[Watched] = []

    def make(*args: Any, **options: Any) -> Watched:
        producers.append(Watched(*args, **options))
        if len(producers) == 1:
            producers[0]._failure = "injected"
        return producers[-1]

    await write(pool, records(uuid.uuid4(), 3))
    async with relaying(config, pool, make_producer=make):
        await drained(pool, timeout_s=5)
    assert len(producers) == 2


async def test_a_stop_marks_what_was_acknowledged_and_gives_the_lease_back(
    config: Config, pool: Pool, topics: Topics
) -> None:
    """Nothing is on its way when the process ends, so a restart repeats nothing."""
    async with relaying(config, pool) as relay:
        await eventually_async(lambda: relay.leads)
        await write(pool, [record for _ in range(500) for record in records(uuid.uuid4(), 2)])
        relay.wake()

        async def some_are_out() -> bool:
            return await pending(pool) < 1_000

        await eventually_async(some_are_out, interval_s=0.001)
        await relay.stop()
    left = await pending(pool)
    published = await asyncio.to_thread(topics.read_count, 1_000 - left, topics=[INITIATED])
    assert len(published) == len(first_occurrences(published)) == 1_000 - left
    assert await pool.fetchval("SELECT holder IS NULL AND expires_at < now() FROM relay_lease")
    assert not await outbox.mark_published(pool, [Placement(1, 0, 0)], Fence(uuid.uuid4(), 0))
