"""Orders from Kafka to a paid payment and its events, with the real service: exact amounts and unusual order ids."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random

import pytest

from tests.support.shop import Shop

pytestmark = pytest.mark.timeout(120)


def test_unusual_order_ids_are_paid_and_bad_ones_block_no_others(shop: Shop) -> None:
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
    charged = Counter(
        entry["metadata"]["order_id"] for entry in evidence.ledger if entry["effect"] == "charge.captured"
    )
    assert charged == Counter(orders)


@pytest.mark.invariant("I13")
def test_amounts_are_exact_from_the_order_to_the_charge_and_the_event(shop: Shop) -> None:
    """Every amount is text with the currency's decimals, and the charges add up to the sum of the orders."""
    chance = Random(20_250)
    totals = {f"o-{i}": f"{chance.randrange(1, 2000)}.{chance.randrange(100):02}" for i in range(100)}
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
        published = {record.json()["order_id"]: record.json() for record in evidence.published if record.topic == topic}
        assert {name: value["amount"] for name, value in published.items()} == totals
        assert {value["user_id"] for value in published.values()} == {f"user of {name}" for name in totals}
    captured = sum(entry["amount"] for entry in evidence.ledger if entry["effect"] == "charge.captured")
    assert captured == 100 * sum(map(Decimal, totals.values()))
