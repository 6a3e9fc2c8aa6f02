"""The metadata of an order is stored, sent to the provider beside ours, shown and published."""

from __future__ import annotations

import json

from tests.integration.test_provider_facts import stripe_api
from tests.support.flows import name_of
from tests.support.harness import Harness

METADATA = {"campaign": "spring & summer", "basket id": "Zoë 🦆", "empty": ""}


async def test_metadata_is_stored_sent_shown_and_published(harness: Harness) -> None:
    await harness.flows.accept("o-1", metadata=METADATA)
    await harness.flows.run_calls()
    payment = (await harness.get(f"/v1/payments/{name_of('o-1')}")).json
    assert payment["metadata"] == METADATA
    sent = stripe_api(harness).payment_intents.retrieve(payment["provider_payment_id"]).metadata.to_dict()
    assert sent == {
        "campaign": "spring & summer",
        "basket id": "Zoë 🦆",
        "deployment": "default",
        "order_id": "o-1",
        "payment_id": str(name_of("o-1")),
    }
    stripe_api(harness).payment_intents.confirm(payment["provider_payment_id"], {"payment_method": "pm_card_visa"})
    await harness.deliver()
    published = await harness.published(name_of("o-1"))
    assert [(topic, value["metadata"]) for topic, value in published] == [
        ("initiated", METADATA),
        ("succeeded", METADATA),
    ]


async def test_the_next_payment_of_an_order_has_its_metadata(harness: Harness) -> None:
    await harness.flows.accept("o-1", metadata=METADATA)
    await harness.flows.run_calls()
    await harness.post(f"/v1/payments/{name_of('o-1')}/cancel", {})
    await harness.run_until_idle()
    opened = await harness.post("/v1/payments", {"order_id": "o-1"})
    assert (opened.status, opened.json["metadata"]) == (201, METADATA)
    await harness.run_until_idle()
    intent_id = (await harness.get(f"/v1/payments/{opened.json['id']}")).json["provider_payment_id"]
    assert stripe_api(harness).payment_intents.retrieve(intent_id).metadata["campaign"] == "spring & summer"


async def test_metadata_with_a_name_of_ours_is_quarantined(harness: Harness) -> None:
    await harness.flows.accept("o-1", metadata={"payment_id": "another"})
    rows = await harness.flows.pool.fetch("SELECT reason, detail FROM quarantine")
    assert [row["reason"] for row in rows] == ["bad_metadata"]
    assert json.dumps(rows[0]["detail"]).count("payment_id") == 1
