"""Test that published records are compared with the outbox, by topic, partition and offset."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import asyncpg
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from payment_service.config.config import Config
from payment_service.db.placements import Place, PublishedRow
from payment_service.db.pool import Pool
from payment_service.flows.comparisons.topics import TopicRecord, TopicsUnavailable, compare_placed, compare_topics
from payment_service.kafka import published_records
from payment_service.kafka.published_records import GAP_RECORDS, PublishedRecords, _runs
from payment_service_events import TOPICS
from tests.support.kafka import Topics
from tests.support.outbox import INITIATED, SUCCEEDED, drained, records, relaying, write


class Faulty:
    """A consumer with injected faults."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)


class Silent(Faulty):
    """A consumer whose broker answers but sends no records."""

    def consume(self, *_arguments: object) -> list[Message]:
        return []


class Moving(Faulty):
    """A consumer of partitions that get another leader: Apache Kafka answers so while it elects one."""

    elections = 2

    def offsets_for_times(self, *arguments: Any, **options: Any) -> list[TopicPartition]:
        if self.elections:
            self.elections -= 1
            raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
        return self._consumer.offsets_for_times(*arguments, **options)


PLACEMENT_OF = "position = (SELECT position FROM outbox WHERE aggregateid = $1 AND sequence = 1)"


@pytest.fixture
async def payments(config: Config, pool: Pool, topics: Topics) -> list[uuid.UUID]:
    """Publish two records of each of three payments."""
    names = [uuid.uuid4() for _ in range(3)]
    now = datetime.now(UTC)
    for name in names:
        await write(pool, [*records(name, now=now), *records(name, first=2, topic=SUCCEEDED, now=now)])
    async with relaying(config, pool):
        await drained(pool)
    return names


async def differences(config: Config, pool: Pool) -> list[tuple[str, uuid.UUID | None]]:
    """Compare all topics, and return codes and payments."""
    async with PublishedRecords(config, TOPICS) as reader:
        found = [difference async for difference in compare_topics(pool, reader, deployment="default")]
    assert len({difference.key for difference in found}) == len(found)
    return [(difference.code, difference.payment_id) for difference in found]


async def repeat(pool: Pool, topics: Topics, payment: uuid.UUID, **changes: str) -> None:
    """Write the first record of a payment to its topic again, with other headers."""
    row: Any = await pool.fetchrow("SELECT * FROM outbox WHERE aggregateid = $1 AND sequence = 1", payment)
    headers: Mapping[str, str] = {**dict(json.loads(row["headers"])), **changes}
    await asyncio.to_thread(
        topics.produce, [row["payload"]], topic=INITIATED, key=lambda _value: row["key"], headers=headers
    )


@pytest.mark.kafka
async def test_published_records_agree_with_the_outbox(config: Config, pool: Pool, payments: list[uuid.UUID]) -> None:
    assert await differences(config, pool) == []


async def test_a_broker_that_becomes_silent_before_the_end_gives_no_differences(
    config: Config, pool: Pool, payments: list[uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records that did not arrive would count as missing, and a recovery would use their numbers again."""
    monkeypatch.setattr(published_records, "IDLE_S", 0.0)
    monkeypatch.setattr(published_records, "SILENCE_S", 0.5)
    async with PublishedRecords(config, TOPICS) as reader:
        offsets = await reader.starts(datetime.fromtimestamp(0, UTC))
        silent = patch.object(reader, "_consumer", Silent(reader._consumer))
        with silent, pytest.raises(TopicsUnavailable, match=INITIATED):
            await reader.read_from(offsets)


async def test_partitions_that_move_to_another_broker_are_read_afterwards(
    config: Config, payments: list[uuid.UUID]
) -> None:
    async with PublishedRecords(config, TOPICS) as reader:
        with patch.object(reader, "_consumer", Moving(reader._consumer)):
            assert await reader.starts(datetime.fromtimestamp(0, UTC))


@pytest.mark.kafka
async def test_a_record_that_was_published_twice_is_no_difference(
    config: Config, pool: Pool, topics: Topics, payments: list[uuid.UUID]
) -> None:
    await repeat(pool, topics, payments[0])
    assert await differences(config, pool) == []


@pytest.mark.kafka
async def test_a_record_whose_outbox_row_is_lost_is_found(
    config: Config, pool: Pool, database_dsn: str, payments: list[uuid.UUID]
) -> None:
    await as_owner(database_dsn, "DELETE FROM outbox WHERE aggregateid = $1 AND sequence = 2", payments[0])
    assert await differences(config, pool) == [("published_record_unknown", payments[0])]


@pytest.mark.kafka
async def test_records_of_other_programs_are_found_and_those_of_other_deployments_ignored(
    config: Config, pool: Pool, topics: Topics, payments: list[uuid.UUID]
) -> None:
    await repeat(pool, topics, payments[0], ce_source="/payment-service/other", ce_id="x")
    assert await differences(config, pool) == []
    await repeat(pool, topics, payments[0], ce_source="/somebody-else")
    await repeat(pool, topics, payments[1], ce_id=str(uuid.uuid4()))
    found = await differences(config, pool)
    assert sorted(found, key=str) == [("published_record_foreign", None), ("published_record_unknown", payments[1])]


@pytest.mark.kafka
async def test_an_edited_outbox_row_is_found(
    config: Config, pool: Pool, database_dsn: str, payments: list[uuid.UUID]
) -> None:
    await as_owner(database_dsn, "UPDATE outbox SET payload = 'x' WHERE aggregateid = $1 AND sequence = 1", payments[0])
    assert await differences(config, pool) == [("published_record_differs", payments[0])]


@pytest.mark.kafka
async def test_a_forged_copy_with_another_content_is_found(
    config: Config, pool: Pool, topics: Topics, payments: list[uuid.UUID]
) -> None:
    await repeat(pool, topics, payments[0], ce_sequence="7")
    assert await differences(config, pool) == [("published_record_differs", payments[0])]


@pytest.mark.kafka
async def test_a_record_that_is_not_at_its_place_is_found(
    config: Config, pool: Pool, database_dsn: str, payments: list[uuid.UUID]
) -> None:
    move = f"UPDATE outbox_placements SET record_offset = record_offset + 100000 WHERE {PLACEMENT_OF}"  # noqa: S608 - constant
    await as_owner(database_dsn, move, payments[0])
    assert await differences(config, pool) == [("published_record_missing", payments[0])]


@pytest.mark.kafka
async def test_nothing_is_compared_without_a_broker(config: Config) -> None:
    nowhere = config.model_copy(update={"kafka_brokers": "127.0.0.1:9"})
    with pytest.raises(KafkaException):
        async with PublishedRecords(nowhere, TOPICS):
            pass


async def as_owner(dsn: str, statement: str, *arguments: object) -> None:
    """Change the database as its owner, who may edit the outbox."""
    connection = await asyncpg.connect(dsn)
    assert (await connection.execute(statement, *arguments)).split()[-1] != "0"
    await connection.close()


PAYMENT = uuid.uuid4()


def row(sequence: int, offset: int) -> PublishedRow:
    return PublishedRow(
        id=uuid.UUID(int=sequence),
        aggregate_id=PAYMENT,
        sequence=sequence,
        topic=INITIATED,
        key=b"k",
        value=b"v",
        headers=frozenset({("ce_id", str(uuid.UUID(int=sequence)).encode())}),
        places=(Place(INITIATED, 0, offset),),
        created_at=datetime.now(UTC),
    )


def record(of: PublishedRow, timestamp_ms: int) -> TopicRecord:
    return TopicRecord(
        place=of.places[0], timestamp_ms=timestamp_ms, key=of.key, value=of.value, headers=tuple(of.headers)
    )


def codes(rows: list[PublishedRow], found: Mapping[Place, TopicRecord | None]) -> list[str]:
    return [difference.code for difference in compare_placed(rows, found)]


@pytest.mark.invariant("I5")
def test_records_that_were_sent_in_another_order_are_found() -> None:
    rows = [row(1, 0), row(2, 1)]
    assert codes(rows, {rows[0].places[0]: record(rows[0], 5), rows[1].places[0]: record(rows[1], 5)}) == []
    found = {rows[0].places[0]: record(rows[0], 6), rows[1].places[0]: record(rows[1], 5)}
    assert codes(rows, found) == ["published_out_of_order"]


def test_a_record_at_the_place_of_another_is_misplaced() -> None:
    first = row(1, 0)
    other = replace(record(row(2, 0), 1), value=b"other")
    assert codes([first], {first.places[0]: other}) == ["published_record_misplaced"]


def test_a_record_that_the_topic_has_deleted_is_no_difference() -> None:
    assert codes([row(1, 0)], {row(1, 0).places[0]: None}) == []


def test_a_header_that_another_program_added_is_no_difference() -> None:
    first = row(1, 0)
    traced = replace(record(first, 1), headers=(*first.headers, ("x-trace", b"1")))
    assert codes([first], {first.places[0]: traced}) == []


def test_places_far_apart_are_read_in_runs() -> None:
    near = [Place(INITIATED, 0, offset) for offset in (0, 5, GAP_RECORDS)]
    far = Place(INITIATED, 0, 3 * GAP_RECORDS)
    other = Place(INITIATED, 1, 2)
    assert _runs([far, *near, other]) == [near, [far], [other]]
