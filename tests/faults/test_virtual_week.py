"""A week of virtual time: at its end, our rows and our events say what Stripe has.

Customers, the API and the dashboard act on payments every twelve hours. There are no webhooks, or some that an old endpoint renders.
Stripe may lose events (https://docs.stripe.com/webhooks/handle-irrecoverable-events). The suite lives through three days. `make
test-week` lives through the whole week.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, Final

import asyncpg
import pytest
import stripe

from payment_service.db.clock_skew import ClockSkew
from payment_service.db.provider_health import EVERYTHING
from payment_service.db.reconciliations import Window
from payment_service.flows.calls.dispatch import Dispatcher
from payment_service.flows.comparisons.rows import compare_rows
from payment_service.flows.reconciliation.engine import comparisons_of
from payment_service.flows.reconciliation.schedule import ScheduledReconciliation
from payment_service.flows.timers import recent_events
from payment_service.flows.timers.expiry import Expiry
from payment_service.flows.timers.poller import Poller
from payment_service.flows.timers.provider_timers import make_provider_timers
from payment_service.provider.port import EventPage, Transient
from tests.support import checker
from tests.support.checker import Evidence, Row, Violation, list_all
from tests.support.eventually import eventually_async
from tests.support.flows import inbound_record, name_of, order
from tests.support.harness import Harness, open_harness
from tests.support.provider_reads import events_reader, poll_all, poller, read_events
from tests.support.reconcile import Result, reconciliation
from tests.support.sandbox import SandboxProcess
from tests.support.wire import open_wire

# The week has 14 steps. A hold on a card ends within it (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method).
STEP: Final = timedelta(hours=12)
WHOLE: Final = os.environ.get("VIRTUAL_WEEK") == "whole"
STEPS: Final = 14 if WHOLE else 6
ORDERS_PER_STEP: Final = 6
SEED: Final = 7
# `made_since` of a create is by the context's clock, which is virtual. `sent_at` of its attempts is by `now()` of the database,
# which is real. So this comparison of both cannot hold here.
TWO_CLOCKS: Final = frozenset({"operation_key_looks_younger"})
# Of twenty things that may happen to a paid order in a step, or of seven if there are few steps.
WAITS: Final = 16 if WHOLE else 3
# Nobody does anything with this order. Only some weeks have a time after which payments expire.
FORGOTTEN: Final = "o-1"
EXPIRES_AFTER: Final = timedelta(days=2)
# Steps in which events of these types are lost.
# Until the end: a bank reference reports a refund again, a day later.
LOST_STEPS: Final = range(STEPS // 4, STEPS)
LOST_TYPES: Final = ("payment_intent.", "charge.refund", "refund.", "charge.dispute.")

pytestmark = [pytest.mark.timeout(300), pytest.mark.invariant("I16"), pytest.mark.invariant("I3")]


class LossyEvents:
    """The provider's list of events, without types that it loses."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self.events_kept = provider.events_kept
        self.lost_types: tuple[str, ...] = ()
        self.lost = 0

    async def recent_events(self, **window: Any) -> EventPage | Transient:
        """List a page, and leave out what is lost."""
        page: EventPage | Transient = await self._provider.recent_events(**window)
        if isinstance(page, Transient) or not self.lost_types:
            return page
        kept = tuple(event for event in page.events if not event.event_type.startswith(self.lost_types))
        self.lost += len(page.events) - len(kept)
        return replace(page, events=kept)


class Week:
    """A shop on the harness, with a clock that all parts share."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.random = Random(SEED)
        self.renamed: set[str] = set()
        self.acts: dict[str, int] = {}
        self._v1: Any = harness.sandbox.client().v1
        self._orders = 0

    async def order(self) -> None:
        """Accept orders of now: a third with manual capture."""
        values = []
        for _ in range(ORDERS_PER_STEP):
            self._orders += 1
            fields = {"capture_method": "manual"} if self._orders % 3 == 0 else {}
            values.append(order(f"o-{self._orders}", **fields))
        age = -self.harness.flows.clock.ahead
        records = [inbound_record(value, self._orders + n, age=age) for n, value in enumerate(values)]
        await self.harness.flows.intake.accept(records)
        await self.harness.flows.run_calls()

    async def act(self) -> None:
        """Do one thing with most payments, as Stripe's current state of each allows."""
        rows = await self.harness.flows.pool.fetch(
            "SELECT order_id, provider_payment_id FROM payments ORDER BY created_at, id"
        )
        for row in rows:
            intent = self._v1.payment_intents.retrieve(row["provider_payment_id"])
            actions = {
                "requires_payment_method": [
                    self._pay,
                    self._pay,
                    self._pay,
                    self._decline,
                    self._cancel,
                    self._cancel_by_api,
                ],
                "requires_capture": [self._capture, self._capture_part, self._capture_by_api, self._cancel, self._wait],
                "succeeded": [self._refund, self._refund_by_api, self._dispute, self._rename, *[self._wait] * WAITS],
            }.get(intent.status, [self._wait])
            action = self.random.choice(actions)
            if row["order_id"] == FORGOTTEN:
                action = self._wait
            # Stripe refuses some: a decline is an error, and a disputed charge has no refund.
            with contextlib.suppress(stripe.StripeError):
                await action(row["order_id"], intent)
                self.acts[action.__name__] = self.acts.get(action.__name__, 0) + 1
        await self.harness.flows.run_calls()

    def advance(self) -> None:
        """Advance the clocks of the service and the sandbox."""
        self.harness.flows.clock.ahead += STEP
        self.harness.sandbox.advance(STEP.total_seconds())

    async def reconcile(self) -> Result:
        """Reconcile the week so far."""
        now, result = self.harness.flows.clock.now(), Result()
        window = Window.of(now - timedelta(days=8), now + timedelta(minutes=5))
        await reconciliation(self.harness, result).run(window)
        await self.harness.flows.run_calls()
        return result

    async def _pay(self, _order_id: str, intent: Any) -> None:
        self._v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})

    async def _decline(self, _order_id: str, intent: Any) -> None:
        self.acts["declined"] = self.acts.get("declined", 0) + 1
        self._v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_chargeDeclined"})

    async def _capture(self, _order_id: str, intent: Any) -> None:
        self._v1.payment_intents.capture(intent.id)

    async def _capture_part(self, _order_id: str, intent: Any) -> None:
        self._v1.payment_intents.capture(intent.id, {"amount_to_capture": 1000})

    async def _capture_by_api(self, order_id: str, _intent: Any) -> None:
        await self.harness.post(f"/v1/payments/{name_of(order_id)}/capture", {})

    async def _cancel(self, _order_id: str, intent: Any) -> None:
        self._v1.payment_intents.cancel(intent.id)

    async def _cancel_by_api(self, order_id: str, _intent: Any) -> None:
        await self.harness.post(f"/v1/payments/{name_of(order_id)}/cancel", {})

    async def _refund(self, _order_id: str, intent: Any) -> None:
        self._v1.refunds.create({"payment_intent": intent.id, "amount": 300})

    async def _refund_by_api(self, order_id: str, _intent: Any) -> None:
        await self.harness.refund(name_of(order_id), "2.00")

    async def _dispute(self, _order_id: str, intent: Any) -> None:
        with contextlib.suppress(AssertionError):  # it has a dispute already
            self.harness.sandbox.control("POST", f"/sandbox/charges/{intent.latest_charge}/dispute", {})

    async def _rename(self, _order_id: str, intent: Any) -> None:
        self._v1.payment_intents.update(intent.id, {"metadata": {"order_id": "another"}})
        self.renamed.add(intent.id)

    async def _wait(self, _order_id: str, _intent: Any) -> None:
        pass


async def live(week: Week, learn: Callable[[int], Awaitable[object]]) -> None:
    """Live through the week. `learn` of a step lets the service learn what has happened."""
    for step in range(STEPS):
        await week.order()
        await week.act()
        week.advance()
        await learn(step)


async def ask(week: Week, events: LossyEvents, *, lost_steps: Sequence[int] = ()) -> Callable[[int], Awaitable[None]]:
    """Return a function that asks Stripe. In the lost steps the list has no event of the lost types."""
    harness = week.harness
    polls, reader = await poller(harness), await events_reader(harness, provider=events)

    async def learn(step: int) -> None:
        events.lost_types = LOST_TYPES if step in lost_steps else ()
        await read_events(harness, reader)
        await eventually_async(partial(applied, harness), timeout_s=60)
        await poll_all(harness, polls)

    return learn


async def applied(harness: Harness) -> bool:
    """Return whether no stored event waits."""
    waiting = "SELECT count(*) FROM payment_events WHERE NOT processed AND retry_at IS NOT NULL"
    return not await harness.flows.pool.fetchval(waiting)


async def found(week: Week) -> list[Violation]:
    """Check by the ledger and the objects of the sandbox, never by the service's own output."""
    sandbox, dsn = week.harness.sandbox, week.harness.dsn
    connection = await asyncpg.connect(dsn)
    try:
        tables: dict[str, list[Row]] = {
            name: [dict(row) for row in await connection.fetch(f"SELECT * FROM {name}")]  # noqa: S608
            for name in ("payments", "operations", "payment_events", "quarantine")
        }
    finally:
        await connection.close()
    evidence = Evidence(
        ledger=sandbox.ledger(),
        intents=list_all(sandbox, "payment_intents"),
        delivered=[],
        tables={**tables, "outbox_pending": []},  # no relay runs
        differences=[one async for one in compare_rows(week.harness.flows.pool) if one.code not in TWO_CLOCKS],
        orders=[],
        published=[],
    )
    checks = (
        checker.provider_agrees,
        checker.nothing_is_unfinished,
        checker.our_data_agrees,
        checker.refunds_agree,
    )
    return [violation for check in checks for violation in check(evidence)]


@pytest.fixture
def long_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read events in windows of three hours, so that a week has 56."""
    monkeypatch.setattr(recent_events, "WINDOW_MAX_S", 3 * 3600)


def reported(result: Result) -> set[tuple[str, str, bool]]:
    """Return code, subject and repair of each difference."""
    return {(one.code, one.subject, one.repaired) for one in result.found}


async def test_a_week_without_webhooks_ends_as_stripe_has_it(harness: Harness, long_windows: None) -> None:
    week, events = Week(harness), LossyEvents(harness.flows.provider)
    await live(week, await ask(week, events))
    assert await found(week) == []
    assert {"_pay", "declined", "_capture", "_cancel", "_refund", "_refund_by_api", "_dispute", "_rename"} <= set(
        week.acts
    )
    assert reported(await week.reconcile()) == {("metadata_differs", intent, False) for intent in week.renamed}


async def test_a_week_that_lost_whole_types_of_events_is_reconciled(harness: Harness, long_windows: None) -> None:
    """Polls find what is open. Reconciliation finds what happened to a paid order, such as a dashboard refund."""
    week, events = Week(harness), LossyEvents(harness.flows.provider)
    await live(week, await ask(week, events, lost_steps=LOST_STEPS))
    assert events.lost > 0
    renamed = {("metadata_differs", intent, False) for intent in week.renamed}
    first = reported(await week.reconcile())
    assert first > renamed
    assert all(repaired for _, _, repaired in first - renamed)
    assert await found(week) == []
    assert reported(await week.reconcile()) == renamed


@pytest.mark.invariant("I17")
@pytest.mark.parametrize("version", ["2025-02-24.acacia", "2020-08-27"])
async def test_a_week_on_an_endpoint_of_an_older_version_ends_as_stripe_has_it(
    database_dsn: str, sandbox: SandboxProcess, version: str
) -> None:
    """Only webhooks tell of anything. The rules of acacia read its own ones. A webhook of 2020 is read again."""
    async with open_wire(database_dsn, sandbox, version) as wire:
        week = Week(wire.harness)

        async def learn(_step: int) -> None:
            await wire.settle()

        await live(week, learn)
        assert await found(week) == []
        assert await wire.parked() == []
        assert reported(await week.reconcile()) == {("metadata_differs", intent, False) for intent in week.renamed}


class Host:
    """A process on a host whose clock is wrong: its timers, its reconciliation, and a dispatcher."""

    def __init__(self, harness: Harness, ahead: timedelta) -> None:
        flows = harness.flows
        self.clock = ClockSkew(
            flows.pool, host_now=lambda: flows.clock.now() + ahead, database_now=flows.clock.database_now
        )
        self._context = flows.context(now=self.clock.now, may_decide=self.clock.agrees, paused_kinds=self._paused_kinds)
        self._harness = harness
        self._dispatcher = Dispatcher(self._context, name="stripe", config=flows.config, random=Random(SEED))
        comparisons = comparisons_of(self._context, flows.config, open_reader=None, look_again_s=0)
        self._schedule = ScheduledReconciliation(self._context, comparisons, interval=timedelta(hours=1))

    async def act(self) -> int:
        """Run everything once, as soon as the clock is measured. Return how much was done."""
        await self.clock.measure_once()
        done = await Expiry(self._context).expire_once() + await self._schedule.run_once()
        for timer in make_provider_timers(self._context, self._harness.webhooks, self._harness.flows.config):
            done += await (timer.poll_once() if isinstance(timer, Poller) else timer.read_once())
        return done + await self._dispatcher.claim_once()

    def _paused_kinds(self, _provider: str) -> frozenset[str]:
        return frozenset() if self.clock.agrees() else frozenset({EVERYTHING})


async def test_hosts_with_wrong_clocks_do_nothing_all_week(
    database_dsn: str, sandbox: SandboxProcess, long_windows: None
) -> None:
    """Two hosts are hours ahead and behind. Unpaid payments expire after two days, by the database's clock."""
    async with open_harness(database_dsn, sandbox, payment_expires_after=EXPIRES_AFTER) as harness:
        week, expired = Week(harness), set[bool]()
        asks = await ask(week, LossyEvents(harness.flows.provider))
        hosts = [
            Host(harness, timedelta(hours=5)),
            Host(harness, timedelta(hours=-3)),
            Host(harness, timedelta(days=7)),
        ]

        async def learn(step: int) -> None:
            await harness.flows.pool.execute("UPDATE polls SET due_at = now()")
            await harness.flows.pool.execute("UPDATE event_positions SET events_due_at = now()")
            await harness.flows.pool.execute("UPDATE provider_budget SET polls_due_at = now()")
            assert [await host.act() for host in hosts] == [0, 0, 0]
            await Expiry(harness.context()).expire_once()
            await asks(step)
            status = (await harness.flows.payment(FORGOTTEN))["status"]
            expired.add((status == "canceled") == ((step + 1) * STEP >= EXPIRES_AFTER))

        await live(week, learn)
        assert await found(week) == []
        assert expired == {True}
