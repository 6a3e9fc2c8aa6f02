"""Published dates and sums are the provider's facts: no reading moves them, whichever of event, read and list comes first."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from payment_service.db import payments
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.port import ProviderEvent
from tests.integration.test_apply_webhooks import event
from tests.support.eventually import eventually_async
from tests.support.flows import Flows, name_of
from tests.support.harness import Harness

DAY_S = 86_400


def stripe_api(harness: Harness) -> Any:
    return harness.sandbox.client().v1


async def confirm_without_webhook(harness: Harness, method: str = "automatic") -> str:
    """Let the customer pay without delivering any event. Return the intent."""
    await harness.flows.accept("o-1", capture_method=method)
    await harness.flows.run_calls()
    intent_id: str = (await harness.flows.payment("o-1"))["provider_payment_id"]
    stripe_api(harness).payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})
    return intent_id


async def read_intent(harness: Harness, cause: str) -> None:
    """Read the payment's own intent, as any lookup does."""
    async with harness.flows.pool.acquire() as connection, connection.transaction():
        locked = await payments.lock_available(connection, [name_of("o-1")])
        fold = harness.context().fold(locked)
        fold.enqueue_own_read(name_of("o-1"), cause)
        await fold.write(connection)
    await harness.flows.run_calls()


async def deliver_only(harness: Harness, *kinds: str) -> None:
    """Deliver the new events of these types, and lose the others."""
    await harness.deliver(lambda events: [one for one in events if one["type"] in kinds])
    harness.seen |= {one["id"] for one in harness.events()}


def charge_of(harness: Harness, intent_id: str) -> dict[str, Any]:
    intent = stripe_api(harness).payment_intents.retrieve(
        intent_id, {"expand": ["latest_charge", "latest_charge.balance_transaction"]}
    )
    found: dict[str, Any] = intent.latest_charge.to_dict()
    return found


def in_seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


async def dates(harness: Harness) -> tuple[int, list[int]]:
    """Return `paid_at` and every published `payment_date`, in seconds."""
    paid_at: datetime = (await harness.flows.payment("o-1"))["paid_at"]
    values = [value for topic, value in await harness.published(name_of("o-1")) if topic == "succeeded"]
    return int(paid_at.timestamp()), [in_seconds(value["payment_date"]) for value in values]


@pytest.mark.parametrize("kinds", [("charge.succeeded", "payment_intent.succeeded"), ("payment_intent.succeeded",)])
async def test_a_later_read_moves_no_date(harness: Harness, kinds: Collection[str]) -> None:
    intent_id = await confirm_without_webhook(harness)
    await deliver_only(harness, *kinds)
    paid = charge_of(harness, intent_id)["created"]
    assert await dates(harness) == (paid, [paid])
    harness.sandbox.advance(DAY_S)
    await read_intent(harness, "first")
    harness.sandbox.advance(DAY_S)
    await read_intent(harness, "second")
    assert await dates(harness) == (paid, [paid])


async def test_a_payment_that_is_read_before_its_event_has_the_date_of_its_charge(harness: Harness) -> None:
    intent_id = await confirm_without_webhook(harness)
    harness.sandbox.advance(DAY_S)
    await read_intent(harness, "first")
    paid = charge_of(harness, intent_id)["created"]
    assert await dates(harness) == (paid, [paid])
    await harness.deliver()
    assert await dates(harness) == (paid, [paid])
    happened = await harness.flows.pool.fetchval(
        "SELECT occurred_at FROM payment_history WHERE to_status = 'succeeded'"
    )
    assert int(happened.timestamp()) == paid


async def test_a_cancel_that_comes_too_late_does_not_date_the_payment(harness: Harness) -> None:
    """The refusal of the cancel contains the paid intent, but not its charge."""
    intent_id = await confirm_without_webhook(harness)
    harness.sandbox.advance(DAY_S)
    assert (await harness.post(f"/v1/payments/{name_of('o-1')}/cancel", {})).status == 201
    await harness.flows.run_calls()
    paid = charge_of(harness, intent_id)["created"]
    assert await dates(harness) == (paid, [paid])


async def test_a_listed_intent_has_the_date_of_its_charge(harness: Harness) -> None:
    intent_id = await confirm_without_webhook(harness)
    paid = charge_of(harness, intent_id)["created"]
    harness.sandbox.advance(DAY_S)
    found = await harness.flows.provider.find_intents(created_from=paid - 60, created_to=paid + 60, limit=100)
    assert found is not None
    [listed] = found[name_of("o-1")]
    assert listed is not None
    assert listed.occurred_at == paid


async def test_a_capture_that_is_read_later_has_the_date_of_the_capture(harness: Harness) -> None:
    """The charge is as old as the authorization; its balance transaction is made with the capture."""
    intent_id = await confirm_without_webhook(harness, "manual")
    await harness.deliver()
    harness.sandbox.advance(DAY_S)
    stripe_api(harness).payment_intents.capture(intent_id)
    captured = charge_of(harness, intent_id)["balance_transaction"]["created"]
    harness.sandbox.advance(DAY_S)
    await read_intent(harness, "first")
    assert await dates(harness) == (captured, [captured])
    await harness.deliver()
    assert await dates(harness) == (captured, [captured])


async def test_a_cancellation_that_is_read_later_has_the_time_of_the_cancellation(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    canceled_at = stripe_api(harness).payment_intents.cancel(intent_id).canceled_at
    harness.sandbox.advance(DAY_S)
    await read_intent(harness, "first")
    happened = await harness.flows.pool.fetchval("SELECT occurred_at FROM payment_history WHERE to_status = 'canceled'")
    assert int(happened.timestamp()) == canceled_at


async def test_refunds_first_seen_in_one_list_have_the_sums_of_their_order(harness: Harness) -> None:
    """Only `charge.refunded` arrives, which names no refund."""
    payment = await harness.pay("o-1")
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    made = [
        stripe_api(harness).refunds.create({"payment_intent": intent_id, "amount": amount})
        for amount in (500, 700, 790)
    ]
    await deliver_only(harness, "charge.refunded")
    await harness.flows.run_calls()
    values = [value for topic, value in await harness.published(payment) if topic == "refunded"]
    assert [(value["amount"], value["amount_refunded"], value["full"]) for value in values] == [
        ("5.00", "5.00", False),
        ("7.00", "12.00", False),
        ("7.90", "19.90", True),
    ]
    times = await harness.flows.pool.fetch(
        "SELECT occurred_at FROM payment_history WHERE published_topic = 'payments.refunded' ORDER BY sequence"
    )
    assert [row["occurred_at"] for row in times] == [datetime.fromtimestamp(refund.created, UTC) for refund in made]


async def apply(flows: Flows, *events: ProviderEvent) -> list[tuple[str, dict[str, Any]]]:
    """Store events one after another, without a dispatcher. Return the published records."""
    webhooks = Webhooks(flows.context())
    for one in events:
        async with flows.pool.acquire() as connection, connection.transaction():
            await webhooks.store_within(connection, [(one, "secret-1")])
    rows = await flows.pool.fetch("SELECT type, payload FROM outbox ORDER BY position")
    return [(row["type"].removeprefix("payments."), json.loads(row["payload"])) for row in rows]


async def test_more_captured_later_is_published_with_its_sum(flows: Flows) -> None:
    """The sums are those of the captures so far, so a consumer that stores the latest one counts no money twice."""
    await flows.accept("o-1")
    story = ((500, 100), (1200, 200), (1200, 300), (700, 400), (1990, 500))
    published = await apply(
        flows, *(event("o-1", at=1_800_000_000 + at, amount_received=received) for received, at in story)
    )
    assert [topic for topic, _ in published] == ["initiated", "succeeded", "captured", "captured"]
    assert (published[1][1]["amount"], in_seconds(published[1][1]["payment_date"])) == ("5.00", 1_800_000_100)
    assert [(value["amount"], value["amount_captured"]) for _, value in published[2:]] == [
        ("7.00", "12.00"),
        ("7.90", "19.90"),
    ]
    row = await flows.payment("o-1")
    assert (row["captured"], int(row["paid_at"].timestamp())) == (1990, 1_800_000_100)


async def test_a_part_captured_before_the_final_capture_is_published(flows: Flows) -> None:
    """With `final_capture=false` the intent stays authorized (https://docs.stripe.com/payments/multicapture)."""
    await flows.accept("o-1")
    held = "payment_intent.amount_capturable_updated"
    published = await apply(
        flows,
        event("o-1", "requires_capture", kind=held, at=1_800_000_000),
        event("o-1", "requires_capture", kind=held, at=1_800_000_000, amount_received=500),
        event("o-1", at=1_800_000_500, amount_received=1990),
    )
    assert [topic for topic, _ in published] == ["initiated", "authorized", "captured", "succeeded"]
    assert (published[2][1]["amount_captured"], published[3][1]["amount"]) == ("5.00", "19.90")


@pytest.mark.invariant("I7")
@pytest.mark.parametrize(
    ("status", "received"),
    [pytest.param("succeeded", 1991, id="more than ordered"), pytest.param("canceled", 500, id="canceled")],
)
async def test_money_beyond_the_order_is_parked(flows: Flows, status: str, received: int) -> None:
    await flows.accept("o-1")
    await apply(flows, event("o-1", status, amount_received=received))
    assert (await flows.payment("o-1"))["captured"] == 0
    assert await flows.pool.fetchval("SELECT parked_reason FROM payment_events") == "unexpected_money"


@pytest.mark.parametrize("with_charge", [True, False])
async def test_the_end_of_an_authorization_is_stored_and_shown(harness: Harness, with_charge: bool) -> None:
    intent_id = await confirm_without_webhook(harness, "manual")
    kinds = ["payment_intent.amount_capturable_updated", *(["charge.succeeded"] if with_charge else [])]
    await deliver_only(harness, *kinds)
    await harness.flows.run_calls()
    ends = charge_of(harness, intent_id)["payment_method_details"]["card"]["capture_before"]
    shown = (await harness.get(f"/v1/payments/{name_of('o-1')}")).json
    assert (shown["status"], in_seconds(shown["capture_before"])) == ("authorized", ends)
    [value] = [value for topic, value in await harness.published(name_of("o-1")) if topic == "authorized"]
    assert value["capture_before"] == (shown["capture_before"].replace(".000000", "") if with_charge else "")


async def stray_of(harness: Harness, payment: UUID) -> str:
    """Create a second intent with the payment's metadata at the provider, as a lost key would."""
    metadata = {"deployment": "default", "order_id": "o-1", "payment_id": str(payment)}
    intent = stripe_api(harness).payment_intents.create(
        {"amount": 1990, "currency": "eur", "payment_method_types": ["sepa_debit"], "metadata": metadata}
    )
    return str(intent.id)


@pytest.mark.parametrize("seen_as", ["pending", "processing"])
async def test_a_stray_is_canceled_after_the_bank_declined_it(harness: Harness, seen_as: str) -> None:
    payment = await harness.pay("o-1")
    stray = await stray_of(harness, payment)
    if seen_as == "processing":
        harness.seen |= {one["id"] for one in harness.events()}
    stripe_api(harness).payment_intents.confirm(stray, {"payment_method": "pm_sepaDebit"})
    await harness.deliver()

    async def waits_for_the_bank() -> bool:
        row = await harness.flows.pool.fetchrow("SELECT state, outcome_code FROM operations WHERE kind = 'cancel'")
        return row is not None and tuple(row) == ("due", "processing")

    await eventually_async(waits_for_the_bank)
    assert (await harness.refund(payment, "5.00")).status == 201
    harness.sandbox.settle(stray, "fail")
    await harness.flows.pool.execute("UPDATE operations SET due_at = now() WHERE kind = 'cancel'")
    await harness.run_until_idle()
    assert stripe_api(harness).payment_intents.retrieve(stray).status == "canceled"
