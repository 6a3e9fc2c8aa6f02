"""Loops that measure this process and its database for the gauges."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from payment_service.db import gauges
from payment_service.db.clock_skew import MEASURE_INTERVAL_S, ClockSkew
from payment_service.loop import Loop
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Collection

    from payment_service.db.pool import Pool
    from payment_service.db.waiting_calls import WaitingCalls
    from payment_service.db.writable import WriteCheck
    from payment_service.flows.timers.account_claim import AccountClaim
    from payment_service.kafka.broker_status import BrokerStatus

# Gauges serve dashboards and alerts: ten seconds old is fresh enough, and the queries cost a few milliseconds. An old snapshot makes
# them slower, so they take at most this part of the time.
SAMPLE_INTERVAL_S: Final = 10.0
SAMPLE_SHARE_MAX: Final = 0.05
# The queries take milliseconds. A database that takes longer than this cannot serve customers.
SAMPLE_TIMEOUT_S: Final = 4.0
LAG_CHECK_INTERVAL_S: Final = 1.0


def sampling_loops(
    pool: Pool,
    clock: ClockSkew,
    broker_status: BrokerStatus,
    claims: Collection[AccountClaim],
    waiting_calls: WaitingCalls,
    writes: WriteCheck,
) -> list[Loop]:
    """Return the loops for the gauges, the lag of the event loop and the clock skew."""

    async def sample_once() -> int:
        _show_pauses(clock, claims)
        metrics.BROKER_UNAVAILABLE.set(bool(broker_status.problem()))
        await _sample_database(pool, waiting_calls, writes)
        return 0

    return [
        Loop(
            "gauges",
            sample_once,
            interval_min_s=SAMPLE_INTERVAL_S,
            interval_max_s=SAMPLE_INTERVAL_S,
            share_max=SAMPLE_SHARE_MAX,
        ),
        Loop("event_loop_lag", _check_lag),
        Loop(
            "clock_skew",
            clock.measure_once,
            interval_min_s=MEASURE_INTERVAL_S,
            interval_max_s=MEASURE_INTERVAL_S,
        ),
    ]


async def _sample_database(pool: Pool, waiting_calls: WaitingCalls, writes: WriteCheck) -> None:
    """Read the gauges. The check of writes also makes a process that only reads leave a server that became read-only."""
    answered = writable = False
    try:
        async with asyncio.timeout(SAMPLE_TIMEOUT_S):
            writable = await writes.problem() is None
            await waiting_calls.measure_once()
            await gauges.sample(pool)
        answered = True
    finally:
        metrics.DATABASE_UNAVAILABLE.set(not (answered and writable))
        if not answered:
            gauges.hide()


async def _check_lag() -> int:
    loop = asyncio.get_running_loop()
    due = loop.time() + LAG_CHECK_INTERVAL_S
    await asyncio.sleep(LAG_CHECK_INTERVAL_S)
    metrics.LOOP_LAG_SECONDS.set(max(0.0, loop.time() - due))
    return 1


def _show_pauses(clock: ClockSkew, claims: Collection[AccountClaim]) -> None:
    metrics.SENDING_PAUSED.labels("clock_skew").set(not clock.agrees())
    metrics.SENDING_PAUSED.labels("claim_lost").set(any(claim.lost for claim in claims))
    unconfirmed = any(not claim.confirmed and not claim.lost for claim in claims)
    metrics.SENDING_PAUSED.labels("claim_unconfirmed").set(unconfirmed)
