"""What the sketch that this service follows did to money, row by row: each test is one that the sketch fails."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random

import pytest

from tests.support.eventually import eventually
from tests.support.kafka import group_id
from tests.support.shop import Shop, post

pytestmark = pytest.mark.timeout(120)

CREATE = {"method": "POST", "path_prefix": "/v1/payment_intents"}
TABLES = ("payments", "operations", "payment_events", "payment_history", "outbox", "quarantine")


def test_a_provider_that_answers_500_on_20_orders_costs_no_announcement(shop: Shop) -> None:
    """Half of them before any work, half after it and for ever under that key."""
    orders = [f"o-{i}" for i in range(200)]
    shop.sandbox.faults(
        *(
            {
                "match": {**CREATE, "metadata": {"order_id": order}},
                "times": 1,
                "action": "status",
                "code": 500,
                "phase": "before" if number % 2 else "after",
            }
            for number, order in enumerate(orders[::10])
        )
    )
    shop.serve()
    shop.order(*orders)
    shop.wait_status("pending")
    shop.wait_quiet()
    assert shop.sandbox.faults_struck() == [1] * 20
    evidence = shop.check()
    assert sorted(record.json()["order_id"] for record in evidence.announced) == sorted(orders)


@pytest.mark.kafka
def test_four_kills_lose_no_announcement_and_make_no_second_intent(shop: Shop) -> None:
    """Each time in the middle of the work: fifty orders further."""
    orders = [f"o-{i}" for i in range(240)]
    shop.order(*orders)
    for kills in range(4):
        service = shop.serve(PROVIDER_RATE_PER_SECOND="60")
        eventually(lambda wanted=50 * (kills + 1): len(shop.sandbox.ledger()) >= wanted)  # type: ignore[misc]
        service.kill()
    assert len(shop.sandbox.ledger()) < len(orders)
    shop.serve()
    shop.wait_status("pending")
    shop.wait_quiet()
    evidence = shop.check()
    assert Counter(entry["effect"] for entry in evidence.ledger) == {"intent.created": len(orders)}
    announced = {record.header("ce_id"): record.json()["order_id"] for record in evidence.announced}
    assert sorted(announced.values()) == sorted(orders)


def test_each_webhook_delivered_twice_publishes_each_event_once(shop: Shop) -> None:
    """Both copies at the same moment."""
    orders = [f"o-{i}" for i in range(60)]
    shop.sandbox.faults(webhooks={"duplicate": 1})
    shop.serve()
    shop.order(*orders)
    shop.pay(*orders[:40])
    shop.pay(*orders[40:], method="pm_card_chargeDeclined")
    shop.wait_status("succeeded", *orders[:40])
    shop.wait_status("declined", *orders[40:])
    shop.wait_quiet()
    evidence = shop.check()
    published = Counter((record.topic, record.key) for record in evidence.announced)
    assert set(published.values()) == {1}
    assert Counter(topic for topic, _ in published) == {
        "payments.initiated": 60,
        "payments.succeeded": 40,
        "payments.failed": 20,
    }


def test_a_late_payment_failed_after_success_changes_nothing(shop: Shop) -> None:
    """Whether it is an older attempt's that was held up, or claims to be younger than the success."""
    orders = [f"o-{i}" for i in range(30)]
    shop.sandbox.faults(webhooks={"drop": ["payment_intent.payment_failed"]})
    service = shop.serve()
    shop.order(*orders)
    shop.pay(*orders, method="pm_card_chargeDeclined")
    shop.pay(*orders)
    shop.wait_status("succeeded")
    late = shop.events("payment_intent.payment_failed")
    later = [{**event, "id": f"{event['id']}later", "created": event["created"] + 60} for event in late]
    assert post(*[(shop.webhook_url(service), event) for event in late + later]) == [200] * 60
    shop.wait_quiet(deliveries=False)
    evidence = shop.check()
    assert {row["status"] for row in evidence.tables["payments"]} == {"succeeded"}
    assert "payments.failed" not in {record.topic for record in evidence.announced}


def test_an_order_id_that_is_not_a_uuid_is_an_order_like_any_other(shop: Shop) -> None:
    """And one that can't be an order id stops nobody."""
    orders = ["7", "ORD-2024/000017", "a" * 64, "50%_off';--", "../../etc", "0e0", "{}"]
    bad = ["", "a" * 65, "two words", "☃", "new\nline"]
    service = shop.serve()
    shop.write([{"order_id": name, "total": "1.00", "currency": "eur"} for name in bad], bad=len(bad))
    shop.order(*orders)
    shop.pay(*orders)
    shop.wait_status("succeeded")
    shop.wait_quiet()
    evidence = shop.check()
    assert service.running
    assert Counter(
        entry["metadata"]["order_id"] for entry in evidence.ledger if entry["effect"] == "charge.captured"
    ) == (Counter(orders))


def test_amounts_are_exact_to_the_cent_and_the_user_is_named(shop: Shop) -> None:
    """Every amount is a string with the currency's decimals, and their sum is the sum of the orders."""
    chance = Random(20_250)
    totals = {f"o-{i}": f"{chance.randrange(1, 2000)}.{chance.randrange(100):02}" for i in range(300)}
    totals |= {"o-float": "1001.10", "o-double": "4.35", "o-short": "0.57", "o-tenth": "19.90"}
    shop.serve()
    shop.orders += totals
    shop.write(
        [
            {"order_id": name, "user_id": f"user of {name}", "total": total, "currency": "EUR"}
            for name, total in totals.items()
        ]
    )
    shop.pay(*totals)
    shop.wait_status("succeeded", timeout_s=60)
    shop.wait_quiet()
    evidence = shop.check()
    for topic in ("payments.initiated", "payments.succeeded"):
        told = {record.json()["order_id"]: record.json() for record in evidence.announced if record.topic == topic}
        assert {name: value["amount"] for name, value in told.items()} == totals
        assert {value["user_id"] for value in told.values()} == {f"user of {name}" for name in totals}
    captured = sum(entry["amount"] for entry in evidence.ledger if entry["effect"] == "charge.captured")
    assert captured == 100 * sum(map(Decimal, totals.values()))


@pytest.mark.kafka
def test_records_delivered_again_create_nothing_and_their_offsets_move(shop: Shop) -> None:
    """More than twenty thousand, good and bad: repeated in the topic, and read again from the start by two new groups."""
    orders = [f"o-{i}" for i in range(100)]
    shop.serve("intake,http")
    shop.order(*orders)
    shop.write([b"no json"] * 500, bad=500)
    eventually(lambda: (shop.count("payments"), shop.count("quarantine")) == (100, 500))
    before = {table: shop.count(table) for table in TABLES}
    shop.order(*orders * 70)
    groups = [shop.group_id, group_id(), group_id()]
    for group in groups[1:]:
        shop.serve_beside("intake,http", KAFKA_GROUP_ID=group)
    for group in groups:
        eventually(lambda name=group: shop.topics.committed(name) == 7_600)  # type: ignore[misc]
    assert {table: shop.count(table) for table in TABLES} == before
    assert (before["operations"], before["outbox"]) == (100, 500)
