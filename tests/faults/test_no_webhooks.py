"""Run real processes without any webhook: everything settles, across kills and with two replicas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from payment_service.flows.timers.recent_events import LEFT_TO_WEBHOOKS_S
from tests.support.checker import Evidence
from tests.support.eventually import eventually
from tests.support.flows import name_of
from tests.support.service import ServiceProcess
from tests.support.shop import Shop, assert_died_at

pytestmark = [pytest.mark.timeout(180), pytest.mark.invariant("I16")]

# A type that never occurs here, so the sandbox delivers nothing.
NOTHING = "customer.deleted"
PAID = [f"paid-{i}" for i in range(120)]
HELD = [f"held-{i}" for i in range(30)]
CAPTURED = [f"captured-{i}" for i in range(30)]
RELEASED = [f"released-{i}" for i in range(30)]
CANCELED = [f"canceled-{i}" for i in range(30)]
REFUNDED = [f"refunded-{i}" for i in range(30)]
DISPUTED = [f"disputed-{i}" for i in range(15)]
DECLINED = [f"declined-{i}" for i in range(15)]
POINTS = ["recent_events.call.before", "recent_events.call.after", "recent_events.save.before:2"]


def pass_time(shop: Shop) -> None:
    """Make young events old, and every wait of the timers over."""
    shop.sandbox.advance(LEFT_TO_WEBHOOKS_S + 1)
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        connection.execute("UPDATE event_positions SET events_due_at = now()")
        connection.execute("UPDATE polls SET due_at = now()")


def eventually_settled(shop: Shop, settled: Callable[[], bool]) -> None:
    """Let time pass until the condition holds."""

    def after_a_while() -> bool:
        pass_time(shop)
        return settled()

    eventually(after_a_while, timeout_s=60, interval_s=1)


def assert_dies_as_time_passes(shop: Shop, process: ServiceProcess, point: str) -> None:
    """Let time pass until the process dies at this crash point."""
    eventually_settled(shop, lambda: not process.running)
    assert_died_at(process, point)


def act_at_the_provider(shop: Shop) -> None:
    """Pay, capture, cancel, refund and dispute, without the service."""
    client: Any = shop.sandbox.client()
    shop.pay(*PAID, *HELD, *CAPTURED, *RELEASED, *REFUNDED)
    shop.pay(*DISPUTED, method="pm_card_createDispute")
    shop.pay(*DECLINED, method="pm_card_chargeDeclined")
    for order_id in CAPTURED:
        client.v1.payment_intents.capture(shop.intent_of(order_id), {"amount_to_capture": 1500})
    for order_id in RELEASED + CANCELED:
        client.v1.payment_intents.cancel(shop.intent_of(order_id))
    for order_id in REFUNDED:
        client.v1.refunds.create({"payment_intent": shop.intent_of(order_id), "amount": 500})


def expected() -> dict[str, str]:
    """Return the status that each order's payment must reach."""
    return {
        **dict.fromkeys(PAID + CAPTURED + REFUNDED + DISPUTED, "succeeded"),
        **dict.fromkeys(HELD, "authorized"),
        **dict.fromkeys(RELEASED + CANCELED, "canceled"),
        **dict.fromkeys(DECLINED, "declined"),
    }


def statuses(shop: Shop) -> dict[str, str]:
    """Return the status of each order's payment."""
    return {row["order_id"]: row["status"] for row in shop.query("SELECT order_id, status FROM payments")}


def published(evidence: Evidence) -> dict[str, Counter[str]]:
    """Return how often each order was published on each topic, by the ids of the records."""
    orders = {str(name_of(order_id)): order_id for order_id in expected()}
    found: dict[str, dict[str, str]] = {order_id: {} for order_id in expected()}
    for record in evidence.published:
        found[orders[(record.key or b"").decode()]][(record.headers["ce_id"] or b"").decode()] = record.topic
    return {order_id: Counter(ids.values()) for order_id, ids in found.items()}


def allowed(order_id: str) -> list[dict[str, int]]:
    """Return the records that may be published about an order.

    Pages are read from the newest event to the oldest. So an authorization may come after the end of its payment, and then
    it is not published any more.
    """
    by_kind: dict[str, list[tuple[str, ...]]] = {
        "paid": [("succeeded",)],
        "captured": [("authorized", "succeeded"), ("succeeded",)],
        "refunded": [("succeeded", "refunded")],
        "disputed": [("succeeded", "disputed")],
        "held": [("authorized",)],
        "released": [("authorized", "canceled"), ("failed", "canceled")],
        "canceled": [("failed", "canceled")],
        "declined": [("failed",)],
    }
    options = by_kind[order_id.partition("-")[0]]
    return [dict.fromkeys(("payments.initiated", *(f"payments.{name}" for name in names)), 1) for names in options]


def order_everything(shop: Shop) -> None:
    """Write the orders; those that are held, captured or released are captured manually."""
    shop.send_only(NOTHING)
    shop.order(*PAID, *CANCELED, *REFUNDED, *DISPUTED, *DECLINED)
    shop.order(*HELD, *CAPTURED, *RELEASED, capture_method="manual")


def assert_all_agree(shop: Shop) -> None:
    """Assert that provider, database and topics agree about everything that happened."""
    shop.wait_quiet(deliveries=False)
    evidence = shop.check()
    assert statuses(shop) == expected()
    disputes = [one.to_dict() for one in shop.sandbox.client().v1.disputes.list({"limit": 100}).auto_paging_iter()]
    stored = shop.query("SELECT provider_dispute_id, status FROM disputes")
    assert {row["provider_dispute_id"]: row["status"] for row in stored} == {d["id"]: d["status"] for d in disputes}
    assert len(stored) == len(DISPUTED)
    assert [
        order_id for order_id, counted in published(evidence).items() if dict(counted) not in allowed(order_id)
    ] == []


def test_three_hundred_payments_settle_with_two_replicas_of_which_one_is_killed(shop: Shop) -> None:
    order_everything(shop)
    killed = shop.serve()
    shop.serve_beside()
    shop.wait_status("pending")
    act_at_the_provider(shop)
    eventually_settled(shop, lambda: shop.count("payment_events") > 0)
    killed.kill()
    eventually_settled(shop, lambda: statuses(shop) == expected())
    eventually_settled(shop, lambda: shop.count("disputes") == len(DISPUTED) and shop.count("refunds") == len(REFUNDED))
    assert_all_agree(shop)


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_while_it_reads_events_loses_none(shop: Shop, point: str) -> None:
    """Forty payments have 120 events, which fill two pages."""
    shop.send_only(NOTHING)
    shop.order(*PAID[:40])
    first = shop.serve()
    shop.wait_status("pending")
    first.stop()
    shop.pay(*PAID[:40])
    assert_dies_as_time_passes(shop, shop.serve_armed(point), point)
    shop.serve()
    eventually_settled(shop, lambda: set(statuses(shop).values()) == {"succeeded"})
    shop.wait_quiet(deliveries=False)
    shop.check()


@pytest.mark.parametrize("point", ["polls.commit.before", "polls.commit.after"])
def test_a_process_killed_while_it_polls_loses_no_poll(shop: Shop, point: str) -> None:
    """The list of events fails, so that only single reads can find the payments."""
    shop.send_only(NOTHING)
    shop.sandbox.faults({"match": {"path_prefix": "/v1/events"}, "action": "status", "code": 500, "phase": "before"})
    shop.order(*PAID[:20])
    first = shop.serve()
    shop.wait_status("pending")
    first.stop()
    shop.pay(*PAID[:20])
    assert_dies_as_time_passes(shop, shop.serve_armed(point), point)
    shop.serve()
    eventually_settled(shop, lambda: set(statuses(shop).values()) == {"succeeded"})
    shop.sandbox.faults()
    shop.wait_quiet(deliveries=False)
    shop.check()
