"""Reconciliation finds every kind of difference between Stripe and our rows, repairs what is certain, and invents none.

The sandbox has Stripe's lists (https://docs.stripe.com/api/payment_intents/list, and those of charges, refunds and
disputes). Each test plants a difference that webhooks do not repair: they are not delivered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from payment_service.db import differences
from payment_service.domain.differences import CATALOG
from tests.support.flows import name_of
from tests.support.harness import Harness
from tests.support.reconcile import reconcile

# Each plants through several calls and events.
pytestmark = pytest.mark.timeout(180)

Plant = Callable[[Harness], Awaitable[str]]


def client(harness: Harness) -> Any:
    """Return a client of the sandbox."""
    return harness.sandbox.client()


async def intent_of(harness: Harness, order_id: str) -> str:
    """Return the intent of an order's payment."""
    return str((await harness.flows.payment(order_id))["provider_payment_id"])


async def open_order(harness: Harness, order_id: str = "o-1", **fields: Any) -> str:
    """Accept an order, and return its intent."""
    await harness.flows.accept(order_id, **fields)
    await harness.flows.run_calls()
    return await intent_of(harness, order_id)


async def authorized_order(harness: Harness) -> str:
    """Let the customer authorize an order, and deliver the events."""
    intent = await open_order(harness, capture_method="manual")
    client(harness).v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    await harness.run_until_idle()
    assert (await harness.flows.payment("o-1"))["status"] == "authorized"
    return intent


async def second_intent(harness: Harness, order_id: str = "o-1", **fields: Any) -> str:
    """Create another intent with the metadata of an order's payment."""
    metadata = {"deployment": "default", "order_id": order_id, "payment_id": str(name_of(order_id))}
    made = client(harness).v1.payment_intents.create(
        {"amount": 1990, "currency": "eur", "payment_method_types": ["card"], "metadata": metadata, **fields}
    )
    return str(made.id)


async def execute(harness: Harness, sql: str, *values: object) -> None:
    """Edit rows as an operator with psql would."""
    assert (await harness.flows.pool.execute(sql, *values)) not in {"UPDATE 0", "DELETE 0"}


async def delete_rows(harness: Harness, payment_id: UUID) -> None:
    """Delete a payment with all its rows."""
    for table, column in (
        ("operations", "payment_id"),
        ("refunds", "payment_id"),
        ("disputes", "payment_id"),
        ("payments", "id"),
    ):
        await harness.flows.pool.execute(f"DELETE FROM {table} WHERE {column} = $1", payment_id)  # noqa: S608


# Each plants one difference and returns the id of its object.


async def row_deleted(harness: Harness) -> str:
    await harness.pay("o-1")
    intent = await intent_of(harness, "o-1")
    await delete_rows(harness, name_of("o-1"))
    return intent


async def intent_missing(harness: Harness) -> str:
    await open_order(harness)
    await execute(harness, "UPDATE payments SET provider_payment_id = 'pi_3Gone'")
    # Its own intent is then a second one; cancel it, so that one difference is left.
    own = client(harness).v1.payment_intents.list().data[0].id
    client(harness).v1.payment_intents.cancel(own)
    return "pi_3Gone"


async def intent_not_recorded(harness: Harness) -> str:
    intent = await open_order(harness)
    await execute(harness, "UPDATE payments SET provider_payment_id = NULL, status = 'created', fact_rank = NULL")
    return intent


async def intent_of_two(harness: Harness) -> str:
    first = await open_order(harness, "o-1")
    second = await open_order(harness, "o-2")
    client(harness).v1.payment_intents.cancel(second)
    await harness.run_until_idle()
    await execute(harness, "UPDATE payments SET provider_payment_id = NULL WHERE order_id = 'o-1'")
    await execute(harness, "UPDATE payments SET provider_payment_id = $1 WHERE order_id = 'o-2'", first)
    return first


async def unpaid_second_intent(harness: Harness) -> str:
    await open_order(harness)
    return await second_intent(harness)


async def charged_twice(harness: Harness) -> str:
    await harness.pay("o-1")
    return await second_intent(harness, confirm=True, payment_method="pm_card_visa", return_url="https://shop.example/")


async def amount_edited(harness: Harness) -> str:
    await harness.pay("o-1")
    await execute(harness, "UPDATE payments SET amount = 2990")
    return await intent_of(harness, "o-1")


async def currency_edited(harness: Harness) -> str:
    await harness.pay("o-1")
    await execute(harness, "UPDATE payments SET currency = 'usd'")
    return await intent_of(harness, "o-1")


async def paid_without_webhook(harness: Harness) -> str:
    intent = await open_order(harness)
    client(harness).v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    return intent


async def status_set_back(harness: Harness) -> str:
    await harness.pay("o-1")
    await execute(harness, "UPDATE payments SET status = 'pending', captured = 0, paid_at = NULL")
    return await intent_of(harness, "o-1")


async def status_set_forward(harness: Harness) -> str:
    intent = await open_order(harness)
    await execute(harness, "UPDATE payments SET status = 'succeeded', captured = amount, payment_method_type = 'card'")
    return intent


async def captured_externally(harness: Harness) -> str:
    intent = await authorized_order(harness)
    client(harness).v1.payment_intents.capture(intent)
    return intent


async def canceled_externally(harness: Harness) -> str:
    intent = await open_order(harness)
    client(harness).v1.payment_intents.cancel(intent)
    return intent


async def captured_edited(harness: Harness) -> str:
    await harness.pay("o-1")
    await execute(harness, "UPDATE payments SET captured = 990")
    return await intent_of(harness, "o-1")


async def metadata_edited(harness: Harness) -> str:
    await harness.pay("o-1")
    intent = await intent_of(harness, "o-1")
    client(harness).v1.payment_intents.update(intent, {"metadata": {"order_id": "another"}})
    return intent


async def deployment_removed(harness: Harness) -> str:
    await harness.pay("o-1")
    intent = await intent_of(harness, "o-1")
    client(harness).v1.payment_intents.update(intent, {"metadata": {"deployment": ""}})
    return intent


async def charge_without_payment(harness: Harness) -> str:
    """The metadata of the intent are edited after the charge, which has its own copy (https://docs.stripe.com/metadata)."""
    await harness.pay("o-1")
    intent = await second_intent(
        harness, confirm=True, payment_method="pm_card_visa", return_url="https://shop.example/"
    )
    client(harness).v1.payment_intents.update(
        intent, {"metadata": {"deployment": "", "payment_id": "", "order_id": ""}}
    )
    return str(client(harness).v1.payment_intents.retrieve(intent).latest_charge)


async def method_edited(harness: Harness) -> str:
    await harness.pay("o-1")
    await execute(harness, "UPDATE payments SET payment_method_type = 'sepa_debit'")
    return str(client(harness).v1.payment_intents.retrieve(await intent_of(harness, "o-1")).latest_charge)


async def refunded_externally(harness: Harness) -> str:
    await harness.pay("o-1")
    made = client(harness).v1.refunds.create({"payment_intent": await intent_of(harness, "o-1"), "amount": 500})
    return str(made.id)


async def refund(harness: Harness) -> str:
    """Refund 5.00 of an order through the API, and return the provider's id."""
    await harness.refund(await harness.pay("o-1"), "5.00")
    await harness.run_until_idle()
    return str(await harness.flows.pool.fetchval("SELECT provider_refund_id FROM refunds"))


async def refund_row_deleted(harness: Harness) -> str:
    made = await refund(harness)
    await execute(harness, "DELETE FROM refunds")
    await execute(harness, "UPDATE payments SET refunded = 0")
    return made


async def refund_missing(harness: Harness) -> str:
    await harness.pay("o-1")
    await execute(
        harness,
        "INSERT INTO refunds (id, payment_id, provider, provider_refund_id, amount, currency, status, external)"
        " SELECT gen_random_uuid(), id, provider, 're_3Gone', 500, 'eur', 'succeeded', true FROM payments",
    )
    await execute(harness, "UPDATE payments SET refunded = 500")
    return "re_3Gone"


async def refund_amount_edited(harness: Harness) -> str:
    made = await refund(harness)
    await execute(harness, "UPDATE refunds SET amount = 400")
    await execute(harness, "UPDATE payments SET refunded = 400")
    return made


async def refund_status_set_back(harness: Harness) -> str:
    made = await refund(harness)
    await execute(harness, "UPDATE refunds SET status = 'pending'")
    await execute(harness, "UPDATE payments SET refunded = 0, reserved = 500")
    return made


async def refund_failed_without_webhook(harness: Harness) -> str:
    made = await refund(harness)
    harness.sandbox.settle_refund(made, "fail")
    return made


async def refund_moved(harness: Harness) -> str:
    made = await refund(harness)
    await harness.pay("o-2")
    await execute(harness, "UPDATE refunds SET payment_id = $1", name_of("o-2"))
    await execute(harness, "UPDATE payments SET refunded = CASE order_id WHEN 'o-2' THEN 500 ELSE 0 END")
    return made


async def dispute(harness: Harness) -> str:
    """Let the customer dispute a paid order."""
    await harness.pay("o-1")
    charge = client(harness).v1.payment_intents.retrieve(await intent_of(harness, "o-1")).latest_charge
    return str(harness.sandbox.control("POST", f"/sandbox/charges/{charge}/dispute", {})["id"])


async def dispute_closed_without_webhook(harness: Harness) -> str:
    made = await dispute(harness)
    await harness.run_until_idle()
    harness.sandbox.control("POST", f"/sandbox/disputes/{made}/close", {"outcome": "lost"})
    return made


async def dispute_missing(harness: Harness) -> str:
    await harness.pay("o-1")
    await execute(
        harness,
        "INSERT INTO disputes (id, payment_id, provider, provider_dispute_id, amount, currency, status, reason, fact_rank,"
        " fact_at, fact_precedence, fact_source)"
        " SELECT gen_random_uuid(), id, provider, 'du_3Gone', 1990, 'eur', 'lost', 'fraudulent', 3, 0, 1, 's' FROM payments",
    )
    return "du_3Gone"


KINDS: list[tuple[Plant, str, bool]] = [
    (row_deleted, "payment_unknown", False),
    (intent_missing, "payment_missing_at_provider", False),
    (intent_not_recorded, "intent_not_recorded", True),
    (intent_of_two, "intent_of_two_payments", False),
    (unpaid_second_intent, "second_intent", True),
    (charged_twice, "duplicate_charge", False),
    (amount_edited, "amount_differs", False),
    (currency_edited, "currency_differs", False),
    (paid_without_webhook, "status_differs", True),
    (status_set_back, "status_differs", True),
    (status_set_forward, "status_differs", False),
    (captured_externally, "captured_externally", True),
    (canceled_externally, "canceled_externally", True),
    (captured_edited, "captured_differs", True),
    (metadata_edited, "metadata_differs", False),
    (deployment_removed, "metadata_differs", False),
    (charge_without_payment, "orphan_charge", False),
    (method_edited, "method_differs", True),
    (refunded_externally, "refund_unknown", True),
    (refund_row_deleted, "refund_unknown", True),
    (refund_missing, "refund_missing_at_provider", False),
    (refund_amount_edited, "refund_amount_differs", False),
    (refund_status_set_back, "refund_status_differs", True),
    (refund_failed_without_webhook, "refund_status_differs", True),
    (refund_moved, "refund_of_another_payment", False),
    (dispute, "dispute_unknown", True),
    (dispute_closed_without_webhook, "dispute_differs", True),
    (dispute_missing, "dispute_missing_at_provider", False),
]


@pytest.mark.invariant("I3")
@pytest.mark.parametrize(("plant", "code", "repaired"), KINDS, ids=lambda value: getattr(value, "__name__", None))
async def test_each_kind_is_found_and_the_certain_ones_are_repaired(
    harness: Harness, plant: Plant, code: str, repaired: bool
) -> None:
    subject = await plant(harness)
    first = await reconcile(harness)
    assert [(found.code, found.subject, found.repaired) for found in first.found] == [(code, subject, repaired)]
    assert first.counts.found == 1
    await harness.flows.run_calls()
    second = await reconcile(harness)
    assert second.codes == ([] if repaired else [(code, False)])
    open_ones = await differences.open_differences(harness.flows.pool, limit=10)
    assert [(row["code"], row["subject"]) for row in open_ones] == ([] if repaired else [(code, subject)])
    assert code in CATALOG
