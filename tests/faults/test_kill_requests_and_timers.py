"""Kill processes while payments are captured, canceled or opened, expire, or have their orders canceled."""

from __future__ import annotations

import contextlib
import http.client
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.kafka import CANCELLED, CANCELLED_DEAD_LETTERS
from tests.support.shop import RESUMED_WITHIN_S, Shop, assert_died_at

pytestmark = pytest.mark.timeout(90)

ORDERS = [f"o-{i}" for i in range(4)]


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("change", ["capture", "cancel"])
@pytest.mark.parametrize(
    "point",
    ["change.{}.commit.before", "change.{}.commit.after", "dispatch.{}.call.before", "dispatch.{}.call.after"],
)
def test_a_capture_or_cancel_survives_a_kill_and_happens_once(shop: Shop, change: str, point: str) -> None:
    """The caller repeats the request under one key until it gets a response.

    Money is captured or released once, whichever process responds.
    """
    shop.order(*ORDERS[:2], capture_method="manual")
    first = shop.serve("intake,dispatch,http")
    shop.pay(*ORDERS[:2])
    shop.wait_status("authorized")
    first.stop()
    armed = point.format(change)
    service = shop.serve_armed(armed, "dispatch,http")
    eventually(service.ready)
    with contextlib.suppress(OSError, http.client.HTTPException):
        shop.request_change(change, ORDERS[0], {}, "job-1")
    assert_died_at(service, armed)
    shop.serve()
    assert shop.request_change(change, ORDERS[0], {}, "job-1") == 201
    shop.wait_status("succeeded" if change == "capture" else "canceled", ORDERS[0])
    shop.wait_quiet(timeout_s=RESUMED_WITHIN_S)
    shop.check()


@pytest.mark.invariant("I1")
@pytest.mark.parametrize(
    "point",
    [
        "change.open_payment.commit.before",
        "change.open_payment.commit.after",
        "dispatch.create.call.before",
        "dispatch.create.call.after",
    ],
)
def test_opening_a_payment_survives_a_kill_and_happens_once(shop: Shop, point: str) -> None:
    """The caller repeats the request under one key until it gets a response.

    There is one payment with one intent, paid once.
    """
    shop.order(ORDERS[0])
    first = shop.serve("intake,dispatch,http")
    shop.wait_status("pending")
    assert shop.request_change("cancel", ORDERS[0], {}, "job-1") == 201
    shop.wait_status("canceled")
    first.stop()
    service = shop.serve_armed(point, "dispatch,http")
    eventually(service.ready)
    with contextlib.suppress(OSError, http.client.HTTPException):
        shop.open_payment(ORDERS[0], "job-2")
    assert_died_at(service, point)
    shop.serve()
    assert shop.open_payment(ORDERS[0], "job-2") == 201
    eventually(lambda: '"next":"pay"' in shop.checkout(ORDERS[0])[1])
    [row] = shop.query("SELECT provider_payment_id FROM payments WHERE attempt = 2")
    client: Any = shop.sandbox.client()
    client.v1.payment_intents.confirm(row["provider_payment_id"], {"payment_method": "pm_card_visa"})
    eventually(lambda: shop.count("payments", "attempt = 2 AND status = 'succeeded'") == 1)
    shop.wait_quiet(timeout_s=RESUMED_WITHIN_S)
    assert shop.count("payments") == 2
    shop.check()


@pytest.mark.parametrize("point", ["expire.commit.before", "expire.commit.after"])
def test_expiry_survives_a_kill(shop: Shop, point: str) -> None:
    shop.order(*ORDERS)
    first = shop.serve("intake,dispatch,http")
    shop.pay(ORDERS[0])
    shop.wait_status("succeeded", ORDERS[0])
    shop.wait_status("pending", *ORDERS[1:])
    first.stop()
    shop.execute("UPDATE payments SET expires_at = now(), expiry_due_at = now()")
    assert_died_at(shop.serve_armed(point, "dispatch,http"), point)
    # Committed payments are only checked again after minutes, but their cancels are already queued.
    shop.serve()
    shop.serve_beside()
    shop.wait_status("canceled", *ORDERS[1:])
    shop.wait_quiet(timeout_s=RESUMED_WITHIN_S)
    assert shop.count("operations", "kind = 'cancel'") == len(ORDERS) - 1
    shop.check()


@pytest.mark.kafka
@pytest.mark.parametrize(
    "point",
    [
        "cancelled.commit.before",
        "cancelled.commit.after",
        "cancelled_orders.commit.before",
        "cancelled_orders.commit.after",
    ],
)
def test_order_cancellations_survive_a_kill(shop: Shop, point: str) -> None:
    """The first order is paid, two are not, and the last order arrives after its cancellation.

    A bad record blocks none of them.
    """
    switched_on = {"ORDERS_CANCELLED": "true", "ORDERS_CANCELLED_REFUND": "true"}
    shop.order(*ORDERS[:3])
    first = shop.serve("intake,dispatch,http", **switched_on)
    shop.pay(ORDERS[0])
    shop.wait_status("succeeded", ORDERS[0])
    shop.wait_status("pending", *ORDERS[1:3])
    first.stop()
    service = shop.serve_armed(point, "intake,dispatch,http", **switched_on)
    shop.topics.produce([b"no json", *({"order_id": order} for order in ORDERS)], topic=CANCELLED)
    shop.write([], bad=1)
    assert_died_at(service, point)
    shop.serve(**switched_on)
    shop.order(ORDERS[3])
    shop.wait_status("canceled", *ORDERS[1:])
    settled = "outcome = 'refunded'"
    eventually(lambda: shop.count("order_cancellations", settled) == 1, timeout_s=RESUMED_WITHIN_S)
    shop.wait_quiet(timeout_s=RESUMED_WITHIN_S)
    shop.check()
    [letter] = shop.topics.read_all([CANCELLED_DEAD_LETTERS])
    assert letter.value == b"no json"
    assert (shop.count("refunds"), shop.count("payments", "refunded = 1990")) == (1, 1)
