"""Test captures and cancellations from the request to the published record, against a real sandbox."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from payment_service.db import api_keys
from payment_service.db.api_keys import Scope
from tests.support.flows import name_of
from tests.support.harness import Harness, open_harness
from tests.support.sandbox import SandboxProcess


def captured(sandbox: SandboxProcess) -> list[int]:
    """Return the captures in the provider's ledger."""
    return [entry["amount"] for entry in sandbox.ledger() if entry["effect"] == "charge.captured"]


async def published_topics(harness: Harness, payment: UUID) -> list[str]:
    """Return the topics of the payment's published records, in order."""
    return [topic for topic, _ in await harness.published(payment)]


async def authorize(harness: Harness, order_id: str = "o-1") -> UUID:
    """Create an order whose payment the customer authorizes without capture."""
    await harness.flows.accept(order_id, capture_method="manual")
    return await harness.pay(order_id)


async def status(harness: Harness, payment: UUID) -> str:
    """Return a payment's status as the API shows it."""
    shown: str = (await harness.get(f"/v1/payments/{payment}")).json["status"]
    return shown


async def test_an_authorized_payment_is_captured_on_request(harness: Harness) -> None:
    payment = await authorize(harness)
    assert (await status(harness, payment), captured(harness.sandbox)) == ("authorized", [])
    answer = await harness.post(f"/v1/payments/{payment}/capture", {})
    assert (answer.status, answer.json["id"], answer.json["status"]) == (201, str(payment), "authorized")
    await harness.run_until_idle()
    assert (await status(harness, payment), captured(harness.sandbox)) == ("succeeded", [1990])
    assert await published_topics(harness, payment) == ["initiated", "authorized", "succeeded"]


@pytest.mark.invariant("I7")
async def test_a_partial_capture_releases_the_rest_and_limits_refunds(harness: Harness) -> None:
    payment = await authorize(harness)
    assert (await harness.post(f"/v1/payments/{payment}/capture", {"amount": "15.00"})).status == 201
    await harness.run_until_idle()
    shown = (await harness.get(f"/v1/payments/{payment}")).json
    assert (shown["status"], shown["amount"], shown["amount_captured"]) == ("succeeded", "19.90", "15.00")
    [value] = [value for topic, value in await harness.published(payment) if topic == "succeeded"]
    assert (value["amount"], value["amount_ordered"]) == ("15.00", "19.90")
    too_much = await harness.refund(payment, "15.01")
    assert (too_much.status, "15.00 eur" in too_much.json["detail"]) == (422, True)
    assert (await harness.refund(payment, "10.00")).status == 201
    await harness.run_until_idle()
    assert (await harness.refund(payment)).json["amount"] == "5.00"
    await harness.run_until_idle()
    assert await status(harness, payment) == "refunded"
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM operations WHERE kind = 'retrieve'") == 0, (
        "what was released is no refund that somebody made by hand"
    )


async def test_manual_capture_can_be_the_default_of_the_shop(database_dsn: str, sandbox: SandboxProcess) -> None:
    async with open_harness(database_dsn, sandbox, capture_method="manual") as harness:
        authorized = await harness.pay("o-1")
        await harness.flows.accept("o-2", capture_method="automatic")
        paid = await harness.pay("o-2")
        assert (await status(harness, authorized), await status(harness, paid)) == ("authorized", "succeeded")


@pytest.mark.parametrize("amount", ["0", "0.00", "-1", "1e3", "1.999", "19.91", "", "9" * 40, 1, 1.5, True, ["1"]])
async def test_an_invalid_capture_amount_is_refused(harness: Harness, amount: object) -> None:
    payment = await authorize(harness)
    answer = await harness.post(f"/v1/payments/{payment}/capture", {"amount": amount})
    assert (answer.status, answer.is_problem) == (422, True)
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM operations WHERE kind = 'capture'") == 0


@pytest.mark.parametrize("amount", ["", "1e3", "9" * 40])
async def test_an_invalid_amount_is_refused_after_a_capture_too(harness: Harness, amount: str) -> None:
    payment = await authorize(harness)
    await harness.post(f"/v1/payments/{payment}/capture", {})
    await harness.run_until_idle()
    answer = await harness.post(f"/v1/payments/{payment}/capture", {"amount": amount})
    assert (answer.status, answer.is_problem) == (422, True)


@pytest.mark.parametrize("action", ["capture", "cancel"])
@pytest.mark.parametrize("body", [{"status": "succeeded"}, {"amount_captured": "1.00"}, [], "5.00", {"reason": "\n"}])
async def test_a_body_with_an_unknown_field_is_refused(harness: Harness, action: str, body: object) -> None:
    payment = await authorize(harness)
    assert (await harness.post(f"/v1/payments/{payment}/{action}", body)).status == 422


@pytest.mark.parametrize("action", ["capture", "cancel"])
async def test_a_request_without_a_required_header_is_refused(harness: Harness, action: str) -> None:
    payment = await authorize(harness)
    target = f"/v1/payments/{payment}/{action}"
    assert (await harness.post(target, {}, **{"idempotency-key": "a b"})).status == 400
    assert (await harness.post(target, {}, **{"content-type": "text/plain"})).status == 415
    assert (await harness.post(f"/v1/payments/{uuid4()}/{action}", {})).status == 404
    harness.key = await api_keys.create(harness.flows.pool, client="page", scopes=[Scope.READ, Scope.CHECKOUT])
    assert (await harness.post(target, {})).status == 403
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM audit") == 0


async def test_a_hundred_concurrent_requests_with_one_key_capture_once(harness: Harness) -> None:
    payment = await authorize(harness)
    target = f"/v1/payments/{payment}/capture"
    answers = await asyncio.gather(*(harness.post(target, {"amount": "5.00"}, "job-1") for _ in range(100)))
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.body for answer in answers if answer.status == 201}) == 1
    assert (await harness.post(target, {"amount": "6.00"}, "job-1")).status == 422
    await harness.run_until_idle()
    assert captured(harness.sandbox) == [500]


async def test_concurrent_captures_with_different_keys_capture_once(harness: Harness) -> None:
    payment = await authorize(harness)
    answers = await asyncio.gather(
        *(harness.post(f"/v1/payments/{payment}/capture", {"amount": "5.00"}) for _ in range(20))
    )
    assert [answer.status for answer in answers].count(201) == 1
    assert {answer.status for answer in answers} <= {201, 409, 503}
    await harness.run_until_idle()
    assert captured(harness.sandbox) == [500]
    again = await harness.post(f"/v1/payments/{payment}/capture", {"amount": "5.00"})
    assert (again.status, again.json["type"]) == (409, "urn:payment-service:not_allowed")


async def test_a_key_changes_nothing_after_its_stored_response_expired(harness: Harness) -> None:
    payment = await authorize(harness)
    target = f"/v1/payments/{payment}/capture"
    await harness.post(target, {"amount": "5.00"}, "job-1")
    await harness.run_until_idle()
    await harness.flows.pool.execute("DELETE FROM idempotency_keys")
    again = await harness.post(target, {"amount": "5.00"}, "job-1")
    assert (again.status, again.json["amount_captured"]) == (201, "5.00")
    await harness.flows.pool.execute("DELETE FROM idempotency_keys")
    assert (await harness.post(target, {"amount": "6.00"}, "job-1")).status == 422
    await harness.run_until_idle()
    assert captured(harness.sandbox) == [500]


async def test_every_change_is_audited_with_its_actor(harness: Harness) -> None:
    payment = await authorize(harness)
    await harness.post(f"/v1/payments/{payment}/capture", {"amount": "5.00", "metadata": {"parcel": "7"}}, "job-1")
    [row] = await harness.flows.pool.fetch("SELECT client, action, payment_id, detail::jsonb->'metadata' FROM audit")
    assert tuple(row) == ("shop", "capture", payment, '{"parcel": "7"}')


async def test_canceling_an_authorization_captures_nothing_and_is_published(harness: Harness) -> None:
    payment = await authorize(harness)
    answer = await harness.post(f"/v1/payments/{payment}/cancel", {"reason": "requested_by_customer"})
    assert (answer.status, answer.json["status"]) == (201, "authorized")
    assert (await harness.post(f"/v1/payments/{payment}/capture", {})).status == 409
    await harness.run_until_idle()
    assert (await status(harness, payment), captured(harness.sandbox)) == ("canceled", [])
    assert await published_topics(harness, payment) == ["initiated", "authorized", "canceled", "failed"]
    client: Any = harness.sandbox.client()
    [intent] = client.v1.payment_intents.list().data
    assert (intent.status, intent.cancellation_reason) == ("canceled", "requested_by_customer")
    again = await harness.post(f"/v1/payments/{payment}/cancel", {})
    assert (again.status, "canceled" in again.json["detail"]) == (409, True)
    assert (await harness.post(f"/v1/payments/{payment}/capture", {})).status == 409


async def test_an_authorization_canceled_at_the_provider_is_published(harness: Harness) -> None:
    payment = await authorize(harness)
    harness.sandbox.advance(8 * 86_400)
    await harness.run_until_idle()
    assert await status(harness, payment) == "canceled"
    topic, value = (await harness.published(payment))[-1]
    assert (topic, value["code"], value["final"]) == ("failed", "authorization_expired", True)


async def test_a_capture_after_the_authorization_ended_follows_the_provider(harness: Harness) -> None:
    """The provider's event has not arrived yet when the capture is sent."""
    payment = await authorize(harness)
    harness.sandbox.advance(8 * 86_400)
    assert (await harness.post(f"/v1/payments/{payment}/capture", {})).status == 201
    await harness.flows.run_calls()
    assert (await status(harness, payment), captured(harness.sandbox)) == ("canceled", [])
    await harness.run_until_idle()
    assert await published_topics(harness, payment) == ["initiated", "authorized", "canceled", "failed"]
    assert (await harness.flows.operation("o-1", "capture"))["state"] == "refused"


async def test_an_unpaid_payment_is_canceled_at_the_provider(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    payment = name_of("o-1")
    assert (await harness.post(f"/v1/payments/{payment}/capture", {})).status == 409
    assert (await harness.post(f"/v1/payments/{payment}/cancel", {})).json["status"] == "pending"
    await harness.run_until_idle()
    assert await status(harness, payment) == "canceled"
    assert [value.get("code") for _, value in await harness.published(payment)][-1] == "canceled"


async def test_canceling_a_paid_payment_is_refused(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    answer = await harness.post(f"/v1/payments/{payment}/cancel", {})
    assert (answer.status, "refund" in answer.json["detail"]) == (409, True)


async def test_a_free_order_cannot_be_captured_canceled_or_refunded(harness: Harness) -> None:
    await harness.flows.accept("o-1", total="0.00", capture_method="manual")
    for action in ("capture", "cancel", "refunds"):
        assert (await harness.post(f"/v1/payments/{name_of('o-1')}/{action}", {})).status == 409


@pytest.mark.parametrize("action", ["drop", "reset", "bad_gateway", "truncated"])
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize(("call", "end"), [("capture", "succeeded"), ("cancel", "canceled")])
async def test_a_call_with_an_unknown_outcome_takes_effect_once(
    harness: Harness, call: str, end: str, phase: str, action: str
) -> None:
    payment = await authorize(harness)
    match = {"method": "POST", "path": f"/v1/payment_intents/*/{call}"}
    harness.sandbox.faults({"match": match, "phase": phase, "action": action, "times": 1})
    await harness.post(f"/v1/payments/{payment}/{call}", {})
    await harness.run_until_idle()
    assert harness.sandbox.faults_struck() == [1]
    assert await status(harness, payment) == end
    assert captured(harness.sandbox) == ([1990] if end == "succeeded" else [])
