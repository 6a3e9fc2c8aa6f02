"""A process whose clock differs from the database's by more than 30 s decides nothing, and refuses no good webhook."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from structlog.testing import capture_logs

from payment_service.db import provider_health
from payment_service.db.clock import database_time
from payment_service.db.clock_skew import ROUND_TRIP_MAX_S, SKEW_MAX_S, ClockSkew
from payment_service.flows.calls.dispatch import Dispatcher
from payment_service.flows.timers.cancelled_orders import CancelledOrders
from payment_service.flows.timers.expiry import Expiry
from payment_service.runtime import Service
from payment_service.telemetry import metrics
from tests.support.deliveries import Inbox, endpoint, event, post, sign
from tests.support.flows import Flows
from tests.support.harness import Harness
from tests.support.http import served

WRONG = [timedelta(hours=25), -timedelta(hours=3), timedelta(seconds=SKEW_MAX_S + 5)]


def host_clock(ahead: timedelta) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC) + ahead


async def measured(flows: Flows, ahead: timedelta) -> ClockSkew:
    clock = ClockSkew(flows.pool, host_now=host_clock(ahead))
    await clock.measure_once()
    return clock


@pytest.mark.parametrize("ahead", WRONG)
async def test_a_wrong_clock_is_measured_logged_once_a_minute_and_shown(flows: Flows, ahead: timedelta) -> None:
    clock = ClockSkew(flows.pool, host_now=host_clock(ahead))
    with capture_logs() as logs:
        for _ in range(3):
            await clock.measure_once()
    assert [log["event"] for log in logs] == ["clock_skewed"]
    assert not clock.agrees()
    assert clock.skew_s() == pytest.approx(ahead.total_seconds(), abs=2)
    assert metrics.CLOCK_SKEW_SECONDS._value.get() == pytest.approx(ahead.total_seconds(), abs=2)
    assert clock.problem()
    assert abs((clock.now() - await database_time(flows.pool)).total_seconds()) < 2


async def test_a_difference_within_the_limit_changes_nothing(flows: Flows) -> None:
    clock = await measured(flows, timedelta(seconds=SKEW_MAX_S - 5))
    assert clock.agrees()
    assert clock.problem() == ""


async def test_before_the_first_measurement_a_process_decides_nothing(flows: Flows) -> None:
    assert not ClockSkew(flows.pool).agrees()


async def test_a_jump_of_the_hosts_clock_is_noticed_without_a_measurement(flows: Flows) -> None:
    ahead = timedelta()
    clock = ClockSkew(flows.pool, host_now=lambda: datetime.now(UTC) + ahead)
    await clock.measure_once()
    assert clock.agrees()
    ahead = timedelta(days=7)
    assert not clock.agrees()
    assert abs((clock.now() - datetime.now(UTC)).total_seconds()) < 2


async def test_a_slow_measurement_does_not_replace_a_good_one(flows: Flows) -> None:
    """The second query takes a minute: half of it would be the error of its measurement."""
    begin = datetime(2026, 11, 30, 12, tzinfo=UTC)
    steady_s = query_s = 0.0

    async def database_now(_connection: object) -> datetime:
        nonlocal steady_s
        steady_s += query_s
        return begin + timedelta(seconds=steady_s)

    clock = ClockSkew(flows.pool, host_now=lambda: begin, steady_s=lambda: steady_s, database_now=database_now)
    await clock.measure_once()
    query_s = 60.0
    await clock.measure_once()
    assert query_s > ROUND_TRIP_MAX_S
    assert clock.now() == begin + timedelta(seconds=60)


@pytest.mark.parametrize("ahead", WRONG)
async def test_a_wrong_clock_pauses_calls_and_timers_until_it_agrees(harness: Harness, ahead: timedelta) -> None:
    """The order's time is over by every clock, so only the pause keeps it open."""
    paused = frozenset({provider_health.EVERYTHING})
    clock = await measured(harness.flows, ahead)

    def may_decide() -> bool:
        return clock.agrees()

    context = harness.flows.context(
        may_decide=may_decide, paused_kinds=lambda _provider: frozenset() if clock.agrees() else paused
    )
    await harness.dispatcher.stop(5)
    await harness.flows.accept("o-1", expires_at=(datetime.now(UTC) + timedelta(minutes=1)).isoformat())
    harness.flows.clock.ahead = timedelta(hours=1)
    dispatcher = Dispatcher(context, name="stripe", config=harness.flows.config, random=Random(7))
    assert await dispatcher.claim_once() == 0
    assert await Expiry(context).expire_once() == 0
    assert await CancelledOrders(context, refund=True).run_once() == 0
    assert (await harness.flows.payment("o-1"))["status"] == "created"
    clock = await measured(harness.flows, timedelta())
    assert await Expiry(context).expire_once() == 1


@pytest.mark.parametrize("ahead", [timedelta(hours=25), -timedelta(hours=25)])
async def test_a_signature_is_judged_by_the_clock_of_the_database(flows: Flows, ahead: timedelta) -> None:
    """A host with a wrong clock takes good deliveries, and no delivery of its own, wrong, time."""
    clock = await measured(flows, ahead)
    inbox = Inbox()
    app = endpoint(inbox, now_s=lambda: int(clock.now().timestamp()))
    async with served(app) as port:
        good, replayed = event(id="evt_good"), event(id="evt_old")
        accepted = await post(port, good)
        refused = await post(port, replayed, {"stripe-signature": sign(replayed, ago_s=-int(ahead.total_seconds()))})
    assert (accepted.status, refused.status) == (200, 400)
    assert [stored.event_id for stored in inbox.events] == ["evt_good"]


async def test_ready_shows_a_wrong_clock_and_stays_ready(flows: Flows) -> None:
    """Webhooks are stored while the clocks differ, so the process stays in the load balancer."""
    service = Service(flows.config, flows.pool, flows.pool, frozenset())
    service._clock = await measured(flows, timedelta(hours=25))
    found = await service.readiness()
    assert found.ready
    assert "90000 s ahead of the database's clock" in found.checks["clock"]
    assert not service._context.may_decide()
    service._clock = await measured(flows, timedelta())
    assert (await service.readiness()).checks["clock"] == "ok"
    assert service._context.may_decide()
    await service._providers.close()
