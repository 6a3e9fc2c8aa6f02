"""Test a provider that fails for a long time or rejects our key."""

from __future__ import annotations

import http.client
import json
from collections import Counter

import pytest

from tests.support.eventually import eventually
from tests.support.service import ServiceProcess
from tests.support.shop import PAID_EVENTS, Shop, ask

pytestmark = pytest.mark.timeout(90)

CREATE = {"method": "POST", "path_prefix": "/v1/payment_intents"}


def test_a_500_replayed_for_a_key_is_resolved_by_listing_intents(shop: Shop) -> None:
    """The provider did the work but replays a 500 for this key forever, so only a list shows the intent."""
    orders = [f"o-{i}" for i in range(40)]
    shop.sandbox.faults(
        *(
            {"match": {**CREATE, "metadata": {"order_id": order}}, "times": 1, "action": "status", "phase": "after"}
            for order in orders[:30]
        )
    )
    shop.send_only(*PAID_EVENTS)  # no webhook may report the intents
    shop.serve()
    shop.order(*orders)
    shop.pay(*orders)
    shop.wait_status("succeeded")
    shop.wait_quiet()
    evidence = shop.check()
    assert {row["epoch"] for row in evidence.tables["operations"]} == {1}
    assert Counter(row["outcome"] for row in evidence.tables["operations"]) == {"found": 30, "done": 10}


def test_a_wrong_key_fails_no_order_and_is_reported_until_it_is_fixed(shop: Shop) -> None:
    """Many orders wait while the log, `/ready` and the metrics report the key. Afterwards all of them succeed."""
    orders = [f"o-{i}" for i in range(300)]
    shop.sandbox.accept_keys("sk_test_another_one")
    service = shop.serve()
    shop.order(*orders)
    eventually(lambda: shop.count("operations") == len(orders))
    service.wait_for_log("provider_blocked")
    eventually(lambda: _blocked(service) == 1)
    assert _provider_check(service).startswith("blocked")
    assert shop.count("payments", "status = 'created'") == len(orders)
    shop.sandbox.accept_keys()
    shop.wait_status("pending")
    shop.wait_quiet()
    eventually(lambda: _blocked(service) == 0)
    assert _provider_check(service) == "ok"
    evidence = shop.check()
    assert Counter(record.topic for record in evidence.published) == {"payments.initiated": len(orders)}


def _provider_check(service: ServiceProcess) -> str:
    status, text = ask(f"{service.url}/ready")
    assert status == http.client.OK
    return str(json.loads(text)["checks"]["provider"])


def _blocked(service: ServiceProcess) -> float:
    _, text = ask(f"{service.metrics_url}/metrics")
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("payments_provider_blocked{")
    )
