"""Test that an operator can retry or resolve parked items, and never causes a second intent or refund."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from payment_service.flows.state.errors import Refusal, RefusalReason
from tests.support.harness import Harness
from tests.support.operator import PROXY, REFUND, REFUSAL, Operator, effects, expire_reads, shown, unfindable

CREATE = {"method": "POST", "path": "/v1/payment_intents"}


async def test_a_refund_the_provider_refused_is_resent_under_a_new_key(harness: Harness) -> None:
    operator, payment = Operator(harness), await harness.pay("o-1")
    harness.sandbox.faults({"match": REFUND, "phase": "before", **REFUSAL})
    await harness.refund(payment, "5.00")
    name = await operator.parked("refund")
    assert (await harness.refund(payment, "1.00")).status == 409, "later operations would wait for it"
    assert effects(harness.sandbox, "refund.created") == 0
    assert await operator.retry(name) == "sent_anew"
    await harness.run_until_idle()
    assert (await shown(harness, payment))["amount_refunded"] == "5.00"
    assert effects(harness.sandbox, "refund.created") == 1
    assert await harness.flows.pool.fetchval("SELECT epoch FROM operations WHERE id = $1", name) == 2


@pytest.mark.parametrize("phase", ["before", "after"])
async def test_a_refund_with_an_unknown_outcome_is_looked_up_before_a_retry(harness: Harness, phase: str) -> None:
    """The refusal was not the provider's own, so the refund may exist."""
    operator, payment = Operator(harness), await harness.pay("o-1")
    harness.sandbox.faults({"match": REFUND, "phase": phase, **PROXY})
    await harness.refund(payment, "5.00")
    name = await operator.parked("refund")
    assert await operator.retry(name) == "read_first"
    await expire_reads(harness)
    await harness.run_until_idle()
    made = 1 if phase == "after" else 0
    assert effects(harness.sandbox, "refund.created") == made
    state = await harness.flows.pool.fetchrow("SELECT state, outcome FROM operations WHERE id = $1", name)
    assert tuple(state) == (("done", "found") if made else ("parked", "refund_not_found"))  # type: ignore[arg-type]
    assert (await shown(harness, payment))["amount_refunded"] == ("5.00" if made else "0.00")


@pytest.mark.invariant("I7")
async def test_a_refund_that_two_reads_do_not_find_is_never_sent_again(
    harness: Harness,
) -> None:
    operator, payment = Operator(harness), await harness.pay("o-1")
    name = await unfindable(harness, operator, payment)
    for _ in range(3):
        assert await operator.retry(name) == "read_first"
        await expire_reads(harness)
        assert await operator.parked("refund") == name
    assert effects(harness.sandbox, "refund.created") == 0
    assert (await harness.flows.payment("o-1"))["reserved"] == 500
    assert (await harness.refund(payment, "5.00")).status == 409


async def test_a_refund_resolved_as_never_frees_its_amount_and_is_published(harness: Harness) -> None:
    operator, payment = Operator(harness), await harness.pay("o-1")
    name = await unfindable(harness, operator, payment)
    assert await operator.resolve(name, "never") == "never_happened"
    refund = (await harness.get(f"/v1/refunds/{name}")).json
    assert (refund["status"], refund["failure_code"]) == ("failed", "resolved_by_person")
    assert (await harness.published(payment))[-1][0] == "refund_failed"
    assert (await harness.refund(payment)).json["amount"] == "19.90"
    await harness.run_until_idle()
    assert effects(harness.sandbox, "refund.created") == 1


async def test_a_refund_found_by_an_operator_gets_the_providers_state(harness: Harness) -> None:
    """It was made at the provider without our name. Our refund is linked to it and follows its later events."""
    operator, payment = Operator(harness), await harness.pay("o-1")
    name = await unfindable(harness, operator, payment)
    client: Any = harness.sandbox.client()
    intent = (await shown(harness, payment))["provider_payment_id"]
    made = client.v1.refunds.create({"payment_intent": intent, "amount": 500})
    assert await operator.resolve(name, "happened", made.id) == "happened"
    await harness.run_until_idle()
    refund = (await harness.get(f"/v1/refunds/{name}")).json
    assert (refund["status"], refund["provider_refund_id"]) == ("succeeded", made.id)
    assert (await shown(harness, payment))["amount_refunded"] == "5.00"
    assert effects(harness.sandbox, "refund.created") == 1


async def test_a_provider_refund_cannot_resolve_two_refunds(harness: Harness) -> None:
    operator, payment = Operator(harness), await harness.pay("o-1")
    name = await unfindable(harness, operator, payment)
    client: Any = harness.sandbox.client()
    made = client.v1.refunds.create(
        {"payment_intent": (await shown(harness, payment))["provider_payment_id"], "amount": 500}
    )
    await harness.deliver()
    with pytest.raises(Refusal, match="if it replaced this one"):
        await operator.resolve(name, "happened", made.id)
    await operator.resolve(name, "never")
    await harness.run_until_idle()
    assert (await shown(harness, payment))["amount_refunded"] == "5.00"


@pytest.mark.invariant("I1")
@pytest.mark.parametrize(("phase", "fault"), [("before", REFUSAL), ("after", REFUSAL), ("after", PROXY)])
async def test_a_retried_create_makes_one_intent(harness: Harness, phase: str, fault: dict[str, Any]) -> None:
    operator = Operator(harness)
    harness.sandbox.faults({"match": CREATE, "phase": phase, **fault})
    await harness.flows.accept("o-1")
    await operator.retry(await operator.parked("create"))
    await expire_reads(harness)
    assert (await harness.flows.payment("o-1"))["status"] == "pending"
    client: Any = harness.sandbox.client()
    assert len(client.v1.payment_intents.list().data) == 1


async def test_a_create_resolved_as_never_ends_its_payment(harness: Harness) -> None:
    operator = Operator(harness)
    harness.sandbox.faults({"match": CREATE, "phase": "before", **REFUSAL})
    await harness.flows.accept("o-1")
    name = await operator.parked("create")
    with pytest.raises(Refusal, match="Retry it instead"):
        await operator.resolve(name, "happened", "pi_1")
    await operator.resolve(name, "never")
    payment = await harness.flows.payment("o-1")
    assert payment["status"] == "failed"
    [(topic, value)] = await harness.published(payment["id"])
    assert (topic, value["final"], value["code"]) == ("failed", True, "resolved_by_person")


async def test_a_resolved_cancel_gets_its_outcome_from_the_provider(harness: Harness) -> None:
    operator = Operator(harness)
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    payment = await harness.flows.payment("o-1")
    cancel = {"method": "POST", "path": f"/v1/payment_intents/{payment['provider_payment_id']}/cancel"}
    harness.sandbox.faults({"match": cancel, "phase": "after", **PROXY})
    await harness.post(f"/v1/payments/{payment['id']}/cancel", {})
    await operator.resolve(await operator.parked("cancel"), "never")
    await harness.run_until_idle()
    assert (await harness.flows.payment("o-1"))["status"] == "canceled"


async def test_a_parked_event_can_be_retried_or_closed(harness: Harness) -> None:
    operator, payment, pool = Operator(harness), await harness.pay("o-1"), harness.flows.pool
    park = "UPDATE payment_events SET processed = false, parked_reason = 'conflict' WHERE provider_event_id = $1"
    first, second, *_ = [row[0] for row in await pool.fetch("SELECT provider_event_id FROM payment_events")]
    for event in (first, second):
        await pool.execute(park, event)
    with pytest.raises(Refusal, match="--close"):
        await operator.resolve(first, "never")
    await operator.resolve(first, "close")
    await operator.retry(second)
    await harness.run_until_idle()
    rows = await pool.fetch(
        "SELECT processed, result, parked_reason FROM payment_events WHERE provider_event_id = ANY ($1) ORDER BY result",
        [first, second],
    )
    assert [tuple(row) for row in rows] == [(True, "closed", None), (True, "known", None)]
    assert (await shown(harness, payment))["status"] == "succeeded"
    with pytest.raises(Refusal, match="needs no attention any more"):
        await operator.retry(second)


async def test_parked_records_are_published_on_retry_and_none_can_be_skipped(harness: Harness) -> None:
    operator, payment, pool = Operator(harness), await harness.pay("o-1"), harness.flows.pool
    await pool.execute(
        "INSERT INTO parked_aggregates (aggregateid, position, reason) VALUES ($1, 1, 'MSG_SIZE_TOO_LARGE')", payment
    )
    with pytest.raises(Refusal, match="cannot be skipped"):
        await operator.resolve(payment, "never")
    await operator.retry(payment)
    assert await pool.fetchval("SELECT count(*) FROM parked_aggregates") == 0


async def test_a_repeated_retry_key_acts_once_and_every_change_is_audited(harness: Harness) -> None:
    operator, payment, pool = Operator(harness), await harness.pay("o-1"), harness.flows.pool
    harness.sandbox.faults({"match": REFUND, "phase": "before", **REFUSAL})
    await harness.refund(payment, "5.00")
    name = await operator.parked("refund")
    assert await operator.retry(name, "key-1") == await operator.retry(name, "key-1")
    await harness.run_until_idle()
    assert effects(harness.sandbox, "refund.created") == 1
    with pytest.raises(Refusal) as refused:
        await operator.retry(name)
    assert refused.value.reason is RefusalReason.NOT_ALLOWED
    with pytest.raises(Refusal) as unknown:
        await operator.retry(uuid4())
    assert unknown.value.reason is RefusalReason.NOT_FOUND
    rows = await pool.fetch("SELECT client, payment_id FROM audit WHERE action = 'attention.retry'")
    assert [tuple(row) for row in rows] == [("cli:suite", payment)]


async def test_an_event_id_of_two_providers_needs_the_providers_name(harness: Harness) -> None:
    operator, payment, pool = Operator(harness), await harness.pay("o-1"), harness.flows.pool
    await pool.execute(
        "INSERT INTO payment_events (payment_id, event_type, provider, provider_event_id, payload, processed, result, parked_reason,"
        " verified_by, verified_at, occurred_at) SELECT $1, 'odd', provider, 'evt:1', '{}', false, 'conflict', 'conflict',"
        " 'secret-1', now(), now() FROM unnest(ARRAY['acme', 'bank_transfer', 'stripe']) provider",
        payment,
    )

    async def parked() -> list[str]:
        rows = await pool.fetch("SELECT provider FROM payment_events WHERE parked_reason IS NOT NULL ORDER BY 1")
        return [row["provider"] for row in rows]

    several = r"use one of acme:evt:1, bank_transfer:evt:1, stripe:evt:1\."
    with pytest.raises(Refusal, match=several) as refused:
        await operator.resolve("evt:1", "close")
    assert refused.value.reason is RefusalReason.INVALID
    with pytest.raises(Refusal, match=several):
        await operator.retry("evt:1")
    with pytest.raises(Refusal, match="Nothing that needs attention has this id"):
        await operator.retry("nobody:evt:1")
    assert await parked() == ["acme", "bank_transfer", "stripe"]
    await operator.resolve("acme:evt:1", "close")
    await operator.resolve("stripe:evt:1", "close")
    assert await parked() == ["bank_transfer"]
    await operator.resolve("evt:1", "close")
    assert await parked() == []


async def test_a_transfer_id_of_two_accounts_needs_the_account(harness: Harness) -> None:
    operator, pool = Operator(harness), harness.flows.pool
    await pool.execute(
        "INSERT INTO bank_transfers (account, transaction_id, amount, currency, booked_on, text, outcome)"
        " SELECT account, 't-1', 100, 'eur', now(), 'for you', 'transfer.unmatched' FROM unnest(ARRAY['DE1', 'DE2']) account"
    )
    with pytest.raises(Refusal, match=r"use one of DE1:t-1, DE2:t-1\."):
        await operator.resolve("t-1", "close")
    await operator.resolve("DE2:t-1", "close")
    assert await pool.fetchval("SELECT account FROM bank_transfers WHERE outcome = 'transfer.unmatched'") == "DE1"
