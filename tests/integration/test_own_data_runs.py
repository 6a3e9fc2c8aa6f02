"""Runs of reconciliation over our own rows and topics: in steps, only over what changed, and everything once a day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from payment_service.config.config import Config
from payment_service.db import differences, reconciliations
from payment_service.db.pool import Pool
from payment_service.db.reconciliations import Window
from payment_service.domain.differences import Difference, Sides
from payment_service.flows.comparisons import rows
from payment_service.flows.comparisons import topics as topic_steps
from payment_service.flows.comparisons.topics import TopicReader
from payment_service.flows.reconciliation.comparison import Comparison
from payment_service.flows.reconciliation.engine import Reconciliation
from payment_service.flows.reconciliation.journal import Interrupted, Pace
from payment_service.flows.reconciliation.own_data import RowComparison, TopicComparison
from payment_service.flows.reconciliation.schedule import ScheduledReconciliation
from payment_service.kafka import published_records
from payment_service.kafka.published_records import open_published_records
from tests.support.flows import Flows, name_of
from tests.support.harness import Harness
from tests.support.kafka import Topics
from tests.support.outbox import drained, opened, records, relaying, write
from tests.support.reconcile import Result, window

OLD = timedelta(days=20)


def changes_of_the_last_hour() -> Window:
    """Return the window of a day, with changes of the last hour."""
    day = window()
    return replace(day, changed_since=day.until - timedelta(hours=1))


def everything() -> Window:
    """Return the window of a day, with all rows and records."""
    return replace(window(), changed_since=None)


async def run(flows: Flows, comparison: Comparison, of: Window, *, pace: Pace | None = None) -> Result:
    """Run one comparison."""
    result = Result()
    reconciliation = Reconciliation(flows.context(), [comparison], report=result.found.append, pace=pace)
    result.counts = (await reconciliation.run(of)).counts
    return result


async def age(pool: Pool, order_id: str) -> None:
    """Make a payment and its history old."""
    await pool.execute("UPDATE payments SET created_at = created_at - $2::interval WHERE order_id = $1", order_id, OLD)
    await pool.execute(
        "UPDATE payment_history SET created_at = created_at - $2::interval WHERE payment_id = $1",
        name_of(order_id),
        OLD,
    )


async def corrupt(pool: Pool, order_id: str) -> None:
    """Remove the time of the payment."""
    await pool.execute("UPDATE payments SET paid_at = NULL WHERE order_id = $1", order_id)


async def open_codes(pool: Pool) -> list[tuple[str, str]]:
    """Return code and subject of each open difference."""
    return [(row["code"], row["subject"]) for row in await differences.open_differences(pool, limit=100)]


async def test_records_that_wait_for_a_broker_are_no_difference(harness: Harness) -> None:
    """No relay runs. The alert PaymentRecordsNotPublished says so; the rows agree."""
    await harness.pay("o-1")
    owner = await asyncpg.connect(harness.dsn)
    await owner.execute("UPDATE outbox SET created_at = created_at - interval '1 h'")
    await owner.execute("UPDATE outbox_pending SET created_at = created_at - interval '1 h'")
    await owner.close()
    assert (await run(harness.flows, RowComparison(harness.flows.pool), everything())).found == []


async def test_a_run_over_changes_reads_only_payments_that_changed(harness: Harness) -> None:
    pool = harness.flows.pool
    for order_id in ("old", "changed", "new"):
        await harness.pay(order_id)
    await age(pool, "old")
    await age(pool, "changed")
    await harness.refund(name_of("changed"), "1.00")
    await harness.run_until_idle()
    for order_id in ("old", "changed", "new"):
        await corrupt(pool, order_id)
    comparison = RowComparison(pool)
    found = await run(harness.flows, comparison, changes_of_the_last_hour())
    assert {one.payment_id for one in found.found} == {name_of("changed"), name_of("new")}
    found = await run(harness.flows, comparison, everything())
    assert {one.payment_id for one in found.found} == {name_of("old"), name_of("changed"), name_of("new")}


async def test_an_open_difference_of_an_old_payment_is_resolved_when_it_ends(harness: Harness) -> None:
    pool = harness.flows.pool
    await harness.pay("old")
    await age(pool, "old")
    await corrupt(pool, "old")
    comparison = RowComparison(pool)
    await run(harness.flows, comparison, everything())
    assert len(await open_codes(pool)) == 1
    assert len((await run(harness.flows, comparison, changes_of_the_last_hour())).found) == 1
    await pool.execute("UPDATE payments SET paid_at = now()")
    await run(harness.flows, comparison, changes_of_the_last_hour())
    assert await open_codes(pool) == []


async def test_a_difference_of_a_table_is_resolved_when_it_ends(harness: Harness) -> None:
    pool = harness.flows.pool
    await harness.pay("o-1")
    await pool.execute("UPDATE payment_events SET processed = false, retry_at = NULL, result = NULL")
    comparison = RowComparison(pool)
    assert {one.code for one in (await run(harness.flows, comparison, everything())).found} == {"event_forgotten"}
    await pool.execute("UPDATE payment_events SET processed = true")
    await run(harness.flows, comparison, changes_of_the_last_hour())
    assert await open_codes(pool) == []


@pytest.mark.parametrize("of", [everything, changes_of_the_last_hour])
async def test_a_run_over_rows_resumes_at_its_last_step(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, of: Callable[[], Window]
) -> None:
    """The process stops after each step. The next one compares no slice again."""
    pool, stopping = harness.flows.pool, asyncio.Event()
    for order_id in ("o-1", "o-2", "o-3"):
        await harness.pay(order_id)
    monkeypatch.setattr(rows, "SLICE_RECORDS", 2)
    monkeypatch.setattr(rows, "SLICE_HISTORY", 2)
    monkeypatch.setattr(rows, "SLICE_CHANGES", 2)
    taken: list[str] = []

    async def step(_pool: Pool, position: str, **more: Any) -> Any:
        taken.append(position)
        stopping.set()
        return await rows.row_step(_pool, position, **more, slice_payments=1)

    monkeypatch.setattr("payment_service.flows.reconciliation.own_data.row_step", step)
    comparison = RowComparison(pool)
    with pytest.raises(Interrupted):
        await run(harness.flows, comparison, of(), pace=Pace(stopping))
    finished = None
    for _ in range(40):
        stopping.clear()
        try:
            finished = await Reconciliation(harness.context(), [comparison], pace=Pace(stopping)).resume()
        except Interrupted:
            continue
        break
    assert finished is not None
    assert len(taken) == len(set(taken)) > 10


async def test_the_schedule_compares_everything_once_a_day_and_changes_otherwise(harness: Harness) -> None:
    schedule = ScheduledReconciliation(
        harness.context(), [RowComparison(harness.flows.pool)], interval=timedelta(hours=1)
    )
    assert await schedule.run_once() == 1
    await harness.flows.pool.execute("UPDATE reconciliations SET started_at = started_at - interval '1 h'")
    assert await schedule.run_once() == 1
    found = await harness.flows.pool.fetch("SELECT changed_since, started_at FROM reconciliations ORDER BY started_at")
    assert found[0]["changed_since"] is None
    assert found[1]["changed_since"] == found[0]["started_at"] - timedelta(minutes=5)


@asynccontextmanager
async def published_payments(config: Config, harness: Harness, *order_ids: str) -> AsyncIterator[TopicComparison]:
    """Pay orders, publish their records, and yield the comparison of the topics."""
    for order_id in order_ids:
        await harness.pay(order_id)
    async with opened(config) as pool, relaying(config, pool):
        await drained(pool)
    yield TopicComparison(harness.flows.pool, partial(open_published_records, config), deployment="default")


@pytest.mark.kafka
async def test_topics_are_compared_and_open_differences_resolved(
    config: Config, harness: Harness, topics: Topics
) -> None:
    async with published_payments(config, harness, "o-1", "o-2") as comparison:
        clean = await run(harness.flows, comparison, everything())
        assert (clean.found, clean.counts.compared) == ([], 8)
        other = {"ce_source": "/somebody-else", "ce_id": "x"}
        await asyncio.to_thread(
            topics.produce, [b"{}"], topic="payments.succeeded", key=lambda _value: b"k", headers=other
        )
        owner = await asyncpg.connect(harness.dsn)
        await owner.execute(
            "UPDATE outbox SET payload = payload || 'x' WHERE aggregateid = $1 AND sequence = 2", name_of("o-1")
        )
        changed = await run(harness.flows, comparison, changes_of_the_last_hour())
        assert {(one.code, one.payment_id) for one in changed.found} == {
            ("published_record_foreign", None),
            ("published_record_differs", name_of("o-1")),
        }
        assert len(await open_codes(harness.flows.pool)) == 2
        await owner.execute(
            "UPDATE outbox SET payload = substr(payload, 1, length(payload) - 1) WHERE payload LIKE '%}x'::bytea"
        )
        await owner.close()
        await run(harness.flows, comparison, changes_of_the_last_hour())
        assert [code for code, _ in await open_codes(harness.flows.pool)] == ["published_record_foreign"]


@pytest.mark.kafka
async def test_a_run_over_topics_resumes_at_its_last_step(
    config: Config, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_records, "BATCH_RECORDS", 1)
    monkeypatch.setattr(topic_steps, "SLICE_RECORDS", 2)
    stopping, taken = asyncio.Event(), list[str]()

    async def step(pool: Pool, reader: TopicReader, position: str, **more: Any) -> Any:
        taken.append(position)
        stopping.set()
        return await topic_steps.topic_step(pool, reader, position, **more)

    monkeypatch.setattr("payment_service.flows.reconciliation.own_data.topic_step", step)
    async with published_payments(config, harness, "o-1", "o-2", "o-3") as comparison:
        with pytest.raises(Interrupted):
            await run(harness.flows, comparison, everything(), pace=Pace(stopping))
        finished = None
        while finished is None:
            stopping.clear()
            try:
                finished = await Reconciliation(harness.context(), [comparison], pace=Pace(stopping)).resume()
            except Interrupted:
                continue
    assert len(taken) == len(set(taken)) > 8
    assert await open_codes(harness.flows.pool) == []


async def test_a_run_waits_for_no_broker(harness: Harness) -> None:
    await harness.pay("o-1")
    comparison = TopicComparison(
        harness.flows.pool, partial(open_published_records, harness.flows.config), deployment="default"
    )
    result = await run(harness.flows, comparison, everything())
    assert (result.found, result.counts.postponed) == ([], 1)
    assert await reconciliations.last_finished(harness.flows.pool) is not None


async def test_a_broker_that_is_away_resolves_no_difference(harness: Harness) -> None:
    pool = harness.flows.pool
    lost = Difference(
        sides=Sides.TOPICS, code="published_record_missing", subject="a", payment_id=None, detail="there is no record"
    )
    async with pool.acquire() as connection:
        await differences.record(connection, [lost], provider="")
    comparison = TopicComparison(pool, partial(open_published_records, harness.flows.config), deployment="default")
    await run(harness.flows, comparison, everything())
    assert await open_codes(pool) == [("published_record_missing", "a")]


@pytest.mark.kafka
@pytest.mark.invariant("I5")
async def test_records_bear_the_time_of_the_databases_clock(config: Config, pool: Pool, topics: Topics) -> None:
    """Relays on hosts with wrong clocks follow each other. Kafka refuses records that are an hour ahead."""
    behind = datetime.now(UTC) - timedelta(hours=2)
    await write(pool, records(uuid4()))
    async with relaying(config, pool, now=lambda: behind):
        await drained(pool)
    found = await asyncio.to_thread(topics.read_all, ["payments.initiated"])
    assert {record.timestamp_ms for record in found} == {int(behind.timestamp() * 1000)}
