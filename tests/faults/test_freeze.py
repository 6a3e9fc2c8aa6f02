"""Test a process that is suspended (SIGSTOP) past its heartbeat limit while another works, and then resumes."""

from __future__ import annotations

import pytest

from tests.support.eventually import eventually
from tests.support.shop import RESUMED_WITHIN_S, Shop

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]

CREATE = {"method": "POST", "path_prefix": "/v1/payment_intents"}
BEATEN_WITHIN_6_S = "heartbeat_at > now() - interval '6 s'"


@pytest.mark.invariant("I1")
def test_a_dispatcher_frozen_during_calls_repeats_no_effect(shop: Shop) -> None:
    """The other process repeats the calls under the same keys.

    The responses that the frozen one reads later change nothing.
    """
    before = [f"before-{i}" for i in range(16)]
    after = [f"after-{i}" for i in range(16)]
    shop.sandbox.faults({"match": CREATE, "action": "latency", "ms": 2000, "phase": "after"})
    frozen = shop.serve()
    awake = shop.serve_beside()
    shop.sandbox.set_webhook(shop.webhook_url(awake))
    shop.order(*before)
    eventually(lambda: len(shop.sandbox.ledger()) >= len(before))
    frozen.pause()
    shop.sandbox.faults()
    shop.wait_status("pending", timeout_s=RESUMED_WITHIN_S)
    eventually(lambda: shop.count("workers", BEATEN_WITHIN_6_S) == 1)
    frozen.resume()
    eventually(lambda: shop.count("workers", BEATEN_WITHIN_6_S) == 2)
    shop.order(*after)
    shop.pay(*before, *after)
    shop.wait_status("succeeded")
    shop.wait_quiet()
    shop.check()


@pytest.mark.invariant("I5")
def test_a_frozen_relay_never_publishes_out_of_order(shop: Shop) -> None:
    """Another relay takes the lease after 6 s.

    The frozen one can only repeat records that it had sent, and cannot mark any.
    """
    orders = [f"o-{i}" for i in range(120)]
    frozen = shop.serve()
    awake = shop.serve_beside()
    shop.sandbox.set_webhook(shop.webhook_url(awake))
    shop.order(*orders)
    shop.pay(*orders[:20])
    eventually(lambda: shop.count("outbox") > 30, interval_s=0.001)
    frozen.pause()
    taken = "SELECT epoch FROM relay_lease"
    eventually(lambda: shop.query(taken)[0]["epoch"] == 2)
    shop.pay(*orders[20:60])
    shop.wait_status("succeeded", *orders[:60])
    frozen.resume()
    frozen.wait_for_log("relay_stopped_leading")
    shop.pay(*orders[60:])
    shop.wait_status("succeeded")
    shop.wait_quiet()
    shop.check()
    assert shop.query(taken)[0]["epoch"] == 2
