"""The role `reconcile`: reconcile a trailing window by schedule, on one replica at a time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.db import reconciliations
from payment_service.db.reconciliations import LeaseLost, Window
from payment_service.flows.reconciliation.engine import AlreadyRunning, Reconciliation, comparisons_of
from payment_service.flows.reconciliation.journal import Interrupted, Pace
from payment_service.flows.reconciliation.provider_reads import ProviderUnavailable
from payment_service.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from payment_service.config.config import Config
    from payment_service.flows.reconciliation.comparison import Comparison
    from payment_service.flows.reconciliation.own_data import OpenReader
    from payment_service.flows.state.context import Context

log = structlog.get_logger(__name__)

# Another replica notices within this time that a run is due, or that its process has died.
CHECK_INTERVAL_S: Final = 10.0
WINDOW: Final = timedelta(hours=24)
# A hold on a card lasts up to seven days (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method). In that time
# an operator may capture or cancel it at the provider.
LONG_WINDOW: Final = timedelta(days=8)
DAY: Final = timedelta(days=1)
# A change has the time at which its transaction began, and no transaction of the service takes minutes.
CHANGES_OVERLAP: Final = timedelta(minutes=5)


def start_reconciliation(context: Context, config: Config, *, open_reader: OpenReader) -> Callable[[], Awaitable[None]]:
    """Start the role as configured. Return what stops it."""
    interval = config.reconcile_interval
    comparisons = comparisons_of(context, config, open_reader=open_reader)
    scheduled = ScheduledReconciliation(context, comparisons, interval=interval)
    if interval:
        scheduled.start()
    return scheduled.stop


class ScheduledReconciliation:
    """Reconcile every `interval`. Once a day the window is longer, and all of our rows and records are compared."""

    def __init__(self, context: Context, comparisons: Sequence[Comparison], *, interval: timedelta) -> None:
        self._context = context
        self._interval = interval
        self._stopping = asyncio.Event()
        self._reconciliation = Reconciliation(context, comparisons, pace=Pace(self._stopping))
        self._loop = Loop("reconcile", self.run_once, interval_max_s=CHECK_INTERVAL_S, interval_min_s=CHECK_INTERVAL_S)

    def start(self) -> None:
        """Start the loop."""
        self._loop.start()

    async def stop(self) -> None:
        """Finish the step, release the run, then stop."""
        self._stopping.set()
        await self._loop.stop()

    async def run_once(self) -> int:
        """Resume a run whose process has died, or start one that is due. Return the number of finished runs.

        Do nothing while the clocks disagree or the deployment's claim is lost.
        """
        if not self._context.may_decide():
            return 0
        try:
            if await self._reconciliation.resume() is not None:
                return 1
            if not await reconciliations.is_due(self._context.pool, self._interval):
                return 0
            await self._reconciliation.run(await self._window())
        except (AlreadyRunning, Interrupted, LeaseLost):
            return 0
        except ProviderUnavailable as error:
            log.warning("reconciliation_postponed", detail=str(error))
            return 0
        return 1

    async def _window(self) -> Window:
        pool = self._context.pool
        now = await self._context.database_now(pool)
        finished = await reconciliations.last_finished(pool)
        if finished is None or not await reconciliations.has_long_run(pool, within=DAY, length=LONG_WINDOW):
            return replace(Window.of(now - LONG_WINDOW, now), changed_since=None)
        return replace(Window.of(now - WINDOW, now), changed_since=finished - CHANGES_OVERLAP)
