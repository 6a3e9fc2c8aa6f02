"""Captures and cancellations from the request to the announcement, before a real sandbox: once, and as the provider says."""

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
    """What the provider has captured, by its own ledger."""
    return [entry["amount"] for entry in sandbox.ledger() if entry["effect"] == "charge.captured"]


async def told(harness: Harness, payment: UUID) -> list[str]:
    """The topics of what was announced, in order."""
    return [topic for topic, _ in await harness.announced(payment)]


async def hold(harness: Harness, order_id: str = "o-1") -> UUID:
    """Let a customer pay an order whose money is only held."""
    await harness.flows.accept(order_id, capture_method="manual")
    return await harness.pay(order_id)


async def status(harness: Harness, payment: UUID) -> str:
    """A payment's status, as it is shown."""
    shown: str = (await harness.get(f"/v1/payments/{payment}")).json["status"]
    return shown


async def test_what_is_held_is_captured_when_it_is_asked_for(harness: Harness) -> None:
    payment = await hold(harness)
    assert (await status(harness, payment), captured(harness.sandbox)) == ("authorized", [])
    answer = await harness.post(f"/v1/payments/{payment}/capture", {})
    assert (answer.status, answer.json["id"], answer.json["status"]) == (201, str(payment), "authorized")
    await harness.run_until_idle()
    assert (await status(harness, payment), captured(harness.sandbox)) == ("succeeded", [1990])
    assert await told(harness, payment) == ["initiated", "authorized", "succeeded"]


@pytest.mark.invariant("I7")
async def test_a_part_is_captured_the_rest_released_and_no_more_than_the_part_refunded(harness: Harness) -> None:
    payment = await hold(harness)
    assert (await harness.post(f"/v1/payments/{payment}/capture", {"amount": "15.00"})).status == 201
    await harness.run_until_idle()
    shown = (await harness.get(f"/v1/payments/{payment}")).json
    assert (shown["status"], shown["amount"], shown["amount_captured"]) == ("succeeded", "19.90", "15.00")
    [value] = [value for topic, value in await harness.announced(payment) if topic == "succeeded"]
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


async def test_a_whole_shop_may_capture_by_hand(database_dsn: str, sandbox: SandboxProcess) -> None:
    async with open_harness(database_dsn, sandbox, capture_method="manual") as harness:
        held = await harness.pay("o-1")
        await harness.flows.accept("o-2", capture_method="automatic")
        paid = await harness.pay("o-2")
        assert (await status(harness, held), await status(harness, paid)) == ("authorized", "succeeded")


@pytest.mark.parametrize("amount", ["0", "0.00", "-1", "1e3", "1.999", "19.91", "", "9" * 40, 1, 1.5, True, ["1"]])
async def test_what_is_no_amount_to_capture_is_refused(harness: Harness, amount: object) -> None:
    payment = await hold(harness)
    answer = await harness.post(f"/v1/payments/{payment}/capture", {"amount": amount})
    assert (answer.status, answer.is_problem) == (422, True)
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM operations WHERE kind = 'capture'") == 0


@pytest.mark.parametrize("action", ["capture", "cancel"])
@pytest.mark.parametrize("body", [{"status": "succeeded"}, {"amount_captured": "1.00"}, [], "5.00", {"reason": "\n"}])
async def test_a_body_with_anything_unknown_is_refused(harness: Harness, action: str, body: object) -> None:
    payment = await hold(harness)
    assert (await harness.post(f"/v1/payments/{payment}/{action}", body)).status == 422


@pytest.mark.parametrize("action", ["capture", "cancel"])
async def test_a_request_without_what_it_needs_is_refused(harness: Harness, action: str) -> None:
    payment = await hold(harness)
    target = f"/v1/payments/{payment}/{action}"
    assert (await harness.post(target, {}, **{"idempotency-key": "a b"})).status == 400
    assert (await harness.post(target, {}, **{"content-type": "text/plain"})).status == 415
    assert (await harness.post(f"/v1/payments/{uuid4()}/{action}", {})).status == 404
    harness.key = await api_keys.create(harness.flows.pool, client="page", scopes=[Scope.READ, Scope.CHECKOUT])
    assert (await harness.post(target, {})).status == 403
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM audit") == 0


async def test_the_same_key_asked_a_hundred_times_at_once_captures_once(harness: Harness) -> None:
    payment = await hold(harness)
    target = f"/v1/payments/{payment}/capture"
    answers = await asyncio.gather(*(harness.post(target, {"amount": "5.00"}, "job-1") for _ in range(100)))
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.body for answer in answers if answer.status == 201}) == 1
    assert (await harness.post(target, {"amount": "6.00"}, "job-1")).status == 422
    await harness.run_until_idle()
    assert captured(harness.sandbox) == [500]


async def test_many_captures_at_once_take_money_once(harness: Harness) -> None:
    payment = await hold(harness)
    answers = await asyncio.gather(
        *(harness.post(f"/v1/payments/{payment}/capture", {"amount": "5.00"}) for _ in range(20))
    )
    assert [answer.status for answer in answers].count(201) == 1
    assert {answer.status for answer in answers} <= {201, 409, 503}
    await harness.run_until_idle()
    assert captured(harness.sandbox) == [500]
    again = await harness.post(f"/v1/payments/{payment}/capture", {"amount": "5.00"})
    assert (again.status, again.json["type"]) == (409, "urn:payment-service:not_allowed")


async def test_the_same_job_after_its_answer_is_forgotten_does_nothing_more(harness: Harness) -> None:
    payment = await hold(harness)
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


async def test_who_asked_for_what_is_noted(harness: Harness) -> None:
    payment = await hold(harness)
    await harness.post(f"/v1/payments/{payment}/capture", {"amount": "5.00", "metadata": {"parcel": "7"}}, "job-1")
    [row] = await harness.flows.pool.fetch("SELECT client, action, payment_id, detail::jsonb->'metadata' FROM audit")
    assert tuple(row) == ("shop", "capture", payment, '{"parcel": "7"}')


async def test_a_hold_that_is_canceled_takes_nothing_and_is_told(harness: Harness) -> None:
    payment = await hold(harness)
    answer = await harness.post(f"/v1/payments/{payment}/cancel", {"reason": "requested_by_customer"})
    assert (answer.status, answer.json["status"]) == (201, "authorized")
    assert (await harness.post(f"/v1/payments/{payment}/capture", {})).status == 409
    await harness.run_until_idle()
    assert (await status(harness, payment), captured(harness.sandbox)) == ("canceled", [])
    assert await told(harness, payment) == ["initiated", "authorized", "canceled", "failed"]
    client: Any = harness.sandbox.client()
    [intent] = client.v1.payment_intents.list().data
    assert (intent.status, intent.cancellation_reason) == ("canceled", "requested_by_customer")
    again = await harness.post(f"/v1/payments/{payment}/cancel", {})
    assert (again.status, "canceled" in again.json["detail"]) == (409, True)
    assert (await harness.post(f"/v1/payments/{payment}/capture", {})).status == 409


async def test_the_end_of_a_hold_at_the_provider_is_noticed_and_told(harness: Harness) -> None:
    payment = await hold(harness)
    harness.sandbox.advance(8 * 86_400)
    await harness.run_until_idle()
    assert await status(harness, payment) == "canceled"
    topic, value = (await harness.announced(payment))[-1]
    assert (topic, value["code"], value["final"]) == ("failed", "authorization_expired", True)


async def test_a_capture_that_comes_after_the_end_of_the_hold_ends_by_what_the_provider_says(harness: Harness) -> None:
    """Its event has not come yet when we ask."""
    payment = await hold(harness)
    harness.sandbox.advance(8 * 86_400)
    assert (await harness.post(f"/v1/payments/{payment}/capture", {})).status == 201
    await harness.flows.run_calls()
    assert (await status(harness, payment), captured(harness.sandbox)) == ("canceled", [])
    await harness.run_until_idle()
    assert await told(harness, payment) == ["initiated", "authorized", "canceled", "failed"]
    assert (await harness.flows.operation("o-1", "capture"))["state"] == "refused"


async def test_an_unpaid_payment_is_canceled_at_the_provider(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    payment = name_of("o-1")
    assert (await harness.post(f"/v1/payments/{payment}/capture", {})).status == 409
    assert (await harness.post(f"/v1/payments/{payment}/cancel", {})).json["status"] == "pending"
    await harness.run_until_idle()
    assert await status(harness, payment) == "canceled"
    assert [value.get("code") for _, value in await harness.announced(payment)][-1] == "canceled"


async def test_a_paid_payment_is_not_canceled(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    answer = await harness.post(f"/v1/payments/{payment}/cancel", {})
    assert (answer.status, "refund" in answer.json["detail"]) == (409, True)


async def test_an_order_of_nothing_is_neither_captured_nor_canceled_nor_refunded(harness: Harness) -> None:
    await harness.flows.accept("o-1", total="0.00", capture_method="manual")
    for action in ("capture", "cancel", "refunds"):
        assert (await harness.post(f"/v1/payments/{name_of('o-1')}/{action}", {})).status == 409


@pytest.mark.parametrize("action", ["drop", "reset", "bad_gateway", "truncated"])
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize(("call", "end"), [("capture", "succeeded"), ("cancel", "canceled")])
async def test_a_call_that_ends_in_the_dark_is_done_once(
    harness: Harness, call: str, end: str, phase: str, action: str
) -> None:
    payment = await hold(harness)
    match = {"method": "POST", "path": f"/v1/payment_intents/*/{call}"}
    harness.sandbox.faults({"match": match, "phase": phase, "action": action, "times": 1})
    await harness.post(f"/v1/payments/{payment}/{call}", {})
    await harness.run_until_idle()
    assert harness.sandbox.faults_struck() == [1]
    assert await status(harness, payment) == end
    assert captured(harness.sandbox) == ([1990] if end == "succeeded" else [])
