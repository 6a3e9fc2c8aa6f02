"""Test several payment providers in one service: the choice per order, and isolation of their payments."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from payment_service.flows.intake.orders import OrderIntake
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider import calls
from payment_service.provider.port import Call, ProviderEvent
from payment_service.provider.providers import Providers
from payment_service.provider.stripe.adapter import Stripe
from payment_service.provider.stripe.webhooks import translate
from tests.support.eventually import eventually_async
from tests.support.flows import Flows, inbound_record, name_of, open_flows, order
from tests.support.sandbox import SandboxProcess


class Other(Stripe):
    """A second provider that speaks Stripe's protocol."""

    name = "other"


@pytest.fixture
async def flows(database_dsn: str) -> AsyncIterator[Flows]:
    async with open_flows(database_dsn, "http://127.0.0.1:9") as opened:
        other = Other(opened.config, now_s=lambda: 0.0)
        opened.use(Providers({"stripe": opened.provider, "other": other}, {"sek": "other"}))
        yield opened
        await other.close()


def paid(order_id: str) -> dict[str, Any]:
    """Build Stripe's event about the paid intent of an order."""
    intent = {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 1990,
        "amount_received": 1990,
        "currency": "eur",
        "status": "succeeded",
        "metadata": {"deployment": "default", "order_id": order_id, "payment_id": str(name_of(order_id))},
    }
    event = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "livemode": False}
    return {**event, "created": int(time.time()), "data": {"object": intent}}


async def apply_events(flows: Flows, *events: ProviderEvent) -> None:
    webhooks = Webhooks(flows.context())
    webhooks.start()
    for event in events:
        await webhooks.take(event, "secret-1")
    await webhooks.stop()


async def test_an_order_uses_its_named_provider_then_its_currencys_then_the_first(flows: Flows) -> None:
    orders = [
        order("named", payment_provider="other"),
        order("by-rule", currency="sek"),
        order("against-the-rule", currency="SEK", payment_provider="stripe"),
        order("left-to-us", payment_provider=None),
    ]
    await flows.intake.accept([inbound_record(value, offset) for offset, value in enumerate(orders)])
    rows = await flows.pool.fetch(
        "SELECT order_id, p.provider, o.provider AS called FROM payments p JOIN operations o ON o.payment_id = p.id"
    )
    assert {row["order_id"]: (row["provider"], row["called"]) for row in rows} == {
        "named": ("other", "other"),
        "by-rule": ("other", "other"),
        "against-the-rule": ("stripe", "stripe"),
        "left-to-us": ("stripe", "stripe"),
    }


@pytest.mark.parametrize("name", ["acme", "", "Stripe", "a b", 7, ["stripe"], "x" * 5000])
async def test_an_order_with_an_unknown_provider_is_quarantined_and_blocks_none(flows: Flows, name: object) -> None:
    await flows.intake.accept([inbound_record(order("o-1", payment_provider=name), 0), inbound_record(order("o-2"), 1)])
    assert await flows.pool.fetchval("SELECT reason FROM quarantine") == "unknown_provider"
    assert await flows.pool.fetchval("SELECT array_agg(order_id) FROM payments") == ["o-2"]


async def test_a_redelivered_order_with_another_provider_is_a_changed_order(flows: Flows) -> None:
    values = [order("o-1"), order("o-1", payment_provider="stripe"), order("o-1", payment_provider="other")]
    await flows.intake.accept([inbound_record(value, offset) for offset, value in enumerate(values)])
    rows = await flows.pool.fetch("SELECT record_offset, reason FROM quarantine")
    assert [tuple(row) for row in rows] == [(2, "order_changed")]


async def test_a_redelivered_order_of_a_removed_provider_changes_nothing(flows: Flows) -> None:
    again = order("o-1", payment_provider="other")
    await flows.intake.accept([inbound_record(again, 0)])
    alone = flows.context(providers=Providers({"stripe": flows.provider}))
    context = OrderIntake(alone, order_max_age=timedelta(days=7))
    await context.accept([inbound_record(again, 1), inbound_record(order("o-2", payment_provider="other"), 2)])
    await context.accept([inbound_record(order("o-1", "5.00", payment_provider="other"), 3)])
    rows = await flows.pool.fetch("SELECT record_offset, reason FROM quarantine ORDER BY record_offset")
    assert [tuple(row) for row in rows] == [(2, "unknown_provider"), (3, "order_changed")]


@pytest.mark.invariant("I7")
async def test_an_event_from_another_provider_is_parked_and_never_applied(flows: Flows) -> None:
    await flows.intake.accept([inbound_record(order("o-1", payment_provider="other"), 0)])
    await apply_events(flows, translate(paid("o-1"), deployment="default", livemode=False))
    assert (await flows.payment("o-1"))["status"] == "created"
    event = await flows.pool.fetchrow("SELECT processed, parked_reason, payment_id FROM payment_events")
    assert event is not None
    assert tuple(event) == (False, "another_provider", name_of("o-1"))


async def test_one_event_id_from_two_providers_is_two_events(flows: Flows) -> None:
    await flows.intake.accept(
        [inbound_record(order("o-1"), 0), inbound_record(order("o-2", payment_provider="other"), 1)]
    )
    events = [translate(paid(name), deployment="default", livemode=False) for name in ("o-1", "o-2")]
    await apply_events(flows, events[0], _by(events[1], "other"))
    assert [(await flows.payment(name))["status"] for name in ("o-1", "o-2")] == ["succeeded", "succeeded"]


@pytest.mark.invariant("I10")
async def test_a_stored_event_its_provider_fails_on_is_parked_and_blocks_no_other(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(_event: object) -> ProviderEvent:
        raise ZeroDivisionError

    early = translate(paid("o-1"), deployment="default", livemode=False)
    await apply_events(flows, early, _by(early, "other"), _by(early, "gone"))
    await flows.intake.accept([inbound_record(order("o-1"), 0)])
    await flows.pool.execute("UPDATE payment_events SET retry_at = now()")
    monkeypatch.setattr(flows.providers.named("other"), "translate", trip)
    webhooks = Webhooks(flows.context())
    await webhooks.replay_once()
    rows = await flows.pool.fetch("SELECT provider, result FROM payment_events")
    assert {row["provider"]: row["result"] for row in rows} == {
        "stripe": "applied",
        "other": "malformed",
        "gone": "unmatched",
    }


def _by(event: ProviderEvent, provider: str) -> ProviderEvent:
    fields = {name: getattr(event, name) for name in event.__slots__}
    return ProviderEvent(**{**fields, "provider": provider})


class FaultyProvider(Stripe):
    """A provider that raises, hangs, or returns nothing."""

    name = "trouble"
    mood = "raise"

    async def send(self, call: Call) -> Any:
        if self.mood == "raise":
            raise ZeroDivisionError
        if self.mood == "hang":
            await asyncio.Event().wait()
        if self.mood == "nothing":
            return None
        raise AssertionError(call)

    async def find_intents(self, **_window: int) -> Any:
        raise ZeroDivisionError


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(
    ("mood", "code"), [("raise", "raised:ZeroDivisionError"), ("hang", "no_answer"), ("nothing", "no_outcome:NoneType")]
)
async def test_a_failing_provider_has_an_unknown_outcome_and_delays_no_other(
    database_dsn: str, sandbox: SandboxProcess, mood: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "GRACE_S", 0.0)
    async with open_flows(database_dsn, sandbox.base_url, provider_timeout_s=0.5) as flows:
        trouble = FaultyProvider(flows.config, now_s=lambda: 0.0)
        trouble.mood = mood
        flows.use(Providers({"stripe": flows.provider, "trouble": trouble}))
        dispatchers = [flows.dispatcher(name=name) for name in flows.providers.by_name]
        for dispatcher in dispatchers:
            await dispatcher.start()
        await flows.intake.accept(
            [inbound_record(order("o-1", payment_provider="trouble"), 0), inbound_record(order("o-2"), 1)]
        )

        async def tried() -> bool:
            operation = await flows.operation("o-1")
            return str(operation["outcome_code"] or "").startswith(code) and operation["state"] in {"due", "claimed"}

        async def initiated() -> bool:
            return bool((await flows.payment("o-2"))["status"] == "pending")

        await eventually_async(tried)
        await eventually_async(initiated)
        assert (await flows.operation("o-1"))["outcome"] == "unknown"
        for dispatcher in dispatchers:
            await dispatcher.stop(1)
        await trouble.close()
