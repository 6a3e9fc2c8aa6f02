"""Test `GET /v1/payments/{id}/timeline`: everything known about one payment, in order, from real calls."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from payment_service.db.operations import OperationUpdate, record_results
from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.timers.cancelled_orders import CancelledOrders
from tests.support.api import assert_problem
from tests.support.eventually import eventually_async
from tests.support.flows import cancelled, name_of
from tests.support.harness import Harness

CREATE = {"method": "POST", "path": "/v1/payment_intents"}


async def entries(harness: Harness, payment: UUID, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the timeline, or its entries of one kind."""
    answer = await harness.get(f"/v1/payments/{payment}/timeline")
    assert (answer.status, answer.json["has_more"]) == (200, False), answer
    return [entry for entry in answer.json["data"] if kind in {None, entry["kind"]}]


async def test_entries_are_in_the_order_of_cause_and_effect(harness: Harness) -> None:
    """From the order to the refund: one sentence per entry, and the entries of one transaction adjacent."""
    payment = await harness.pay("o-1")
    await harness.refund(payment, "5.00", "job-1", reason="broken")
    await harness.run_until_idle()
    timeline = await entries(harness, payment)
    assert [entry["at"] for entry in timeline] == sorted(entry["at"] for entry in timeline)
    assert [entry["kind"] for entry in timeline if entry["kind"] not in {"webhook", "payment_attempt"}] == [
        *("order", "operation", "attempt", "transition", "record"),
        *("transition", "record"),
        *("request", "operation", "transition", "refund", "record", "attempt", "attempt", "transition", "record"),
    ]
    assert [(entry["sequence"], entry["topic"]) for entry in timeline if entry["kind"] == "record"] == [
        (1, "payments.initiated"),
        (2, "payments.succeeded"),
        (3, "payments.refund_initiated"),
        (4, "payments.refunded"),
    ]
    assert all(entry["text"].endswith(".") and "\n" not in entry["text"] for entry in timeline)
    look, call = [entry for entry in timeline if entry["kind"] == "attempt" and entry["operation"] == "refund"]
    assert (look["outcome"], look["idempotency_key"], call["outcome"]) == ("nothing_yet", None, "done")
    assert look["provider_request_id"] != call["provider_request_id"]
    assert look["text"] == f"Attempt 1 (refund, read only): nothing_yet ({look['provider_request_id']})."


async def test_calls_show_the_providers_request_id_and_key(harness: Harness) -> None:
    """Both identify a call in Stripe's own log."""
    payment = await harness.pay("o-1")
    [call] = await entries(harness, payment, "operation")
    [attempt] = await entries(harness, payment, "attempt")
    assert call["idempotency_key"] == attempt["idempotency_key"] == f"create:{payment}:1"
    assert call["provider_request_id"] == attempt["provider_request_id"] != ""
    assert attempt["provider_request_id"].startswith("req_")
    assert (call["state"], call["attempts"], attempt["attempt"], attempt["outcome"]) == ("done", 1, 1, "done")


async def test_the_actor_and_address_of_a_request_are_shown(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await harness.refund(payment, "5.00", "job-1", reason="broken")
    [asked] = await entries(harness, payment, "request")
    assert (asked["client"], asked["action"], asked["address"]) == ("shop", "refund", "127.0.0.1")
    assert (asked["asked"]["key"], asked["asked"]["amount"], asked["asked"]["reason"]) == ("job-1", "5.00", "broken")
    [refund] = await entries(harness, payment, "refund")
    assert (refund["client"], refund["amount"], refund["external"]) == ("shop", "5.00", False)


async def test_each_attempt_is_shown_with_its_outcome(harness: Harness) -> None:
    """A call that fails twice and then succeeds has three attempts under one key, each with the provider's response."""
    harness.sandbox.faults({"match": CREATE, "times": 2, "phase": "before", "action": "status", "code": 503})
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    payment = name_of("o-1")
    attempts = await entries(harness, payment, "attempt")
    assert [attempt["attempt"] for attempt in attempts] == [1, 2, 3]
    assert [attempt["outcome"] for attempt in attempts] == ["unknown", "unknown", "done"]
    assert {attempt["idempotency_key"] for attempt in attempts} == {f"create:{payment}:1"}
    [call] = await entries(harness, payment, "operation")
    assert (call["attempts"], call["state"], call["provider_request_id"]) == (
        3,
        "done",
        attempts[-1]["provider_request_id"],
    )


async def test_the_last_ten_attempts_are_kept(harness: Harness) -> None:
    """An operation retried for days must not grow for days."""
    await harness.dispatcher.stop(5)
    await harness.flows.accept("o-1")
    [operation] = await harness.flows.pool.fetch("SELECT id FROM operations")
    for attempt in range(1, 13):
        await harness.flows.pool.execute(
            "UPDATE operations SET state = 'claimed', worker = gen_random_uuid(), attempt = $1, last_sent_at = now()",
            attempt,
        )
        async with harness.flows.pool.acquire() as connection:
            update = OperationUpdate(
                id=operation["id"], attempt=attempt, state="due", outcome="transient", code=f"try {attempt}"
            )
            assert (await record_results(connection, [update])).ids == {operation["id"]}
    attempts = await entries(harness, name_of("o-1"), "attempt")
    assert [(entry["attempt"], entry["code"]) for entry in attempts] == [(n, f"try {n}") for n in range(3, 13)]


async def test_an_order_cancellation_is_shown_even_if_it_arrived_before_the_order(harness: Harness) -> None:
    await OrderCancellationIntake(harness.context()).accept(
        [cancelled({"order_id": "o-1", "reason": "out of stock"}, 7)]
    )
    await harness.flows.accept("o-1")

    async def completed() -> bool:
        await harness.flows.pool.execute("UPDATE order_cancellations SET due_at = now() WHERE due_at IS NOT NULL")
        await CancelledOrders(harness.context(), refund=False).run_once()
        await harness.run_until_idle()
        return bool(await harness.flows.pool.fetchval("SELECT outcome IS NOT NULL FROM order_cancellations"))

    await eventually_async(completed)
    [first, second, *_] = await entries(harness, name_of("o-1"))
    assert (first["kind"], second["kind"]) == ("cancellation", "order")
    assert (first["reason"], first["outcome"], first["offset"]) == ("out of stock", "canceled", 7)


async def test_a_parked_record_shows_its_reason(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await harness.flows.pool.execute(
        "INSERT INTO parked_aggregates (aggregateid, position, reason) SELECT aggregateid, min(position), 'MSG_SIZE_TOO_LARGE'"
        " FROM outbox GROUP BY aggregateid"
    )
    parked, waiting = await entries(harness, payment, "record")
    assert (parked["parked_reason"], waiting["parked_reason"]) == ("MSG_SIZE_TOO_LARGE", "")
    assert parked["text"] == "payments.initiated number 1 cannot be published: MSG_SIZE_TOO_LARGE."


async def test_pages_of_a_timeline_have_no_gap(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    timeline = await entries(harness, payment)
    target, seen = f"/v1/payments/{payment}/timeline?limit=1", []
    page = (await harness.get(target)).json
    while page["has_more"]:
        seen += page["data"]
        page = (await harness.get(f"{target}&cursor={page['next_cursor']}")).json
    assert seen + page["data"] == timeline


async def test_no_secret_and_no_payload_is_shown(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await harness.refund(payment, "5.00", "job-1")
    await harness.run_until_idle()
    body = (await harness.get(f"/v1/payments/{payment}/timeline")).body.decode()
    for secret in ("client_secret", "_secret_", harness.key, "sk_test", "whsec", "payment_method_types"):
        assert secret not in body
    assert_problem(await harness.get(f"/v1/payments/{uuid4()}/timeline"), 404)
