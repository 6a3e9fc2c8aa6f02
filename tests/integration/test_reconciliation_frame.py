"""The frame of reconciliation: its schedule, and comparisons that iterate over differences."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from payment_service.db import reconciliations
from payment_service.db.gauges import sample
from payment_service.flows.reconciliation.own_data import RowComparison
from payment_service.flows.reconciliation.schedule import LONG_WINDOW, WINDOW, ScheduledReconciliation
from payment_service.telemetry import metrics
from tests.support.harness import Harness
from tests.support.reconcile import window


async def test_the_schedule_runs_every_interval_and_once_a_day_over_the_long_window(harness: Harness) -> None:
    comparisons = [RowComparison(harness.flows.pool)]
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
    comparisons = [RowComparison(harness.flows.pool)]
    allowed = False
    context = harness.flows.context(may_decide=lambda: allowed)
    schedule = ScheduledReconciliation(context, comparisons, interval=timedelta(hours=1))
    assert await schedule.run_once() == 0
    assert await reconciliations.start(harness.flows.pool, uuid4(), window()) is not None
    await harness.flows.pool.execute("UPDATE reconciliations SET lease_until = now() - interval '1 s'")
    assert await schedule.run_once() == 0
    allowed = True
    assert await schedule.run_once() == 1
