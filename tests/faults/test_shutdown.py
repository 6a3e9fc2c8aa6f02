"""Test that SIGTERM drains, a second signal exits at once, and a rolling restart under load loses nothing."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.eventually import eventually
from tests.support.shop import Shop

pytestmark = pytest.mark.timeout(90)

CREATE = {"method": "POST", "path_prefix": "/v1/payment_intents"}


def test_sigterm_finishes_calls_and_records_their_results(shop: Shop) -> None:
    """The process exits with code 0, and it leaves no operation claimed."""
    orders = [f"o-{i}" for i in range(40)]
    shop.sandbox.faults({"match": CREATE, "action": "latency", "ms": 1500, "phase": "after"})
    service = shop.serve()
    shop.order(*orders)
    eventually(lambda: shop.count("operations", "state = 'claimed'") == 16)
    service.stop()
    assert shop.query("SELECT state, count(*) AS n FROM operations GROUP BY state ORDER BY state") == [
        {"state": "done", "n": 16},
        {"state": "due", "n": 24},
    ]
    assert shop.count("workers") == 0
    shop.sandbox.faults()
    shop.serve()
    shop.pay(*orders)
    shop.wait_status("succeeded")
    shop.wait_quiet()
    shop.check()


def test_a_second_signal_exits_at_once_and_loses_nothing(shop: Shop) -> None:
    """The next process resumes the calls that were in flight."""
    orders = [f"o-{i}" for i in range(8)]
    shop.sandbox.faults({"match": CREATE, "action": "latency", "ms": 30_000, "phase": "after"})
    service = shop.serve(PROVIDER_TIMEOUT_S="60")
    shop.order(*orders)
    eventually(lambda: len(shop.sandbox.ledger()) == len(orders))
    os.kill(service.pid, signal.SIGTERM)
    service.wait_for_log("stopping")
    os.kill(service.pid, signal.SIGTERM)
    assert service.wait(timeout_s=5) == 128 + signal.SIGTERM
    assert shop.count("operations", "state = 'claimed'") == len(orders)
    shop.sandbox.faults()
    shop.serve()
    shop.wait_status("pending")
    shop.wait_quiet()
    shop.check()


@pytest.mark.invariant("I2")
@pytest.mark.kafka
def test_a_rolling_restart_under_load_loses_nothing(shop: Shop) -> None:
    """The webhook endpoint moves to the remaining process, as it would behind a proxy."""
    replicas = [shop.serve_beside(), shop.serve_beside()]
    for number in range(2):
        # A rolling restart waits for the new replica. The embedded broker, unlike Apache Kafka, also loses a member
        # that joins while another leaves.
        replicas[-1].wait_for_log("partitions_assigned")
        leaving, staying = replicas
        orders = [f"o-{number}-{i}" for i in range(30)]
        shop.order(*orders)
        shop.pay(*orders[:10])
        shop.sandbox.set_webhook(shop.webhook_url(staying))
        leaving.stop()
        shop.pay(*orders[10:])
        replicas = [staying, shop.serve_beside()]
    shop.wait_status("succeeded")
    shop.wait_quiet()
    shop.check()
