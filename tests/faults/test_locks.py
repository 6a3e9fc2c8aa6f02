"""What processes that want the same payments do to each other: neither deadlocks, nor waiting."""

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
def test_groups_in_opposite_orders_against_two_processes_never_deadlock(shop: Shop) -> None:
    """Ten thousand deliveries over the same hundred payments, to one process forwards and to the other backwards."""
    orders = [f"o-{i}" for i in range(100)]
    processes = [shop.serve(), shop.serve_beside("http")]
    shop.order(*orders)
    shop.wait_status("pending")
    shop.wait_quiet()
    forwards = list(_steps(shop.events("payment_intent.created"), rounds=50))
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
        process.stop()  # what it has not told the server's statistics yet, it tells now
    shop.check()
    assert shop.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [{"deadlocks": 0}]


def _steps(created: list[dict[str, Any]], *, rounds: int) -> Iterator[Mapping[str, Any]]:
    """Make events by which every intent asks for the customer's action, again and again, a second later each time."""
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
    """Ten seconds show what sixty would: nobody of ours waits for a lock longer than a second, so all have come by many times."""
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
            late = f"o-{time.monotonic_ns()}"
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
