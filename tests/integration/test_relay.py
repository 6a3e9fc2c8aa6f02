"""Test the relay on a real database and a real broker."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import Any

import pytest
from confluent_kafka.cimpl import NewTopic

from payment_service.config.config import Config
from payment_service.db import outbox
from payment_service.db.clock import steady_s
from payment_service.db.outbox import Fence, OutboxRow, Placement
from payment_service.db.pool import Pool
from payment_service.db.records import OutboxRecord, append
from payment_service.kafka import producer, publication
from payment_service.kafka.lease import Lease
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


class RecordingProducer(Producer):
    """The real producer, which can fake reports and finds records of one payment in flight at once."""

    def __init__(self, *args: Any, faked: dict[str, FailureScope] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.faked = {} if faked is None else faked
        self.in_flight: dict[int, OutboxRow] = {}
        self.overtaken: list[OutboxRow] = []
        self.sent: list[OutboxRow] = []

    def send(self, row: OutboxRow) -> None:
        """Record the row, and send it unless its topic has a faked report."""
        if any(other.aggregate_id == row.aggregate_id for other in self.in_flight.values()):
            self.overtaken.append(row)
        self.sent.append(row)
        if fault := self.faked.get(row.topic):
            self._report(DeliveryReport(row.position, fault, "INJECTED"))
        else:
            self.in_flight[row.position] = row
            super().send(row)

    def drain_reports(self) -> list[DeliveryReport]:
        """Record the reports that have arrived."""
        reports = super().drain_reports()
        for report in reports:
            self.in_flight.pop(report.position, None)
        return reports


@pytest.mark.kafka
async def test_records_arrive_in_order_with_key_value_and_headers(config: Config, pool: Pool, topics: Topics) -> None:
    """For any mix of payments and transactions, each payment's records have the sequences 1..n."""
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
    """The next record is sent after the previous acknowledgement, so nothing can change their order."""
    producers: list[RecordingProducer] = []

    def watch(*args: Any, **options: Any) -> RecordingProducer:
        producers.append(RecordingProducer(*args, **options))
        return producers[-1]

    await write(pool, [record for _ in range(20) for record in records(uuid.uuid4(), 10)])
    async with relaying(config, pool, make_producer=watch):
        await drained(pool)
    [watched] = producers
    assert len(watched.sent) == 200
    assert watched.overtaken == []


@pytest.mark.invariant("I5")
async def test_a_late_commit_with_a_lower_position_is_not_skipped(config: Config, pool: Pool, topics: Topics) -> None:
    """Positions are assigned before commits, so the relay queries unpublished rows, not rows past a position."""
    async with relaying(config, pool), pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await append(connection, records=records(uuid.uuid4()))
        await write(pool, records(uuid.uuid4()))
        await drained(pool)  # sees only the second
        await transaction.commit()
        await drained(pool)
    seen = await asyncio.to_thread(topics.read_count, 2, topics=[INITIATED])
    assert len(first_occurrences(seen)) == 2


async def test_a_former_leader_cannot_mark_records(config: Config, pool: Pool, topics: Topics) -> None:
    """The paused relay resumes in the belief that it leads, but it can change nothing."""
    predecessor = Lease(pool)
    assert await predecessor.take()
    await pool.execute("UPDATE relay_lease SET expires_at = '-infinity'")  # it expired during the pause
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
    assert await predecessor.renew() is None
    assert not predecessor.held
    assert await outbox.mark_published(pool, [Placement(row.position, 0, 0)], successor.fence)
    assert await pending(pool) == 0


async def test_a_renewal_finds_records_without_a_signal(
    config: Config, pool: Pool, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command sends no signal, and some poolers deliver none."""
    for name in ("BUSY_INTERVAL_S", "IDLE_INTERVAL_S"):
        monkeypatch.setattr(f"payment_service.kafka.relay.{name}", 600.0)
    async with relaying(config, pool, probe_interval_s=600.0):
        for _ in range(2):  # the first may be found by the first look
            await write(pool, records(uuid.uuid4()))
            await drained(pool)


async def test_a_second_relay_takes_over_when_the_first_stops(config: Config, pool: Pool, topics: Topics) -> None:
    """A clean stop releases the lease, so the successor does not wait until it expires."""
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
async def test_a_relay_paused_past_its_lease_sends_nothing_more(config: Config, pool: Pool, topics: Topics) -> None:
    """It needs no query: by its own clock the lease may belong to another relay."""
    paused_s = 0.0
    lease = Lease(pool, clock=lambda: steady_s() + paused_s)
    assert await lease.take()
    assert lease.held
    paused_s = 6.0
    assert not lease.held


@pytest.mark.invariant("I4")
@pytest.mark.kafka
async def test_a_lost_acknowledgement_repeats_a_record_and_loses_none(
    config: Config, pool: Pool, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An acknowledged but unmarked record is published again.

    Deduplicated by `ce_id`, each record is there exactly once.
    """
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


async def test_records_drain_in_order_after_a_broker_outage(
    service_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record is parked or lost, even if the broker has lost its data."""
    monkeypatch.setattr(producer, "MESSAGE_TIMEOUT_MS", 3_000)  # the library retries on a broker without data
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
async def test_a_failing_topic_delays_only_payments_with_a_next_record_for_it(
    config: Config, pool: Pool, topics: Topics
) -> None:
    """The first payment waits entirely. The second publishes its first record and waits at its second."""
    faked = {SUCCEEDED: FailureScope.TOPIC}
    first, second, third = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    await write(pool, records(first, topic=SUCCEEDED) + records(first, first=2))
    await write(pool, records(second) + records(second, first=2, topic=SUCCEEDED) + records(second, first=3))
    await write(pool, records(third, 2))

    def make(*args: Any, **options: Any) -> RecordingProducer:
        return RecordingProducer(*args, faked=faked, **options)

    async def waiting() -> bool:
        return await pending(pool) == 4 and await pool.fetchval("SELECT count(*) FROM parked_aggregates") == 2

    async with relaying(config, pool, make_producer=make, probe_interval_s=0.2):
        await eventually_async(waiting)
        seen = await asyncio.to_thread(topics.read_count, 3, topics=[INITIATED])
        assert sequences(seen) == {str(second).encode(): [1], str(third).encode(): [1, 2]}
        faked.clear()
        await drained(pool)
    seen = await asyncio.to_thread(topics.read_count, 5, topics=[INITIATED])
    assert sequences(seen) == {str(first).encode(): [2], str(second).encode(): [1, 3], str(third).encode(): [1, 2]}
    assert await pool.fetchval("SELECT count(*) FROM parked_aggregates") == 0


@pytest.mark.kafka
async def test_a_missing_topic_delays_only_its_own_records(
    config: Config, pool: Pool, topics: Topics, request: pytest.FixtureRequest
) -> None:
    """Other records are published meanwhile. The delayed ones follow as soon as the topic exists."""
    if request.getfixturevalue("_apache_kafka") is None:
        pytest.skip("needs Apache Kafka (make test-kafka): the embedded broker creates topics by itself")
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
async def test_a_too_large_record_parks_only_its_payment(config: Config, pool: Pool, topics: Topics) -> None:
    """Retrying cannot publish it, so an operator decides. All other payments continue."""
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
    """The broker refuses the batch as a whole, so the relay tries each record alone before it parks one."""
    if request.getfixturevalue("_apache_kafka") is None:
        pytest.skip("needs Apache Kafka (make test-kafka): the embedded broker has no size limit per topic")
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


async def test_parked_records_do_not_fill_the_fetch(config: Config, pool: Pool, topics: Topics) -> None:
    """A thousand parked records do not delay the next publishable one."""
    lease = Lease(pool)
    assert await lease.take()
    held = [uuid.uuid4() for _ in range(1_000)]
    await write(pool, [record for payment in held for record in records(payment)])
    parked_rows = [
        outbox.ParkedAggregate(aggregate_id=payment, position=1, topic=None, reason="TEST") for payment in held
    ]
    assert await outbox.park_aggregates(pool, parked_rows, lease.fence)
    await write(pool, records(free := uuid.uuid4()))
    rows = await outbox.fetch_unpublished(pool, limit=10, in_progress=[], limit_bytes=1_000)
    assert [row.aggregate_id for row in rows] == [free]


@pytest.mark.invariant("I11")
async def test_a_fetch_is_limited_in_bytes(config: Config, pool: Pool, topics: Topics) -> None:
    """It returns at least one record, and exceeds the limit by at most one."""
    await write(pool, [record for _ in range(5) for record in records(uuid.uuid4(), value=random.randbytes(400_000))])
    for limit_bytes, count in ((1, 1), (400_000, 1), (400_001, 2), (10_000_000, 5)):
        rows = await outbox.fetch_unpublished(pool, limit=10, in_progress=[], limit_bytes=limit_bytes)
        assert len(rows) == count


async def test_a_failed_producer_is_replaced(config: Config, pool: Pool, topics: Topics) -> None:
    """The library never recovers from some errors; the relay does."""
    producers: list[RecordingProducer] = []

    def make(*args: Any, **options: Any) -> RecordingProducer:
        producers.append(RecordingProducer(*args, **options))
        if len(producers) == 1:
            producers[0]._failure = "injected"
        return producers[-1]

    await write(pool, records(uuid.uuid4(), 3))
    async with relaying(config, pool, make_producer=make):
        await drained(pool, timeout_s=5)
    assert len(producers) == 2


async def test_stopping_marks_acknowledged_records_and_releases_the_lease(
    config: Config, pool: Pool, topics: Topics
) -> None:
    """No record is in flight when the process ends, so a restart repeats nothing."""
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
