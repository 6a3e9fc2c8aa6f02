"""A week of virtual time without webhooks: at its end, our rows and our events say what Stripe has.

Customers, the API and the dashboard act on payments every twelve hours. Only the list of events, polls and reconciliation
report it. Stripe may lose events (https://docs.stripe.com/webhooks/handle-irrecoverable-events).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, Final

import asyncpg
import pytest
import stripe

from payment_service.db.reconciliations import Window
from payment_service.flows.comparisons.rows import compare_rows
from payment_service.flows.timers import recent_events
from payment_service.provider.port import EventPage, Transient
from tests.support import checker
from tests.support.checker import Evidence, Row, Violation, list_all
from tests.support.eventually import eventually_async
from tests.support.flows import inbound_record, name_of, order
from tests.support.harness import Harness
from tests.support.provider_reads import events_reader, poll_all, poller, read_events
from tests.support.reconcile import Result, reconciliation

# The week has 14 steps. A hold on a card ends within it (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method).
STEP: Final = timedelta(hours=12)
STEPS: Final = 14
ORDERS_PER_STEP: Final = 6
SEED: Final = 7
# `made_since` of a create is by the context's clock, which is virtual. `sent_at` of its attempts is by `now()` of the database,
# which is real. So this comparison of both cannot hold here.
TWO_CLOCKS: Final = frozenset({"operation_key_looks_younger"})
# Steps in which events of these types are lost.
LOST_STEPS: Final = range(3, 11)
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
                "succeeded": [self._refund, self._refund_by_api, self._dispute, self._rename, *[self._wait] * 16],
            }.get(intent.status, [self._wait])
            action = self.random.choice(actions)
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


async def live(week: Week, events: LossyEvents, *, lost_steps: Sequence[int] = ()) -> None:
    """Live through the week. In the lost steps the list has no event of the lost types."""
    harness = week.harness
    polls, reader = await poller(harness), await events_reader(harness, provider=events)
    for step in range(STEPS):
        events.lost_types = LOST_TYPES if step in lost_steps else ()
        await week.order()
        await week.act()
        week.advance()
        await read_events(harness, reader)
        await eventually_async(partial(applied, harness), timeout_s=60)
        await poll_all(harness, polls)


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
    await live(week, events)
    assert await found(week) == []
    assert {"_pay", "declined", "_capture", "_cancel", "_refund", "_refund_by_api", "_dispute", "_rename"} <= set(
        week.acts
    )
    assert reported(await week.reconcile()) == {("metadata_differs", intent, False) for intent in week.renamed}


async def test_a_week_that_lost_whole_types_of_events_is_reconciled(harness: Harness, long_windows: None) -> None:
    """Polls find what is open. Reconciliation finds what happened to a paid order, such as a dashboard refund."""
    week, events = Week(harness), LossyEvents(harness.flows.provider)
    await live(week, events, lost_steps=LOST_STEPS)
    assert events.lost > 0
    renamed = {("metadata_differs", intent, False) for intent in week.renamed}
    first = reported(await week.reconcile())
    assert first > renamed
    assert all(repaired for _, _, repaired in first - renamed)
    assert await found(week) == []
    assert reported(await week.reconcile()) == renamed
