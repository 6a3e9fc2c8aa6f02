"""Test the positions of published records: stored by the relay, shown in the timeline, equal to those on the topic."""

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


async def timeline_records(pool: Pool, payment: uuid.UUID) -> list[RecordEntry]:
    """Return the records in a payment's timeline."""
    return [entry for _, entry in await timeline(pool, payment, limit=100) if isinstance(entry, RecordEntry)]


def positions(seen: list[Record]) -> list[tuple[str | None, str, int, int]]:
    """Return the position of each record on its topic, by id."""
    return sorted((str(record.header("ce_id")), record.topic, record.partition, record.offset) for record in seen)


def timeline_positions(entries: list[RecordEntry]) -> list[tuple[str, str, int | None, int | None]]:
    """Return the position of each record according to the timeline."""
    return sorted((str(entry.ce_id), entry.topic, entry.partition, entry.offset) for entry in entries)


@pytest.mark.kafka
async def test_the_timeline_shows_the_kafka_position_of_each_record(config: Config, pool: Pool, topics: Topics) -> None:
    """Partition and offset are the broker's own, so that you can find the record with any tool."""
    payments = [uuid.uuid4() for _ in range(20)]
    await write(pool, [record for p in payments for record in records(p, 2)])
    await write(pool, [record for p in payments for record in records(p, first=3, topic=SUCCEEDED)])
    [waiting, *_] = await timeline_records(pool, payments[0])
    assert (waiting.waiting, waiting.partition, waiting.text) == (
        True,
        None,
        f"{INITIATED} number 1 is waiting to be published.",
    )
    async with relaying(config, pool):
        await drained(pool)
    seen = list(await asyncio.to_thread(topics.read_count, 60, topics=[INITIATED, SUCCEEDED]))
    assert timeline_positions([entry for p in payments for entry in await timeline_records(pool, p)]) == positions(seen)
    assert {entry.waiting for entry in await timeline_records(pool, payments[0])} == {False}


@pytest.mark.kafka
async def test_a_republished_record_shows_both_positions(config: Config, pool: Pool, topics: Topics) -> None:
    """A republished record is on the topic twice with one `ce_id`."""
    payment = uuid.uuid4()
    await write(pool, records(payment))
    async with relaying(config, pool) as relay:
        await drained(pool)
        await pool.execute(REPUBLISH)
        relay.wake()
        await drained(pool)
    seen = list(await asyncio.to_thread(topics.read_count, 2, topics=[INITIATED]))
    entries = await timeline_records(pool, payment)
    assert timeline_positions(entries) == positions(seen)
    assert len({entry.offset for entry in entries}) == 2
