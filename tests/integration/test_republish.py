"""Test republishing: records go out unchanged and in order, once per request, on a real database and a real broker."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from payment_service.config.config import Config
from payment_service.db.audit import Actor
from payment_service.db.pool import Pool
from payment_service.db.publishing import Selection
from payment_service.flows.operators.republish import count_published, republish
from payment_service.flows.requests.idempotency import ChangeRequest
from payment_service.flows.state.errors import Refusal
from tests.support.kafka import Topics
from tests.support.outbox import (
    INITIATED,
    SUCCEEDED,
    drained,
    first_occurrences,
    pending,
    records,
    relaying,
    sequences,
    write,
)

ALL = Selection(
    since=datetime(2020, 1, 1, tzinfo=UTC), until=datetime(2100, 1, 1, tzinfo=UTC), payment_id=None, topic=None
)
ASKING = ChangeRequest(
    actor=Actor(client="cli", person="suite"), key="again-1", action="outbox.republish", payment_id=None, parameters={}
)


@pytest.mark.invariant("I5")
@pytest.mark.kafka
async def test_republished_records_are_unchanged_and_in_order(config: Config, pool: Pool, topics: Topics) -> None:
    """The topics hold each record twice with one `ce_id`.

    First occurrences are in order per payment, including concurrent new records.
    """
    payments = [uuid.uuid4() for _ in range(5)]
    for payment in payments:
        await write(pool, records(payment, 3))
    async with relaying(config, pool) as relay:
        await drained(pool)
        found = await republish(pool, ALL, ASKING, batch_rows=4)
        for payment in payments:
            await write(pool, records(payment, 2, first=4))
        relay.wake()
        await drained(pool)
    assert found == 15
    records_read = await asyncio.to_thread(topics.read_count, 40, topics=[INITIATED])
    assert Counter(record.header("ce_id") for record in records_read).most_common()[14][1] == 2
    assert len(first_occurrences(records_read)) == 25
    assert set(map(tuple, sequences(records_read).values())) == {(1, 2, 3, 4, 5)}


async def published(pool: Pool, *made: tuple[uuid.UUID, str]) -> None:
    """Write records and mark them as published by a relay."""
    for payment, topic in made:
        await write(pool, records(payment, 2, topic=topic))
    await pool.execute("DELETE FROM outbox_pending")


async def test_a_repeated_request_acts_once_and_resumes_after_a_stop(
    config: Config, pool: Pool, database_dsn: str
) -> None:
    await published(pool, *[(uuid.uuid4(), INITIATED) for _ in range(5)])
    assert await republish(pool, ALL, ASKING, batch_rows=3) == 10
    await pool.execute("DELETE FROM outbox_pending")
    assert await republish(pool, ALL, ASKING, batch_rows=3) == 10, "the same result"
    assert await pending(pool) == 0, "no record is queued"
    with psycopg.connect(database_dsn, autocommit=True) as owner:
        owner.execute("DELETE FROM idempotency_keys WHERE key > 'again-1.2'")
    await republish(pool, ALL, ASKING, batch_rows=3)
    assert await pending(pool) == 4, "the two completed batches are skipped"
    with pytest.raises(Refusal):
        await republish(pool, ALL, replace(ASKING, parameters={"topic": SUCCEEDED}), batch_rows=3)


async def test_records_can_be_selected_by_payment_topic_and_time(config: Config, pool: Pool) -> None:
    one, other = uuid.uuid4(), uuid.uuid4()
    await published(pool, (one, INITIATED), (other, INITIATED), (other, SUCCEEDED))
    now = datetime.now(UTC)
    choices = {
        replace(ALL, payment_id=other): 4,
        replace(ALL, topic=SUCCEEDED): 2,
        replace(ALL, payment_id=one, topic=SUCCEEDED): 0,
        replace(ALL, since=now + timedelta(hours=1)): 0,
        replace(ALL, until=now - timedelta(hours=1)): 0,
        ALL: 6,
    }
    for chosen, count in choices.items():
        assert await count_published(pool, chosen, batch_rows=2) == count
        assert await pending(pool) == 0, "counting changes nothing"
        key = str(uuid.uuid4())
        assert await republish(pool, chosen, replace(ASKING, key=key), batch_rows=2) == count
        assert await pending(pool) == count
        await pool.execute("DELETE FROM outbox_pending")


async def test_unpublished_records_are_neither_counted_nor_queued_twice(config: Config, pool: Pool) -> None:
    await published(pool, (uuid.uuid4(), INITIATED))
    await write(pool, records(uuid.uuid4(), 3))
    assert await count_published(pool, ALL) == 2
    assert await republish(pool, ALL, ASKING) == 2
    assert await republish(pool, ALL, replace(ASKING, key="again-2")) == 0
    assert await pending(pool) == 5
