"""Where published records are: noted by the mark, told by the timeline, the same as on the topic."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from payment_service.config.config import Config
from payment_service.contracts.timeline import RecordEntry
from payment_service.db.pool import Pool
from payment_service.db.timeline import timeline
from tests.support.kafka import Record, Topics
from tests.support.outbox import INITIATED, SUCCEEDED, drained, records, relaying, write

REPUBLISH = "INSERT INTO outbox_pending (position, aggregateid, created_at) SELECT position, aggregateid, created_at FROM outbox"


async def told(pool: Pool, payment: uuid.UUID) -> list[RecordEntry]:
    """The records in a payment's timeline."""
    return [entry for _, entry in await timeline(pool, payment, limit=100) if isinstance(entry, RecordEntry)]


def places(seen: list[Record]) -> list[tuple[str | None, str, int, int]]:
    """Where records are on their topics, by id."""
    return sorted((str(record.header("ce_id")), record.topic, record.partition, record.offset) for record in seen)


def places_told(entries: list[RecordEntry]) -> list[tuple[str, str, int | None, int | None]]:
    """Where the timeline says that they are."""
    return sorted((str(entry.ce_id), entry.topic, entry.partition, entry.offset) for entry in entries)


@pytest.mark.kafka
async def test_the_timeline_says_where_on_kafka_each_record_is(config: Config, pool: Pool, topics: Topics) -> None:
    """Partition and offset are the broker's own, so that a person finds the record with any tool."""
    payments = [uuid.uuid4() for _ in range(20)]
    await write(pool, [record for p in payments for record in records(p, 2)])
    await write(pool, [record for p in payments for record in records(p, first=3, topic=SUCCEEDED)])
    [waiting, *_] = await told(pool, payments[0])
    assert (waiting.waiting, waiting.partition, waiting.text) == (
        True,
        None,
        f"{INITIATED} number 1 waits to be published.",
    )
    async with relaying(config, pool):
        await drained(pool)
    seen = list(await asyncio.to_thread(topics.read_count, 60, topics=[INITIATED, SUCCEEDED]))
    assert places_told([entry for p in payments for entry in await told(pool, p)]) == places(seen)
    assert {entry.waiting for entry in await told(pool, payments[0])} == {False}


@pytest.mark.kafka
async def test_a_record_that_is_published_again_has_both_places(config: Config, pool: Pool, topics: Topics) -> None:
    """Published again on purpose, it is on the topic twice, under one `ce_id`."""
    payment = uuid.uuid4()
    await write(pool, records(payment))
    async with relaying(config, pool) as relay:
        await drained(pool)
        await pool.execute(REPUBLISH)
        relay.wake()
        await drained(pool)
    seen = list(await asyncio.to_thread(topics.read_count, 2, topics=[INITIATED]))
    entries = await told(pool, payment)
    assert places_told(entries) == places(seen)
    assert len({entry.offset for entry in entries}) == 2
