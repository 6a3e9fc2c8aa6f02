"""Test events of other API versions and new words of Stripe, over the wire from a real sandbox (I17)."""

from __future__ import annotations

import pytest

from payment_service.provider.stripe.api_versions import API_VERSION, MAJORS, OWN, major_of
from payment_service.provider.stripe.webhooks import translate
from tests.support.harness import Harness
from tests.support.sandbox import SandboxProcess
from tests.support.wire import open_wire

pytestmark = pytest.mark.invariant("I17")

OLD = ["2025-02-24.acacia", "2024-06-20", "2020-08-27"]
SUPPORTED = ["2025-03-31.basil", "2025-09-30.clover", API_VERSION, "2026-10-28.endive"]


@pytest.mark.parametrize("version", OLD + SUPPORTED)
async def test_refunds_after_a_partial_capture_work_in_every_version(
    database_dsn: str, sandbox: SandboxProcess, version: str
) -> None:
    """`changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow`."""
    async with open_wire(database_dsn, sandbox, version) as wire:
        payment = await wire.authorize()
        await wire.capture(payment, "5.00")
        assert await wire.topics(payment) == ["initiated", "authorized", "succeeded"], "a release is no refund"
        assert (await wire.harness.refund(payment, "3.00")).status == 201
        await wire.settle()
        wire.client.v1.refunds.create({"payment_intent": await wire.intent(), "amount": 100})
        await wire.settle()
        assert (await wire.harness.refund(payment)).json["amount"] == "1.00"
        await wire.settle()
        shown = (await wire.harness.get(f"/v1/payments/{payment}")).json
        assert (shown["status"], shown["amount_captured"], shown["amount_refunded"]) == ("refunded", "5.00", "5.00")
        assert await wire.parked() == []


@pytest.mark.parametrize("version", [*OLD, API_VERSION])
async def test_a_released_authorization_is_no_refund_in_any_version(
    database_dsn: str, sandbox: SandboxProcess, version: str
) -> None:
    async with open_wire(database_dsn, sandbox, version) as wire:
        payment = await wire.authorize()
        wire.client.v1.payment_intents.cancel(await wire.intent())
        await wire.settle()
        shown = (await wire.harness.get(f"/v1/payments/{payment}")).json
        assert (shown["status"], shown["amount_captured"], shown["amount_refunded"]) == ("canceled", "0.00", "0.00")
        assert [topic for topic in await wire.topics(payment) if "refund" in topic] == []
        assert await wire.parked() == []


async def test_an_event_of_an_unsupported_version_is_read_again_in_ours(
    database_dsn: str, sandbox: SandboxProcess
) -> None:
    async with open_wire(database_dsn, sandbox, "2020-08-27") as wire:
        payment = await wire.authorize()
        assert await wire.topics(payment) == ["initiated", "authorized"]
        reads = await wire.harness.flows.pool.fetch("SELECT api_version FROM operations WHERE kind = 'retrieve'")
        assert {row["api_version"] for row in reads} == {API_VERSION}
        results = await wire.harness.flows.pool.fetch(
            "SELECT DISTINCT result FROM payment_events WHERE payment_id = $1", payment
        )
        assert "read_again" in {row["result"] for row in results}


async def test_disputes_of_an_unsupported_version_are_read_again(database_dsn: str, sandbox: SandboxProcess) -> None:
    async with open_wire(database_dsn, sandbox, "2020-08-27") as wire:
        payment = await wire.authorize()
        await wire.capture(payment, "5.00")
        [charge] = wire.client.v1.charges.list({"payment_intent": await wire.intent()}).data
        sandbox.control("POST", f"/sandbox/charges/{charge.id}/dispute", {"reason": "fraudulent"})
        await wire.settle()
        [dispute] = (await wire.harness.get(f"/v1/payments/{payment}/disputes")).json["data"]
        assert (dispute["status"], dispute["amount"]) == ("needs_response", "5.00")
        assert "disputed" in await wire.topics(payment)
        assert await wire.parked() == []


@pytest.mark.parametrize("refundable", [True, False])
@pytest.mark.parametrize(
    "status", ["appeal_pending", "appeal_won", "appeal_lost", "appeal_under_review", "arbitration"]
)
async def test_a_new_dispute_status_is_stored_and_published(harness: Harness, status: str, refundable: bool) -> None:
    """Stripe's statuses are open; `is_charge_refundable` says whether the money is with the shop."""
    payment = await harness.pay("o-1")
    intent = await harness.flows.pool.fetchval("SELECT provider_payment_id FROM payments")
    subject = {
        "id": "du_1",
        "object": "dispute",
        "payment_intent": intent,
        "amount": 1990,
        "currency": "eur",
        "status": status,
        "reason": "fraudulent",
        "balance_transactions": [{"amount": -1990}, {"amount": 1990 if refundable else 0}],
        "is_charge_refundable": refundable,
    }
    event = {"id": "evt_new", "object": "event", "type": "charge.dispute.updated", "created": 1_900_000_000}
    event |= {"livemode": False, "api_version": API_VERSION, "data": {"object": subject}}
    await harness.webhooks.take(translate(event, deployment="default", livemode=False), "secret-1")
    [dispute] = (await harness.get(f"/v1/payments/{payment}/disputes")).json["data"]
    assert dispute["status"] == status
    [published] = [value for topic, value in await harness.published(payment) if topic == "disputed"]
    assert published["status"] == status
    assert (await harness.refund(payment)).status == (201 if refundable else 409)


def test_the_last_three_majors_are_supported_each_with_a_source() -> None:
    names = [major.name for major in MAJORS]
    own = names.index(OWN.name)
    assert names[own - 2 : own + 1] == ["basil", "clover", "dahlia"]
    assert all(major.source.startswith("https://docs.stripe.com/changelog/") for major in MAJORS)


@pytest.mark.parametrize(
    "version", [None, "", "2020-08-27", "2024-06-20", "2026-10-28.preview", "2099-01-01.future", "2025-01-27.basil", 7]
)
def test_a_version_without_rules_is_not_supported(version: object) -> None:
    assert major_of(version) is None
