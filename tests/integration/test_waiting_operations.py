"""Nothing waits silently: what an operation waits for ends, is refused with a reason, or needs attention (I15)."""

from __future__ import annotations

from typing import Any

import pytest

from payment_service.db import attention, provider_health
from payment_service.db.attention import Chosen
from payment_service.db.gauges import sample
from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.timers.cancelled_orders import CancelledOrders
from payment_service.telemetry import metrics
from tests.support.eventually import eventually_async
from tests.support.flows import cancelled, name_of
from tests.support.harness import Harness
from tests.support.provider_reads import poll_all, poller

CREATE = {"method": "POST", "path": "/v1/payment_intents"}
CAPTURE = {"method": "POST", "path": "/v1/payment_intents/*/capture"}
CANCEL = {"method": "POST", "path": "/v1/payment_intents/*/cancel"}
REFUND = {"method": "POST", "path": "/v1/refunds"}
RETRIEVE = {"method": "GET", "path": "/v1/payment_intents/*"}
# The answer of something between us and Stripe, which has no error object of Stripe's.
PROXY_BODY = "<html>Request Timeout</html>"
BALANCE_TOO_LOW = '{"error": {"code": "insufficient_funds", "type": "invalid_request_error"}}'


@pytest.mark.invariant("I15")
@pytest.mark.parametrize("code", [400, 404, 408, 413])
@pytest.mark.parametrize("phase", ["before", "after"])
async def test_answer_of_a_proxy_is_no_refusal_by_the_provider(harness: Harness, code: int, phase: str) -> None:
    fault = {"match": CREATE, "action": "status", "code": code, "body": PROXY_BODY, "phase": phase, "times": 1}
    harness.sandbox.faults(fault)
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    assert (await harness.flows.operation("o-1"))["state"] == "done"
    assert [entry["effect"] for entry in harness.sandbox.ledger()] == ["intent.created"]


async def park_create(harness: Harness) -> None:
    """Make the intent, and park its create: Stripe itself answered with an error that no list has."""
    harness.sandbox.faults({"match": CREATE, "action": "status", "code": 404, "phase": "after", "times": 1})
    await harness.flows.accept("o-1", capture_method="manual")
    await harness.flows.run_calls()
    assert (await harness.flows.operation("o-1"))["state"] == "parked"


@pytest.mark.invariant("I15")
async def test_parked_create_ends_when_an_event_names_its_intent(harness: Harness) -> None:
    await park_create(harness)
    client: Any = harness.sandbox.client()
    intent = client.v1.payment_intents.list().data[0]
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    await harness.run_until_idle()
    assert (await harness.flows.operation("o-1"))["outcome"] == "found"
    assert (await harness.post(f"/v1/payments/{name_of('o-1')}/capture", {})).status == 201
    await harness.run_until_idle()
    assert (await harness.flows.payment("o-1"))["status"] == "succeeded"


@pytest.mark.invariant("I15")
async def test_request_behind_a_parked_operation_is_refused_with_the_reason(harness: Harness) -> None:
    await park_create(harness)
    answer = await harness.post(f"/v1/payments/{name_of('o-1')}/cancel", {})
    assert (answer.status, "create" in answer.json["detail"]) == (409, True)


@pytest.mark.invariant("I15")
async def test_parked_read_blocks_no_refund(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await harness.flows.pool.execute(
        "INSERT INTO operations (id, payment_id, provider, kind, state, cause, request_method, request_path, request_body,"
        " api_version, outcome) SELECT gen_random_uuid(), id, provider, 'retrieve', 'parked', 'intent:x', 'GET', '/', '', '',"
        " 'unexpected' FROM payments"
    )
    assert (await harness.refund(payment, "5.00", "job-1")).status == 201
    await harness.run_until_idle()
    assert (await harness.flows.payment("o-1"))["refunded"] == 500


@pytest.mark.invariant("I15")
async def test_refund_waits_for_our_balance_at_the_provider(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    harness.sandbox.faults({"match": REFUND, "action": "status", "code": 400, "body": BALANCE_TOO_LOW, "times": 2})
    assert (await harness.refund(payment, "5.00", "job-1")).status == 201

    async def retried() -> bool:
        await harness.flows.pool.execute(
            "UPDATE operations SET due_at = now() WHERE outcome = 'balance_too_low' AND state = 'due'"
        )
        harness.dispatcher.wake()
        return bool((await harness.flows.payment("o-1"))["refunded"])

    await eventually_async(retried)
    assert (await harness.flows.operation("o-1", "refund"))["epoch"] == 3, "each retry has a key of its own"


async def test_refund_that_waits_for_our_balance_is_shown_to_operators(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    harness.sandbox.faults({"match": REFUND, "action": "status", "code": 400, "body": BALANCE_TOO_LOW})
    assert (await harness.refund(payment, "5.00", "job-1")).status == 201

    async def waits() -> list[Any]:
        return await attention.waiting_for_balance(harness.flows.pool, limit=10)

    [shown] = await eventually_async(waits)
    assert (shown["payment_id"], shown["amount"], shown["currency"]) == (payment, "5.00", "eur")
    assert shown["next_try_at"] > shown["since"]
    await sample(harness.flows.pool)
    assert metrics.REFUNDS_WITHOUT_BALANCE._value.get() == 1
    async with harness.flows.pool.acquire() as connection:
        assert await attention.listed(connection, Chosen(), limit=10) == [], "nobody has to decide"


@pytest.mark.invariant("I15")
@pytest.mark.parametrize(
    ("code", "outcome"), [("charge_not_refundable", "refund_failed"), ("", "refunded")], ids=["refused", "made"]
)
async def test_canceled_order_is_refunded_when_its_refund_is(harness: Harness, code: str, outcome: str) -> None:
    await harness.pay("o-1")
    if code:
        body = f'{{"error": {{"code": "{code}", "type": "invalid_request_error"}}}}'
        harness.sandbox.faults({"match": REFUND, "action": "status", "code": 400, "body": body, "times": 1})
    await harness.dispatcher.stop(5)
    await OrderCancellationIntake(harness.context()).accept([cancelled({"order_id": "o-1"})])
    loop = CancelledOrders(harness.context(), refund=True)
    await loop.run_once()

    async def result() -> str | None:
        await harness.flows.pool.execute("UPDATE order_cancellations SET due_at = now() WHERE due_at IS NOT NULL")
        await loop.run_once()
        return str(await harness.flows.pool.fetchval("SELECT outcome FROM order_cancellations") or "") or None

    assert await result() is None, "the refund is only requested"
    harness.dispatcher = harness.flows.dispatcher()
    await harness.dispatcher.start()
    await harness.run_until_idle()
    assert await eventually_async(result) == outcome


async def test_probe_takes_an_operation_of_the_blocked_kind(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await harness.dispatcher.stop(5)
    await harness.refund(payment, "5.00", "job-1")
    await harness.flows.accept(*(f"other-{n}" for n in range(20)))
    await harness.flows.pool.execute("UPDATE operations SET due_at = now() - interval '1 h' WHERE kind = 'create'")
    await provider_health.block(harness.flows.pool, "stripe", "refund", "http_403")
    await harness.flows.pool.execute("UPDATE provider_health SET probe_at = now()")
    prober = harness.flows.dispatcher()
    claimed = await prober._claim_probe()
    assert [operation.kind for operation in claimed] == ["refund"]
    await prober.stop(5)


async def test_missing_budget_row_claims_nothing_and_is_made_again(harness: Harness) -> None:
    await harness.flows.pool.execute("DELETE FROM provider_budget")
    await harness.flows.accept(*(f"o-{n}" for n in range(40)))
    await harness.flows.run_calls(timeout_s=30)
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM provider_budget") == 1


@pytest.mark.invariant("I15")
@pytest.mark.parametrize("told_by", ["event", "read"])
async def test_parked_capture_ends_when_the_payment_is_captured(harness: Harness, told_by: str) -> None:
    """Stripe answered a capture that it made with an error that no list has. The refund after it does not wait."""
    await harness.flows.accept("o-1", capture_method="manual")
    await harness.pay_accepted("o-1")
    harness.sandbox.faults({"match": CAPTURE, "action": "status", "code": 400, "phase": "after", "times": 1})
    assert (await harness.post(f"/v1/payments/{name_of('o-1')}/capture", {})).status == 201
    await harness.flows.run_calls()
    assert (await harness.flows.operation("o-1", "capture"))["state"] == "parked"
    if told_by == "read":
        await poll_all(harness, await poller(harness))
    await harness.run_until_idle()
    assert (await harness.flows.operation("o-1", "capture"))["outcome"] == "found"
    assert (await harness.refund(name_of("o-1"), "5.00", "job-1")).status == 201
    await harness.run_until_idle()
    assert (await harness.flows.payment("o-1"))["refunded"] == 500


@pytest.mark.invariant("I15")
async def test_parked_cancel_of_a_payment_that_was_paid_blocks_no_refund(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    harness.sandbox.faults({"match": CANCEL, "action": "status", "code": 400, "times": 1})
    assert (await harness.post(f"/v1/payments/{name_of('o-1')}/cancel", {})).status == 201
    await harness.flows.run_calls()
    assert (await harness.flows.operation("o-1", "cancel"))["state"] == "parked"
    await harness.pay_accepted("o-1")
    assert (await harness.refund(name_of("o-1"), "5.00", "job-1")).status == 201
    await harness.run_until_idle()
    assert (await harness.flows.payment("o-1"))["refunded"] == 500
