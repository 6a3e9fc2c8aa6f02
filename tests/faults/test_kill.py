"""Kill real processes (SIGKILL) before and after each commit and each external call, then test that the next process recovers.

The process kills itself at a named point (see `payment_service.crash_points`). A test fails when the point is not reached.
Tests of other subjects run without the relay: waiting for its lease would cost six seconds in each.
"""

from __future__ import annotations

import contextlib
import http.client

import psycopg
import pytest

from tests.support.eventually import eventually
from tests.support.shop import PAID_EVENTS, RESUMED_WITHIN_S, Shop, assert_died_at

pytestmark = pytest.mark.timeout(90)

CREATE = {"method": "POST", "path_prefix": "/v1/payment_intents"}
ORDERS = [f"o-{i}" for i in range(12)]
UNFINISHED = "state IN ('due', 'claimed')"


def assert_next_process_recovers(shop: Shop, *, paid: int = 0) -> None:
    """Assert that the next process resumes the work, other customers can pay, and no invariant is violated."""
    shop.serve()
    shop.wait_quiet(timeout_s=RESUMED_WITHIN_S)
    shop.pay(*ORDERS[paid:])
    shop.wait_status("succeeded")
    shop.wait_quiet()
    shop.check()


@pytest.mark.invariant("I2")
@pytest.mark.kafka
@pytest.mark.parametrize(
    "point", ["intake.commit.before", "intake.commit.after", "offset_commit.before", "offset_commit.after"]
)
def test_orders_survive_a_kill_during_intake(shop: Shop, point: str) -> None:
    """Offsets are committed after the rows. A kill between the two redelivers the records, which change nothing."""
    shop.order(*ORDERS)
    shop.write([b"no json", {"order_id": "o-bad", "total": "1.001", "currency": "eur"}], bad=2)
    assert_died_at(shop.serve_armed(point, "intake,http"), point)
    assert_next_process_recovers(shop)


@pytest.mark.invariant("I3")
@pytest.mark.parametrize("point", ["dispatch.claim.before", "dispatch.claim.after"])
def test_operations_survive_a_kill_during_their_claim(shop: Shop, point: str) -> None:
    """The intake runs first, so that there is something to claim."""
    shop.order(*ORDERS)
    intake = shop.serve("intake,http")
    eventually(lambda: shop.count("operations") == len(ORDERS))
    intake.stop()
    assert_died_at(shop.serve_armed(point), point)
    assert shop.count("operations", UNFINISHED) == len(ORDERS)
    assert_next_process_recovers(shop)


@pytest.mark.invariant("I1")
@pytest.mark.parametrize(
    "point",
    ["dispatch.create.call.before:3", "dispatch.create.call.after:3", "results.commit.before", "results.commit.after"],
)
def test_calls_survive_a_kill_before_and_after_their_result_is_recorded(shop: Shop, point: str) -> None:
    """The next process sends the same key, and the provider repeats the response that it gave the dead process."""
    shop.order(*ORDERS)
    assert_died_at(shop.serve_armed(point), point)
    assert_next_process_recovers(shop)


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("point", ["dispatch.list.call.before", "dispatch.list.call.after"])
def test_finding_an_intent_survives_a_kill(shop: Shop, point: str) -> None:
    """The key cannot help when the provider replays its 500, so the service looks for the intent in a list."""
    shop.sandbox.faults({"match": CREATE, "times": len(ORDERS), "action": "status", "code": 500, "phase": "after"})
    shop.send_only(*PAID_EVENTS)  # no webhook may report the intents
    shop.order(*ORDERS)
    assert_died_at(shop.serve_armed(point), point)
    assert_next_process_recovers(shop)


@pytest.mark.invariant("I8")
@pytest.mark.parametrize("point", ["webhook.commit.before", "webhook.commit.after"])
def test_webhooks_survive_a_kill_before_and_after_their_commit(shop: Shop, point: str) -> None:
    """The provider resends unanswered events. A resent event that was already stored changes nothing."""
    shop.send_only(*PAID_EVENTS)
    service = shop.serve_armed(point, "intake,dispatch,http")
    shop.order(*ORDERS)
    shop.pay(ORDERS[0])
    assert_died_at(service, point)
    assert_next_process_recovers(shop, paid=1)


@pytest.mark.invariant("I9")
@pytest.mark.parametrize("point", ["replay.commit.before", "replay.commit.after"])
def test_stored_webhooks_survive_a_kill_during_their_replay(shop: Shop, point: str) -> None:
    """An event whose payment is locked on arrival is stored, and a loop applies it."""
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
    assert_next_process_recovers(shop, paid=1)


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
def test_a_refund_survives_a_kill_during_its_request_and_its_call(shop: Shop, point: str) -> None:
    """The caller repeats the request under one key until it gets a response.

    There is one refund, whichever process responds.
    """
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
    shop.wait_quiet(timeout_s=RESUMED_WITHIN_S)
    eventually(lambda: shop.query("SELECT status FROM refunds") == [{"status": "succeeded"}])
    shop.wait_quiet()
    shop.check()
    assert shop.count("payments", "refunded = 500") == 1


@pytest.mark.invariant("I4")
@pytest.mark.kafka
@pytest.mark.parametrize(
    "point", ["relay.produce.before", "relay.produce.before:9", "relay.acknowledged", "relay.mark.after"]
)
def test_published_records_survive_a_kill_of_the_relay(shop: Shop, point: str) -> None:
    """A record may be published twice with one `ce_id`. None is missing and none is out of order."""
    shop.order(*ORDERS)
    assert_died_at(shop.serve_armed(point), point)
    assert_next_process_recovers(shop)


@pytest.mark.invariant("I3")
@pytest.mark.kafka
def test_another_replica_resumes_calls_and_publishing_within_ten_seconds(shop: Shop) -> None:
    """The killed process has claimed every order, holds the relay's lease, and is in the middle of its calls."""
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
    # The provider answers 409 until it notices that the dead process hung up. Sent again counts as resumed.
    eventually(lambda: shop.count("operations", "attempt > 1") == len(ORDERS), timeout_s=RESUMED_WITHIN_S)
    shop.wait_quiet()
    shop.pay(*ORDERS)
    shop.wait_status("succeeded")
    shop.wait_quiet()
    shop.check()
    assert shop.query("SELECT epoch FROM relay_lease")[0]["epoch"] >= 2
