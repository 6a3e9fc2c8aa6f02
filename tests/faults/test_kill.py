"""kill -9 of a real process before and after each commit and each foreign call of the four flows, and what the next one makes of it.

The process kills itself at a named point (see `payment_service.crash_points`); a test fails when the point is not reached.
Where the relay is not the subject, the process does not run it: its lease would be waited for, six seconds in each test.
"""

from __future__ import annotations

import contextlib
import http.client

import psycopg
import pytest

from tests.support.eventually import eventually
from tests.support.shop import PAID_EVENTS, TAKEN_UP_S, Shop, assert_died_at

pytestmark = pytest.mark.timeout(90)

CREATE = {"method": "POST", "path_prefix": "/v1/payment_intents"}
ORDERS = [f"o-{i}" for i in range(12)]
UNFINISHED = "state IN ('due', 'claimed')"


def assert_all_goes_well_without(shop: Shop, *, paid: int = 0) -> None:
    """Start the next process: it takes up what the dead one left, the other customers pay, no invariant is violated."""
    shop.serve()
    shop.wait_quiet(timeout_s=TAKEN_UP_S)
    shop.pay(*ORDERS[paid:])
    shop.wait_status("succeeded")
    shop.wait_quiet()
    shop.check()


@pytest.mark.invariant("I2")
@pytest.mark.kafka
@pytest.mark.parametrize(
    "point", ["intake.commit.before", "intake.commit.after", "offset_commit.before", "offset_commit.after"]
)
def test_orders_survive_a_kill_in_the_intake(shop: Shop, point: str) -> None:
    """Offsets are committed after the rows: a kill between the two brings the records again, and they are nothing new."""
    shop.order(*ORDERS)
    shop.write([b"no json", {"order_id": "o-bad", "total": "1.001", "currency": "eur"}], bad=2)
    assert_died_at(shop.serve_armed(point, "intake,http"), point)
    assert_all_goes_well_without(shop)


@pytest.mark.invariant("I3")
@pytest.mark.parametrize("point", ["dispatch.claim.before", "dispatch.claim.after"])
def test_operations_survive_a_kill_around_their_claim(shop: Shop, point: str) -> None:
    """The intake has run before, so that there is something to claim."""
    shop.order(*ORDERS)
    intake = shop.serve("intake,http")
    eventually(lambda: shop.count("operations") == len(ORDERS))
    intake.stop()
    assert_died_at(shop.serve_armed(point), point)
    assert shop.count("operations", UNFINISHED) == len(ORDERS)
    assert_all_goes_well_without(shop)


@pytest.mark.invariant("I1")
@pytest.mark.parametrize(
    "point",
    ["dispatch.create.call.before:3", "dispatch.create.call.after:3", "results.commit.before", "results.commit.after"],
)
def test_calls_survive_a_kill_around_them_and_around_their_settling(shop: Shop, point: str) -> None:
    """The same key goes out again: the provider answers what it answered the dead process."""
    shop.order(*ORDERS)
    assert_died_at(shop.serve_armed(point), point)
    assert_all_goes_well_without(shop)


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("point", ["dispatch.list.call.before", "dispatch.list.call.after"])
def test_reading_survives_a_kill(shop: Shop, point: str) -> None:
    """Where the key can't help (the provider replays its 500), the intents are looked for in a listing."""
    shop.sandbox.faults({"match": CREATE, "times": len(ORDERS), "action": "status", "code": 500, "phase": "after"})
    shop.send_only(*PAID_EVENTS)  # nothing else may tell of the intents
    shop.order(*ORDERS)
    assert_died_at(shop.serve_armed(point), point)
    assert_all_goes_well_without(shop)


@pytest.mark.invariant("I8")
@pytest.mark.parametrize("point", ["webhook.commit.before", "webhook.commit.after"])
def test_webhooks_survive_a_kill_around_their_commit(shop: Shop, point: str) -> None:
    """What was not answered comes again; what was stored and not answered comes again too, and moves nothing twice."""
    shop.send_only(*PAID_EVENTS)
    service = shop.serve_armed(point, "intake,dispatch,http")
    shop.order(*ORDERS)
    shop.pay(ORDERS[0])
    assert_died_at(service, point)
    assert_all_goes_well_without(shop, paid=1)


@pytest.mark.invariant("I9")
@pytest.mark.parametrize("point", ["replay.commit.before", "replay.commit.after"])
def test_stored_webhooks_survive_a_kill_around_their_replay(shop: Shop, point: str) -> None:
    """An event whose payment is locked when it comes is stored, and applied by a loop."""
    shop.send_only(*PAID_EVENTS)
    service = shop.serve_armed(point, "intake,dispatch,http")
    shop.order(*ORDERS)
    intent = shop.intent_of(ORDERS[0])
    shop.wait_status("pending")
    with psycopg.connect(shop.dsn) as holder:
        holder.execute("SELECT FROM payments WHERE provider_payment_id = %s FOR UPDATE", [intent])
        shop.pay(ORDERS[0])
        eventually(lambda: shop.count("payment_events", "NOT processed") > 0)
    assert_died_at(service, point)
    assert_all_goes_well_without(shop, paid=1)


@pytest.mark.parametrize(
    "point",
    [
        "change.refund.commit.before",
        "change.refund.commit.after",
        "dispatch.refund.look.before",
        "dispatch.refund.look.after",
        "dispatch.refund.call.before",
        "dispatch.refund.call.after",
    ],
)
def test_a_refund_survives_a_kill_around_its_request_and_its_call(shop: Shop, point: str) -> None:
    """The caller asks again under the same key until it has an answer: one refund, whoever answered."""
    shop.order(*ORDERS[:2])
    first = shop.serve("intake,dispatch,http")
    shop.pay(*ORDERS[:2])
    shop.wait_status("succeeded")
    first.stop()
    service = shop.serve_armed(point, "dispatch,http")
    eventually(service.ready)
    with contextlib.suppress(OSError, http.client.HTTPException):
        shop.refund(ORDERS[0], "5.00", "job-1")
    assert_died_at(service, point)
    shop.serve()
    assert shop.refund(ORDERS[0], "5.00", "job-1") == 201
    shop.wait_quiet(timeout_s=TAKEN_UP_S)
    eventually(lambda: shop.query("SELECT status FROM refunds") == [{"status": "succeeded"}])
    shop.wait_quiet()
    shop.check()
    assert shop.count("payments", "refunded = 500") == 1


@pytest.mark.invariant("I4")
@pytest.mark.kafka
@pytest.mark.parametrize(
    "point", ["relay.produce.before", "relay.produce.before:9", "relay.acknowledged", "relay.mark.after"]
)
def test_announcements_survive_a_kill_of_the_relay(shop: Shop, point: str) -> None:
    """A record may go out twice, under the same `ce_id`; none is left out and none overtakes another."""
    shop.order(*ORDERS)
    assert_died_at(shop.serve_armed(point), point)
    assert_all_goes_well_without(shop)


@pytest.mark.invariant("I3")
@pytest.mark.kafka
def test_a_living_peer_takes_up_calls_and_announcements_within_ten_seconds(shop: Shop) -> None:
    """The killed one has claimed every order, holds the relay's lease, and is in the middle of its calls."""
    shop.sandbox.faults({"match": CREATE, "action": "hang", "seconds": 6, "phase": "before"})
    killed = shop.serve(PROVIDER_TIMEOUT_S="60")
    shop.order(*ORDERS)
    eventually(lambda: shop.count("operations", "state = 'claimed'") == len(ORDERS))
    peer = shop.serve_beside()
    shop.sandbox.set_webhook(shop.webhook_url(peer))
    holders = {row["worker"] for row in shop.query("SELECT worker FROM operations")}
    assert len(holders) == 1
    shop.sandbox.faults()
    killed.kill()
    # Until the provider has noticed that the dead one hung up, it answers 409: taken up means sent again.
    eventually(lambda: shop.count("operations", "attempt > 1") == len(ORDERS), timeout_s=TAKEN_UP_S)
    shop.wait_quiet()
    shop.pay(*ORDERS)
    shop.wait_status("succeeded")
    shop.wait_quiet()
    shop.check()
    assert shop.query("SELECT epoch FROM relay_lease")[0]["epoch"] >= 2
