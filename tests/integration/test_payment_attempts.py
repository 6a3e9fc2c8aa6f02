"""Reports of an attempt to pay are stored once, whichever of event and read comes first, and shown."""

from __future__ import annotations

import contextlib
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
import stripe

from tests.integration.test_provider_facts import read_intent, stripe_api
from tests.support.flows import name_of
from tests.support.harness import Harness

DAY_S = 86_400
VISA = {
    "type": "card",
    "brand": "visa",
    "last4": "4242",
    "funding": "credit",
    "country": "US",
    "wallet": None,
}


async def intent_of(harness: Harness, order_id: str = "o-1", **fields: object) -> str:
    await harness.flows.accept(order_id, **fields)
    await harness.flows.run_calls()
    found: str = (await harness.flows.payment(order_id))["provider_payment_id"]
    return found


def confirm(harness: Harness, intent_id: str, method: str) -> None:
    """Let the customer try a card. A decline is no error here."""
    with contextlib.suppress(stripe.CardError):
        stripe_api(harness).payment_intents.confirm(intent_id, {"payment_method": method})


async def shown(harness: Harness, payment_id: UUID) -> dict[str, Any]:
    found: dict[str, Any] = (await harness.get(f"/v1/payments/{payment_id}")).json
    return found


async def test_each_attempt_shows_its_card_and_why_it_was_declined(harness: Harness) -> None:
    intent_id = await intent_of(harness)
    confirm(harness, intent_id, "pm_card_chargeDeclinedInsufficientFunds")
    confirm(harness, intent_id, "pm_card_visa")
    await harness.deliver()
    payment = await shown(harness, name_of("o-1"))
    paid, declined = payment["attempts"]
    assert (declined["status"], declined["decline_code"]) == ("declined", "insufficient_funds")
    assert declined["decline_reason"] == "The card has insufficient funds."
    assert declined["payment_method"]["last4"] == "9995"
    assert declined["provider_charge_id"].startswith("ch_")
    assert (paid["status"], paid["decline_code"], paid["amount"]) == ("succeeded", None, "19.90")
    assert {key: value for key, value in paid["payment_method"].items() if key != "id"} == VISA
    assert payment["payment_method"] == paid["payment_method"]
    assert payment["payment_method_id"] == paid["payment_method"]["id"]
    assert payment["payment_method_id"].startswith("pm_")
    assert payment["receipt_url"].endswith(paid["provider_charge_id"])
    timeline = (await harness.get(f"/v1/payments/{name_of('o-1')}/timeline")).json["data"]
    texts = [entry["text"] for entry in timeline if entry["kind"] == "payment_attempt"]
    assert any("visa 4242 (credit, US)" in text and "succeeded" in text for text in texts)
    assert any("visa 9995 (credit, US)" in text and "declined: insufficient_funds" in text for text in texts)


async def test_events_name_the_method(harness: Harness) -> None:
    intent_id = await intent_of(harness)
    confirm(harness, intent_id, "pm_card_chargeDeclined")
    confirm(harness, intent_id, "pm_card_visa")
    await harness.deliver()
    values = dict(await harness.published(name_of("o-1")))
    attempts = (await shown(harness, name_of("o-1")))["attempts"]
    assert [values["succeeded"]["payment_method_id"], values["failed"]["payment_method_id"]] == [
        attempt["payment_method"]["id"] for attempt in attempts
    ]


@pytest.mark.invariant("I6")
@pytest.mark.parametrize("order", [*permutations(range(4), 2)])
async def test_the_order_of_reports_changes_no_attempt(harness: Harness, order: tuple[int, ...]) -> None:
    """Events in another order, some of them twice, and a read give the same rows."""
    intent_id = await intent_of(harness)
    confirm(harness, intent_id, "pm_card_chargeDeclined")
    confirm(harness, intent_id, "pm_card_visa")
    first, second = order
    await harness.deliver(lambda events: [*events[first:], *events[:second], *events])
    await read_intent(harness, "test")
    rows = await harness.flows.pool.fetch("SELECT * FROM payment_attempts ORDER BY occurred_at, name")
    assert sorted((row["status"], row["card_last4"], row["decline_code"] or "") for row in rows) == [
        ("declined", "0002", "generic_decline"),
        ("succeeded", "4242", ""),
    ]
    assert all(row["payment_method_id"] and row["card_country"] == "US" for row in rows)


async def test_a_read_alone_shows_the_attempt(harness: Harness) -> None:
    """No webhook is needed."""
    intent_id = await intent_of(harness)
    confirm(harness, intent_id, "pm_card_visa")
    await read_intent(harness, "test")
    [attempt] = (await shown(harness, name_of("o-1")))["attempts"]
    assert (attempt["status"], attempt["payment_method"]["last4"]) == ("succeeded", "4242")


async def test_a_failed_authentication_is_an_attempt_without_a_charge(harness: Harness) -> None:
    intent_id = await intent_of(harness)
    with contextlib.suppress(stripe.CardError):
        stripe_api(harness).payment_intents.confirm(
            intent_id, {"payment_method": "pm_card_threeDSecure2Required", "error_on_requires_action": True}
        )
    await harness.deliver()
    [attempt] = (await shown(harness, name_of("o-1")))["attempts"]
    assert (attempt["provider_charge_id"], attempt["status"]) == (None, "declined")
    assert attempt["decline_code"] == "authentication_not_handled"
    assert attempt["payment_method"]["last4"] == "3220"


async def test_a_refund_shows_its_bank_reference_and_arrival(harness: Harness) -> None:
    payment_id = await harness.pay("o-1")
    refund_id = (await harness.refund(payment_id)).json["id"]
    await harness.run_until_idle()
    refund = (await harness.get(f"/v1/refunds/{refund_id}")).json
    assert (refund["status"], refund["bank_reference"]) == ("succeeded", None)
    assert refund["expected_at"] is not None
    harness.sandbox.advance(DAY_S + 1)
    await harness.deliver()
    refund = (await harness.get(f"/v1/refunds/{refund_id}")).json
    assert len(refund["bank_reference"]) == 23
    found = (await harness.get(f"/v1/search?text={refund['bank_reference']}")).json["data"]
    assert [(hit["matched"], hit["payment"]["id"]) for hit in found] == [("bank_reference", str(payment_id))]
    topics = [topic for topic, _ in await harness.published(payment_id)]
    assert topics.count("refunded") == 1
    await harness.flows.pool.execute("UPDATE refunds SET status = 'failed'")
    assert (await harness.get(f"/v1/refunds/{refund_id}")).json["expected_at"] is None, "this money never arrives"
    await harness.flows.pool.execute("UPDATE refunds SET status = 'succeeded'")
