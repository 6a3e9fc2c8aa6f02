"""Test that processes working on the same payments neither deadlock nor wait for each other."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest

from tests.support.eventually import eventually
from tests.support.flows import name_of
from tests.support.shop import Shop, post_in_lanes

pytestmark = pytest.mark.timeout(120)


@pytest.mark.invariant("I10")
def test_batches_in_opposite_orders_never_deadlock(shop: Shop) -> None:
    """Send 10,000 deliveries for the same 100 payments, forwards to one process and backwards to the other."""
    orders = [f"o-{i}" for i in range(100)]
    processes = [shop.serve(), shop.serve_beside("http")]
    shop.order(*orders)
    shop.wait_status("pending")
    shop.wait_quiet()
    forwards = list(_authentication_events(shop.events("payment_intent.created"), rounds=50))
    lanes = [
        [(shop.webhook_url(processes[0]), event) for event in forwards],
        [(shop.webhook_url(processes[1]), event) for event in reversed(forwards)],
    ]
    assert Counter(post_in_lanes(*lanes)) == {200: 10_000}
    shop.wait_status("requires_action")
    shop.wait_quiet()
    assert shop.count("payment_events", "result IN ('applied', 'known')") == len(forwards) + len(orders)
    shop.pay(*orders)
    shop.wait_status("succeeded")
    shop.wait_quiet()
    for process in processes:
        process.stop()  # flush statistics that the backend has not reported yet
    shop.check()
    assert shop.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [{"deadlocks": 0}]


def _authentication_events(created: list[dict[str, Any]], *, rounds: int) -> Iterator[Mapping[str, Any]]:
    """Create events that ask for authentication again and again, one second apart, for every intent."""
    for number in range(rounds):
        for event in created:
            intent = {**event["data"]["object"], "status": "requires_action"}
            yield {
                **event,
                "id": f"{event['id']}x{number}",
                "type": "payment_intent.requires_action",
                "created": event["created"] + number,
                "data": {"object": intent},
            }


@pytest.mark.invariant("I10")
def test_a_locked_payment_delays_no_other(shop: Shop) -> None:
    """Ten seconds suffice: no process waits longer than a second for a lock, so each has retried many times."""
    locked, others = "o-locked", [f"o-{i}" for i in range(20)]
    shop.serve()
    shop.order(locked, *others)
    intent = shop.intent_of(locked)
    shop.wait_quiet()
    with psycopg.connect(shop.dsn) as holder:
        holder.execute("SELECT FROM payments WHERE provider_payment_id = %s FOR UPDATE", [intent])
        until = time.monotonic() + 10
        shop.pay(locked, *others)
        shop.wait_status("succeeded", *others)
        while time.monotonic() < until:
            late = f"late-{len(shop.orders)}"  # no digits that may look like a card number
            shop.order(late)
            shop.pay(late)
            shop.wait_status("succeeded", late)
        eventually(shop.all_delivered)
        others_wait = f"NOT processed AND payment_id <> '{name_of(locked)}'"
        eventually(lambda: shop.count("payment_events", others_wait) == 0)
        assert shop.count("payment_events", "NOT processed") == 2
    shop.wait_status("succeeded", locked)
    shop.wait_quiet()
    shop.check()
