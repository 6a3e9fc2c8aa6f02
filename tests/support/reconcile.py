"""Run reconciliations in the test's process."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from payment_service.db.reconciliations import Counts, Window
from payment_service.domain.differences import Difference, Sides
from payment_service.flows.reconciliation.engine import Reconciliation, comparisons_of
from payment_service.flows.reconciliation.journal import Pace
from tests.support.harness import Harness


@dataclass
class Result:
    """The differences of a run, and its counts."""

    found: list[Difference] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    @property
    def codes(self) -> list[tuple[str, bool]]:
        """Return code and `repaired` of each difference, sorted."""
        return sorted((difference.code, difference.repaired) for difference in self.found)


def window(since: timedelta = timedelta(days=1)) -> Window:
    """Return the window from some time ago until now."""
    now = datetime.now(UTC)
    return Window.of(now - since, now)


def reconciliation(
    harness: Harness,
    result: Result,
    *,
    sides: Collection[Sides] = (Sides.PROVIDER,),
    look_again_s: float = 0.0,
    pace: Pace | None = None,
) -> Reconciliation:
    """Build a reconciliation of these sides that looks again at once. An edited row may differ on several sides."""
    context = harness.context()
    every = comparisons_of(context, harness.flows.config, open_reader=None, look_again_s=look_again_s)
    comparisons = [comparison for comparison in every if comparison.sides in sides]
    return Reconciliation(context, comparisons, report=result.found.append, pace=pace)


async def reconcile(harness: Harness, *, dry: bool = False, **more: Any) -> Result:
    """Reconcile the last day."""
    result = Result()
    run = reconciliation(harness, result, **more)
    finished = await (run.run_dry(window()) if dry else run.run(window()))
    result.counts = finished.counts
    return result
