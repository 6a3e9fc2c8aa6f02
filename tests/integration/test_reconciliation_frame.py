"""The frame of reconciliation: its schedule, and comparisons that iterate over differences."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from payment_service.db import differences, reconciliations
from payment_service.db.gauges import sample
from payment_service.domain.differences import Difference, Sides
from payment_service.flows.reconciliation.comparison import IteratedComparison
from payment_service.flows.reconciliation.engine import Reconciliation
from payment_service.flows.reconciliation.schedule import LONG_WINDOW, WINDOW, ScheduledReconciliation
from payment_service.telemetry import metrics
from tests.support.harness import Harness
from tests.support.reconcile import window


async def test_the_schedule_runs_every_interval_and_once_a_day_over_the_long_window(harness: Harness) -> None:
    comparisons = [IteratedComparison(harness.flows.pool, "none", Sides.ROWS, nothing)]
    context = harness.context()
    schedule = ScheduledReconciliation(context, comparisons, interval=timedelta(hours=1))
    assert [await schedule.run_once() for _ in range(2)] == [1, 0]
    await harness.flows.pool.execute("UPDATE reconciliations SET started_at = started_at - interval '1 h'")
    assert await schedule.run_once() == 1
    runs = await reconciliations.runs(harness.flows.pool, after=None, limit=10)
    lengths = [run["until"] - run["since"] for run in runs]
    assert WINDOW <= lengths[0] <= WINDOW + timedelta(seconds=2)
    assert LONG_WINDOW <= lengths[1] <= LONG_WINDOW + timedelta(seconds=2)
    await sample(harness.flows.pool)
    assert 0 <= metrics.RECONCILIATION_AGE_SECONDS._value.get() < 60


async def test_the_schedule_pauses_while_the_process_may_not_decide(harness: Harness) -> None:
    comparisons = [IteratedComparison(harness.flows.pool, "none", Sides.ROWS, nothing)]
    allowed = False
    context = harness.flows.context(may_decide=lambda: allowed)
    schedule = ScheduledReconciliation(context, comparisons, interval=timedelta(hours=1))
    assert await schedule.run_once() == 0
    assert await reconciliations.start(harness.flows.pool, uuid4(), window()) is not None
    await harness.flows.pool.execute("UPDATE reconciliations SET lease_until = now() - interval '1 s'")
    assert await schedule.run_once() == 0
    allowed = True
    assert await schedule.run_once() == 1


async def nothing(_window: object) -> Any:
    """Yield no difference."""
    for difference in list[Difference]():
        yield difference


async def test_differences_of_iterated_comparisons_are_recorded_and_resolved(harness: Harness) -> None:
    """This is the frame for comparisons of rows and of topics."""
    present = True

    async def iterate(_window: object) -> Any:
        if present:
            yield Difference(sides=Sides.ROWS, code="a", subject="row-1", payment_id=None, detail="1 and 2")

    comparison = IteratedComparison(harness.flows.pool, "rows", Sides.ROWS, iterate)
    run = Reconciliation(harness.context(), [comparison])
    await run.run(window())
    assert await differences.count_open(harness.flows.pool) == 1
    present = False
    later = window()
    await run.run(type(later)(later.since, later.until + timedelta(seconds=1)))
    assert await differences.count_open(harness.flows.pool) == 0


async def test_a_comparison_that_finds_nothing_for_long_keeps_its_run(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payment_service.flows.reconciliation.comparison.KEEP_INTERVAL_S", 0.01)
    monkeypatch.setattr("payment_service.flows.reconciliation.journal.RENEWAL_INTERVAL_S", 0.0)
    renew, renewed = reconciliations.renew, asyncio.Event()

    async def renews(*values: Any) -> None:
        await renew(*values)
        renewed.set()

    async def iterate(_window: object) -> Any:
        async with asyncio.timeout(10):
            await renewed.wait()
        for difference in list[Difference]():
            yield difference

    monkeypatch.setattr(reconciliations, "renew", renews)
    comparison = IteratedComparison(harness.flows.pool, "rows", Sides.ROWS, iterate)
    assert (await Reconciliation(harness.context(), [comparison]).run(window())).counts.found == 0
