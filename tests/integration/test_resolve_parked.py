"""Test that an operator's claim about a parked call is checked against the provider, so that a typo changes nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from payment_service.flows.requests.idempotency import ChangeRequest
from payment_service.flows.requests.refund import Refunds, RefundTerms
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.provider.stripe import adapter, refunds
from tests.support.bank import CLERK, open_bank, reference
from tests.support.flows import name_of
from tests.support.harness import Harness
from tests.support.operator import PROXY, Operator, effects, shown, unfindable

REFUNDS = {"method": "GET", "path": "/v1/refunds"}


async def refund_externally(harness: Harness, payment: UUID, amount: int = 500, **more: Any) -> str:
    """Make a refund at the provider and return its id there."""
    client: Any = harness.sandbox.client()
    intent = (await shown(harness, payment))["provider_payment_id"]
    made: str = client.v1.refunds.create({"payment_intent": intent, "amount": amount, **more}).id
    return made


async def resolvable_state(harness: Harness, name: UUID) -> tuple[object, ...]:
    """Return everything that a resolution could change."""
    pool = harness.flows.pool
    row = await pool.fetchrow(
        "SELECT o.state, o.outcome, r.status, r.provider_refund_id, p.reserved, p.refunded FROM operations o"
        " JOIN refunds r USING (id) JOIN payments p ON p.id = o.payment_id WHERE o.id = $1",
        name,
    )
    count = await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'attention.resolve'")
    return (*tuple(row), count)  # type: ignore[arg-type]


async def test_a_refund_missing_at_the_provider_cannot_be_resolved_as_made(harness: Harness) -> None:
    operator, payment = Operator(harness), await harness.pay("o-1")
    name = await unfindable(harness, operator, payment)
    before = await resolvable_state(harness, name)
    with pytest.raises(Refusal, match="has no refund re_TYPO of this payment") as refused:
        await operator.resolve(name, "happened", "re_TYPO")
    assert refused.value.reason is RefusalReason.NOT_ALLOWED
    assert await resolvable_state(harness, name) == before
    made = await refund_externally(harness, payment)
    await operator.resolve(name, "happened", made)
    assert (await harness.get(f"/v1/refunds/{name}")).json["status"] == "succeeded", "from the read, without an event"
    assert (await shown(harness, payment))["amount_refunded"] == "5.00"


@pytest.mark.invariant("I7")
async def test_a_refund_of_another_payment_amount_or_name_does_not_match(harness: Harness) -> None:
    operator, payment, other = Operator(harness), await harness.pay("o-1"), await harness.pay("o-2")
    name = await unfindable(harness, operator, payment)
    before = await resolvable_state(harness, name)
    elsewhere = await refund_externally(harness, other)
    with pytest.raises(Refusal, match="of this payment"):
        await operator.resolve(name, "happened", elsewhere)
    another_amount = await refund_externally(harness, payment, 400)
    with pytest.raises(Refusal, match=r"is for 4\.00 eur, but 5\.00 eur was requested"):
        await operator.resolve(name, "happened", another_amount)
    named = await refund_externally(harness, payment, metadata={"refund_id": str(UUID(int=5))})
    with pytest.raises(Refusal, match="carries the id of another refund"):
        await operator.resolve(name, "happened", named)
    assert await resolvable_state(harness, name) == before


@pytest.mark.parametrize(
    ("fault", "reason", "sentence"),
    [
        ({"action": "status", "code": 503}, RefusalReason.NOT_YET, r"stripe cannot be read now \(http_503\)"),
        ({"action": "reset", "times": 2}, RefusalReason.NOT_YET, "stripe cannot be read now"),
        ({"action": "status", "code": 401}, RefusalReason.NOT_ALLOWED, "stripe rejects the API key"),
        ({"action": "status", "code": 404}, RefusalReason.NOT_ALLOWED, "stripe does not return it"),
    ],
    ids=["503", "reset", "401", "404"],
)
@pytest.mark.parametrize("what", ["happened", "never"])
async def test_nothing_is_resolved_while_the_provider_cannot_be_read(
    harness: Harness, what: Any, fault: dict[str, Any], reason: RefusalReason, sentence: str
) -> None:
    operator, payment = Operator(harness), await harness.pay("o-1")
    name = await unfindable(harness, operator, payment)
    before = await resolvable_state(harness, name)
    made = await refund_externally(harness, payment)
    harness.sandbox.faults({"match": REFUNDS, "phase": "before", "times": 1, **fault})
    with pytest.raises(Refusal, match=sentence) as refused:
        await operator.resolve(name, what, made)
    assert refused.value.reason is reason
    assert await resolvable_state(harness, name) == before
    await operator.resolve(name, "happened", made)
    assert (await shown(harness, payment))["amount_refunded"] == "5.00"


async def test_a_refund_made_at_the_provider_cannot_be_resolved_as_never(harness: Harness) -> None:
    """Otherwise its amount would be free and refunded a second time."""
    operator, payment = Operator(harness), await harness.pay("o-1")
    fault = {"match": {"method": "POST", "path": "/v1/refunds"}, "phase": "after", **PROXY}
    harness.sandbox.faults(fault)
    await harness.refund(payment, "5.00")
    name = await operator.parked("refund")
    before = await resolvable_state(harness, name)
    with pytest.raises(Refusal, match="use --happened re_") as refused:
        await operator.resolve(name, "never")
    assert await resolvable_state(harness, name) == before
    await operator.resolve(name, "happened", str(refused.value).removesuffix(".").split()[-1])
    assert (await harness.get(f"/v1/refunds/{name}")).json["status"] == "succeeded"
    assert effects(harness.sandbox, "refund.created") == 1


async def test_a_refund_cannot_be_resolved_as_never_from_an_incomplete_list(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, payment = Operator(harness), await harness.pay("o-1")
    name = await unfindable(harness, operator, payment)
    before = await resolvable_state(harness, name)
    for amount in (100, 200):
        await refund_externally(harness, payment, amount)
    monkeypatch.setattr(refunds, "_PAGE_SIZE", 1)
    monkeypatch.setattr(adapter, "REFUND_PAGES_MAX", 1)
    with pytest.raises(Refusal, match="Not all refunds of this payment could be read"):
        await operator.resolve(name, "never")
    assert await resolvable_state(harness, name) == before
    monkeypatch.setattr(adapter, "REFUND_PAGES_MAX", 2)
    await operator.resolve(name, "never")


async def test_a_pending_refund_found_by_an_operator_completes_by_its_event(harness: Harness) -> None:
    operator, payment = Operator(harness), await harness.pay("o-1", method="pm_card_pendingRefund")
    name = await unfindable(harness, operator, payment)
    made = await refund_externally(harness, payment)
    await operator.resolve(name, "happened", made)
    refund = (await harness.get(f"/v1/refunds/{name}")).json
    assert (refund["status"], refund["provider_refund_id"]) == ("pending", made)


async def test_a_repeated_resolution_makes_no_provider_call(harness: Harness) -> None:
    operator, payment = Operator(harness), await harness.pay("o-1")
    name = await unfindable(harness, operator, payment)
    made = await refund_externally(harness, payment)
    first = await operator.resolve(name, "happened", made, key="case-17")
    harness.sandbox.faults({"match": REFUNDS, "phase": "before", "action": "status", "code": 503})
    assert await operator.resolve(name, "happened", made, key="case-17") == first


@pytest.mark.parametrize(("change", "status"), [("capture", "succeeded"), ("cancel", "canceled")])
async def test_a_capture_or_cancel_is_completed_only_if_the_provider_shows_it(
    harness: Harness, change: str, status: str
) -> None:
    operator, client = Operator(harness), harness.sandbox.client()
    await harness.flows.accept("o-1", capture_method="manual")
    payment = await harness.pay("o-1")
    intent = (await shown(harness, payment))["provider_payment_id"]
    path = {"method": "POST", "path": f"/v1/payment_intents/{intent}/{change}"}
    harness.sandbox.faults({"match": path, "phase": "before", **PROXY})
    await harness.post(f"/v1/payments/{payment}/{change}", {})
    name = await operator.parked(change)
    for said, sentence in ((intent, "did not happen"), ("pi_TYPO", f"about {intent}")):
        with pytest.raises(Refusal, match=sentence):
            await operator.resolve(name, "happened", said)
    assert await operator.parked(change) == name
    getattr(client.v1.payment_intents, change)(intent)
    await operator.resolve(name, "happened", intent)
    assert (await shown(harness, payment))["status"] == status, "from the read, without an event"


async def test_a_parked_read_can_only_be_resolved_as_never(harness: Harness) -> None:
    operator, payment = Operator(harness), await harness.pay("o-1")
    await harness.flows.pool.execute(
        "INSERT INTO operations (id, payment_id, provider, kind, state, cause, request_method, request_path, request_body,"
        " api_version) VALUES ($1, $2, 'stripe', 'retrieve', 'parked', 'refunds:x', 'GET', '/v1/refunds', '', '')",
        UUID(int=9),
        payment,
    )
    with pytest.raises(Refusal, match="It only reads"):
        await operator.resolve(UUID(int=9), "happened", "re_1")
    await operator.resolve(UUID(int=9), "never")


async def test_a_bank_refund_is_checked_against_the_ledger(database_dsn: str) -> None:
    """The ledger has made it, but its response was lost."""
    async with open_bank(database_dsn) as bank:
        await bank.create_payments("o-1")
        await bank.take(reference("o-1"))
        change_request = ChangeRequest(
            actor=CLERK, key="r-1", action="refund", payment_id=name_of("o-1"), parameters={}
        )
        wanted = RefundTerms(amount="5.00", reason="", metadata={})
        await Refunds(bank.context).request(name_of("o-1"), wanted, change_request)
        await bank.flows.run_calls()
        name: UUID = await bank.pool.fetchval(
            "UPDATE operations SET state = 'parked', outcome = 'unrecordable' WHERE kind = 'refund' RETURNING id"
        )
        await bank.pool.execute(
            "UPDATE refunds SET provider_refund_id = NULL, fact_rank = NULL, fact_at = NULL, fact_precedence = NULL,"
            " fact_source = NULL"
        )
        operator, made = Operator(bank), f"transfer-back-{name}"
        with pytest.raises(Refusal, match="has no refund transfer-back-7 of this payment"):
            await operator.resolve(name, "happened", "transfer-back-7")
        with pytest.raises(Refusal, match=f"use --happened {made}"):
            await operator.resolve(name, "never")
        assert await operator.parked("refund") == name
        await operator.resolve(name, "happened", made)
        row = await bank.pool.fetchrow("SELECT status, provider_refund_id FROM refunds")
        assert tuple(row) == ("pending", made)  # type: ignore[arg-type]
