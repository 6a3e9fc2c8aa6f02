"""Test webhooks that arrive many times at once, too early, or before their payment exists."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.eventually import eventually
from tests.support.kafka import group_id
from tests.support.shop import Shop, post

CREATE = {"method": "POST", "path_prefix": "/v1/payment_intents"}


@pytest.mark.invariant("I9")
def test_a_hundred_deliveries_of_one_event_apply_it_once(shop: Shop) -> None:
    """Two processes write one row, one sequence number and one record, and answer every delivery with 200."""
    shop.sandbox.faults(webhooks={"drop": ["*"]})
    processes = [shop.serve(), shop.serve_beside()]
    shop.order("o-1")
    shop.pay("o-1")
    event = eventually(lambda: shop.events("payment_intent.succeeded"))[0]
    answers = post(*[(shop.webhook_url(processes[number % 2]), event) for number in range(100)])
    assert Counter(answers) == {200: 100}
    shop.wait_quiet(deliveries=False)
    evidence = shop.check()
    assert [row["provider_event_id"] for row in evidence.tables["payment_events"]] == [event["id"]]
    assert [row["sequence"] for row in evidence.tables["payments"]] == [2]
    assert Counter(record.topic for record in evidence.published) == {"payments.initiated": 1, "payments.succeeded": 1}


@pytest.mark.invariant("I3")
def test_webhooks_before_the_create_response_are_applied(shop: Shop) -> None:
    """The event sets the payment's intent. The later response to the create changes nothing."""
    shop.sandbox.faults(
        {"match": CREATE, "action": "latency", "ms": 400, "phase": "after"}, webhooks={"before_response": True}
    )
    shop.serve()
    orders = [f"o-{i}" for i in range(8)]
    shop.order(*orders)
    shop.pay(*orders)
    shop.wait_status("succeeded")
    shop.wait_quiet()
    shop.check()
    overtaken = (
        "SELECT o.id FROM operations o JOIN payment_events e USING (payment_id)"
        " WHERE e.event_type = 'payment_intent.created' AND e.created_at < o.finished_at"
    )
    assert len(shop.query(overtaken)) == len(orders)


def test_a_webhook_before_its_order_is_applied_when_the_order_arrives(shop: Shop) -> None:
    """As after a database restore: the provider and the topics have the payment, the database does not."""
    shop.sandbox.faults(webhooks={"drop": ["*"]})
    shop.order("o-early")
    first = shop.serve()
    shop.pay("o-early")
    shop.wait_quiet(deliveries=False)
    intent = shop.intent_of("o-early")
    first.stop()
    shop.execute("TRUNCATE payments, operations, payment_history, outbox, outbox_pending CASCADE")
    restored = shop.serve("dispatch,relay,http")
    events = shop.events("payment_intent.created", "payment_intent.succeeded", "charge.succeeded")
    assert post(*[(shop.webhook_url(restored), event) for event in events]) == [200] * 3
    assert shop.count("payment_events", "NOT processed AND result = 'unmatched'") == 3
    shop.serve_beside("intake,http", KAFKA_GROUP_ID=group_id())
    shop.wait_status("succeeded")
    shop.wait_quiet(deliveries=False)
    shop.check()
    assert shop.intent_of("o-early") == intent
