"""The owner of an intent counts, not its metadata: anybody with the dashboard can edit them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import stripe

from tests.support.flows import name_of
from tests.support.harness import Harness

pytestmark = pytest.mark.invariant("I14")


async def rename(harness: Harness) -> str:
    """Order twice, edit the metadata of the first intent so that they name the second payment, and return its id."""
    await harness.flows.accept("o-1", "o-2")
    await harness.flows.run_calls()
    intent = str((await harness.flows.payment("o-1"))["provider_payment_id"])
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.update(intent, {"metadata": {"payment_id": str(name_of("o-2"))}})
    return intent


@pytest.mark.parametrize(("method", "status"), [("pm_card_visa", "succeeded"), ("pm_card_chargeDeclined", "declined")])
async def test_an_intent_that_names_another_payment_counts_for_its_own(
    harness: Harness, method: str, status: str
) -> None:
    """It is no stray of the other payment: a declined one stays payable, and a paid one is no unexpected money."""
    intent = await rename(harness)
    client: Any = harness.sandbox.client()
    with suppress(stripe.CardError):
        client.v1.payment_intents.confirm(intent, {"payment_method": method})
    await harness.run_until_idle()
    assert (await harness.flows.payment("o-1"))["status"] == status
    assert (await harness.flows.payment("o-2"))["status"] == "pending"
    assert client.v1.payment_intents.retrieve(intent).status != "canceled"
    rows = await harness.flows.pool.fetch(
        "SELECT DISTINCT payment_id, parked_reason FROM payment_events WHERE payload #>> '{data,object,id}' = $1"
        " AND event_type <> 'payment_intent.created'",
        intent,
    )
    assert [tuple(row) for row in rows] == [(name_of("o-1"), None)]
