"""Test refunds from the request to the published record, against a real sandbox: never twice, never too much."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from payment_service.db import api_keys
from payment_service.db.api_keys import Scope
from payment_service.db.maintain import maintain
from tests.support.eventually import eventually_async
from tests.support.flows import name_of
from tests.support.harness import Harness
from tests.support.http import Answer
from tests.support.sandbox import SandboxProcess

REFUND = {"method": "POST", "path": "/v1/refunds"}


def refunded(sandbox: SandboxProcess) -> int:
    """Return the refunds in the provider's ledger."""
    signs = {"refund.created": 1, "refund.succeeded": 0, "refund.failed": -1, "refund.canceled": -1}
    return sum(signs.get(entry["effect"], 0) * entry["amount"] for entry in sandbox.ledger())


async def shown(harness: Harness, answer: Answer) -> dict[str, Any]:
    """Return a refund's current state."""
    refund: dict[str, Any] = (await harness.get(f"/v1/refunds/{answer.json['id']}")).json
    return refund


async def test_a_partial_refund_and_the_rest_are_refunded_and_published(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    first = await harness.refund(payment, "5.00", reason="requested_by_customer", metadata={"case": "17"})
    assert (first.status, first.json["status"], first.json["amount"]) == (201, "pending", "5.00")
    await harness.run_until_idle()
    assert (await harness.get(f"/v1/payments/{payment}")).json["status"] == "partially_refunded"
    rest = await harness.refund(payment)
    assert rest.json["amount"] == "14.90"
    await harness.run_until_idle()

    refund = await shown(harness, first)
    assert (refund["status"], refund["metadata"]) == ("succeeded", {"case": "17"})
    payment_now = (await harness.get(f"/v1/payments/{payment}")).json
    assert (payment_now["status"], payment_now["amount_refunded"]) == ("refunded", "19.90")
    assert refunded(harness.sandbox) == 1990
    published = await harness.published(payment)
    assert [topic for topic, _ in published[2:]] == ["refund_initiated", "refunded", "refund_initiated", "refunded"]
    assert [(value["amount_refunded"], value["full"]) for topic, value in published if topic == "refunded"] == [
        ("5.00", False),
        ("19.90", True),
    ]
    client: Any = harness.sandbox.client()
    made = client.v1.refunds.list().data[-1]
    assert (made.reason, made.metadata["refund_id"]) == ("requested_by_customer", first.json["id"])


@pytest.mark.parametrize(
    "text", [{"reason": "paid with 4242 4242 4242 4242"}, {"metadata": {"card": "4242424242424242"}}]
)
async def test_a_card_number_in_a_request_is_refused_and_stored_nowhere(harness: Harness, text: Any) -> None:
    """A reason is stored, published and shown, so a card number would spread everywhere."""
    payment = await harness.pay("o-1")
    answer = await harness.refund(payment, "5.00", **text)
    assert (answer.status, b"4242" in answer.body) == (422, False)
    assert "card number" in answer.json["detail"]
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM audit") == 0


async def test_a_hundred_concurrent_refunds_never_exceed_the_captured_amount(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    answers = await asyncio.gather(*(harness.refund(payment, "0.50") for _ in range(100)))
    assert Counter(answer.status for answer in answers) <= Counter({201: 39, 409: 61, 422: 61, 503: 61})
    assert sum(answer.status == 201 for answer in answers) == 39 or any(answer.status == 503 for answer in answers)
    made = sum(answer.status == 201 for answer in answers)
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == made * 50 <= 1990


async def test_a_hundred_concurrent_requests_with_one_key_refund_once(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    answers = await asyncio.gather(*(harness.refund(payment, "5.00", "job-1") for _ in range(100)))
    bodies = {answer.body for answer in answers if answer.status == 201}
    assert len(bodies) == 1
    assert {answer.status for answer in answers} <= {201, 409}
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 409)
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == 500
    again = await harness.refund(payment, "5.00", "job-1")
    assert ({again.body}, again.headers["idempotent-replayed"]) == (bodies, "true")


async def test_a_key_with_a_different_request_is_refused(harness: Harness) -> None:
    payment, other = await harness.pay("o-1"), await harness.pay("o-2")
    assert (await harness.refund(payment, "5.00", "job-1")).status == 201
    for answer in (
        await harness.refund(payment, "6.00", "job-1"),
        await harness.refund(payment, None, "job-1"),
        await harness.refund(other, "5.00", "job-1"),
    ):
        assert (answer.status, answer.json["type"]) == (422, "urn:payment-service:idempotency_mismatch")


async def test_a_key_refunds_once_even_a_month_later_with_a_new_api_key(harness: Harness) -> None:
    """The stored response has expired by then. The refund stores its client and its request."""
    payment = await harness.pay("o-1")
    first = await harness.refund(payment, "5.00", "job-1")
    await harness.run_until_idle()
    await harness.flows.pool.execute("DELETE FROM idempotency_keys")
    harness.key = await api_keys.create(harness.flows.pool, client="shop", scopes=[Scope.REFUND])
    again = await harness.refund(payment, "5.00", "job-1")
    assert (again.status, again.json["id"], again.json["status"]) == (201, first.json["id"], "succeeded")
    await harness.flows.pool.execute("DELETE FROM idempotency_keys")
    assert (await harness.refund(payment, "6.00", "job-1")).status == 422
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == 500


async def test_the_same_key_from_another_client_is_another_refund(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    first = await harness.refund(payment, "5.00", "job-1")
    harness.key = await api_keys.create(harness.flows.pool, client="support", scopes=[Scope.REFUND])
    second = await harness.refund(payment, "5.00", "job-1")
    assert (second.status, second.json["id"] != first.json["id"]) == (201, True)


async def test_a_refused_refund_is_explained_and_not_stored(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    unpaid = await harness.refund(name_of("o-1"), "5.00", "job-1")
    assert (unpaid.status, unpaid.json["type"]) == (409, "urn:payment-service:not_allowed")
    assert (await harness.refund(uuid4(), "5.00")).status == 404
    payment = await harness.pay("o-1")
    assert (await harness.refund(payment, "5.00", "job-1")).status == 201, "a refusal must not be stored for its key"
    too_much = await harness.refund(payment, "14.91")
    assert (too_much.status, "14.90 eur" in too_much.json["detail"]) == (422, True)
    assert (await harness.refund(payment, "14.90")).status == 201
    assert (await harness.refund(payment)).status == 409


@pytest.mark.parametrize(
    "amount",
    ["0", "0.00", "-1", "1e3", "1.999", "1,00", "+1", " 1", "1 ", "\uff11", "", "9" * 40, 1, 1.5, True, None, ["1"]],
)
async def test_an_invalid_amount_is_refused(harness: Harness, amount: object) -> None:
    payment = await harness.pay("o-1")
    answer = await harness.post(f"/v1/payments/{payment}/refunds", {"amount": amount})
    if amount is None:
        assert answer.status == 201, "null means absent"
        return
    assert (answer.status, answer.is_problem) == (422, True)
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM refunds") == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"idempotency-key": ""}, 400),
        ({"idempotency-key": "x" * 256}, 400),
        ({"idempotency-key": "a b"}, 400),
        ({"idempotency-key": "\xe9"}, 400),
        ({"content-type": "text/plain"}, 415),
        ({"authorization": "Bearer none"}, 401),
    ],
)
async def test_a_request_without_a_required_header_is_refused(
    harness: Harness, headers: dict[str, str], status: int
) -> None:
    payment = await harness.pay("o-1")
    answer = await harness.post(f"/v1/payments/{payment}/refunds", {}, **headers)
    assert (answer.status, answer.is_problem) == (status, True)


@pytest.mark.parametrize(
    "body",
    [
        {"status": "succeeded"},
        {"metadata": {"a": 1}},
        {"metadata": {str(i): "" for i in range(51)}},
        [],
        "5.00",
        {"reason": "\n"},
    ],
)
async def test_a_body_with_an_unknown_field_is_refused(harness: Harness, body: object) -> None:
    payment = await harness.pay("o-1")
    assert (await harness.post(f"/v1/payments/{payment}/refunds", body)).status == 422


async def test_a_read_only_key_cannot_refund(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    harness.key = await api_keys.create(harness.flows.pool, client="reports", scopes=[Scope.READ, Scope.CHECKOUT])
    assert (await harness.refund(payment)).status == 403
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM refunds") == 0


async def test_every_refund_is_audited_with_its_actor(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await harness.refund(payment, "5.00", "job-1", reason="broken")
    await harness.refund(payment, "5.00", "job-1", reason="broken")
    [row] = await harness.flows.pool.fetch(
        "SELECT client, action, payment_id, address, detail::jsonb->>'amount' FROM audit"
    )
    assert tuple(row) == ("shop", "refund", payment, "127.0.0.1", "5.00")


async def test_a_late_failure_of_a_refund_is_published_and_can_be_repeated(harness: Harness) -> None:
    payment = await harness.pay("o-1", "pm_card_refundFail")
    first = await harness.refund(payment)
    await harness.run_until_idle()
    harness.sandbox.advance(86_400)
    await harness.run_until_idle()
    assert (await shown(harness, first))["status"] == "failed"
    assert [topic for topic, _ in await harness.published(payment)][2:] == [
        "refund_initiated",
        "refunded",
        "refund_failed",
    ]
    assert (await harness.get(f"/v1/payments/{payment}")).json["status"] == "succeeded"
    assert (await harness.refund(payment)).status == 201


async def test_a_pending_refund_stays_pending_until_the_bank_accepts_it(harness: Harness) -> None:
    payment = await harness.pay("o-1", "pm_card_pendingRefund")
    asked = await harness.refund(payment, "5.00")
    await harness.run_until_idle()
    before = (await shown(harness, asked))["status"]
    harness.sandbox.advance(86_400)
    await harness.run_until_idle()
    assert (before, (await shown(harness, asked))["status"]) == ("pending", "succeeded")


async def test_a_dashboard_refund_is_recorded_and_counts(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    client.v1.refunds.create({"payment_intent": intent_id, "amount": 1500})
    await harness.run_until_idle()
    assert (await harness.get(f"/v1/payments/{payment}")).json["amount_refunded"] == "15.00"
    [row] = await harness.flows.pool.fetch("SELECT external, status FROM refunds")
    assert tuple(row) == (True, "succeeded")
    assert (await harness.refund(payment, "5.00")).status == 422
    assert [topic for topic, _ in await harness.published(payment)][-1] == "refunded"


async def test_a_refund_after_a_dashboard_refund_fails_and_frees_its_amount(harness: Harness) -> None:
    """The dashboard refund's event has not arrived yet.

    The read before the call finds it, and the provider refuses ours.
    """
    payment = await harness.pay("o-1")
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    client.v1.refunds.create({"payment_intent": intent_id, "amount": 1500})
    late = await harness.refund(payment, "5.00")
    assert late.status == 201
    await harness.flows.run_calls()
    refund = await shown(harness, late)
    assert (refund["status"], refund["failure_code"] != "") == ("failed", True)
    assert (await harness.get(f"/v1/payments/{payment}")).json["amount_refunded"] == "15.00", (
        "the read before the call found it"
    )
    assert [topic for topic, _ in await harness.published(payment)][2:] == [
        "refund_initiated",
        "refunded",
        "refund_failed",
    ]
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == 1500


@pytest.mark.parametrize("action", ["drop", "reset", "bad_gateway", "truncated"])
@pytest.mark.parametrize("phase", ["before", "after"])
async def test_a_call_with_an_unknown_outcome_refunds_once(harness: Harness, phase: str, action: str) -> None:
    payment = await harness.pay("o-1")
    harness.sandbox.faults({"match": REFUND, "phase": phase, "action": action, "times": 1})
    asked = await harness.refund(payment, "5.00")
    await harness.run_until_idle()
    assert harness.sandbox.faults_struck() == [1]
    assert (await shown(harness, asked))["status"] == "succeeded"
    assert refunded(harness.sandbox) == 500


async def test_a_refund_that_cannot_be_found_is_parked_and_keeps_its_amount(harness: Harness) -> None:
    """A second refund could not be reversed."""
    payment = await harness.pay("o-1")
    harness.sandbox.faults({"match": REFUND, "phase": "before", "action": "drop"})
    asked = await harness.refund(payment, "5.00")
    pool = harness.flows.pool

    async def tried() -> bool:
        return bool(await pool.fetchval("SELECT attempt > 2 FROM operations WHERE kind = 'refund'"))

    await eventually_async(tried)
    await pool.execute("UPDATE operations SET first_sent_at = now() - interval '24 h' WHERE kind = 'refund'")
    past = "UPDATE operations SET due_at = now(), last_sent_at = now() - interval '1 h', empty_read_at = now() - interval '2 min' WHERE kind = 'refund' AND state = 'due'"

    async def parked() -> bool:
        await pool.execute(past)
        return bool(await pool.fetchval("SELECT state = 'parked' FROM operations WHERE kind = 'refund'"))

    await eventually_async(parked, timeout_s=20)
    assert await pool.fetchval("SELECT outcome FROM operations WHERE kind = 'refund'") == "refund_not_found"
    assert (await shown(harness, asked))["status"] == "pending"
    assert (await harness.flows.payment("o-1"))["reserved"] == 500
    assert (await harness.refund(payment, "5.00")).status == 409, "it would wait behind the parked one"


async def test_events_in_reverse_order_give_the_same_result(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_refundFail"})
    client.v1.refunds.create({"payment_intent": intent_id, "amount": 700})
    harness.sandbox.advance(86_400)
    client.v1.refunds.create({"payment_intent": intent_id, "amount": 300})
    await harness.deliver(lambda events: events[::-1])
    await harness.run_until_idle()
    payment = (await harness.get(f"/v1/payments/{name_of('o-1')}")).json
    assert payment["status"] in {"succeeded", "partially_refunded"}
    client_refunds = {refund.id: refund.status for refund in client.v1.refunds.list({"payment_intent": intent_id}).data}
    rows = await harness.flows.pool.fetch("SELECT provider_refund_id, status FROM refunds")
    assert {row["provider_refund_id"]: row["status"] for row in rows} == client_refunds


async def test_a_chargeback_is_published_and_blocks_refunds_until_it_is_won(harness: Harness) -> None:
    payment = await harness.pay("o-1", "pm_card_createDispute")
    await harness.run_until_idle()
    blocked = await harness.refund(payment, "5.00")
    assert (blocked.status, blocked.json["type"]) == (409, "urn:payment-service:not_allowed")
    client: Any = harness.sandbox.client()
    [dispute] = client.v1.disputes.list().data
    client.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True})
    harness.sandbox.advance(60)
    await harness.run_until_idle()
    published = [(topic, value) for topic, value in await harness.published(payment) if "dispute" in topic]
    assert [topic for topic, _ in published] == ["disputed", "dispute_closed"]
    assert (published[0][1]["stage"], published[0][1]["evidence_due_by"] != "", published[1][1]["status"]) == (
        "chargeback",
        True,
        "won",
    )
    assert (await harness.refund(payment, "5.00")).status == 201


async def test_stored_responses_are_deleted_after_two_days(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await harness.refund(payment, "1.00", "old")
    await harness.refund(payment, "1.00", "new")
    await harness.flows.pool.execute(
        "UPDATE idempotency_keys SET created_at = now() - interval '49 h' WHERE key = 'old'"
    )
    await asyncio.to_thread(maintain, harness.dsn)
    assert await harness.flows.pool.fetchval("SELECT array_agg(key) FROM idempotency_keys") == ["new"]
