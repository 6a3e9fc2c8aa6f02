"""What a person says of a parked call is held against what the provider has: a slip of the hand changes nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from payment_service.flows.change import Asking
from payment_service.flows.errors import Refusal, Why
from payment_service.flows.request_refund import Refunds, Wanted
from payment_service.provider.stripe import adapter
from tests.support.bank import CLERK, open_bank, reference
from tests.support.desk import PROXY, Desk, effects, shown, unfindable
from tests.support.flows import name_of
from tests.support.till import Till

REFUNDS = {"method": "GET", "path": "/v1/refunds"}


async def refund_externally(till: Till, payment: UUID, amount: int = 500, **more: Any) -> str:
    """A refund that somebody makes at the provider; its id there."""
    client: Any = till.sandbox.client()
    intent = (await shown(till, payment))["provider_payment_id"]
    made: str = client.v1.refunds.create({"payment_intent": intent, "amount": amount, **more}).id
    return made


async def as_it_was(till: Till, name: UUID) -> tuple[object, ...]:
    """All that a resolution could change."""
    pool = till.flows.pool
    row = await pool.fetchrow(
        "SELECT o.state, o.outcome, r.status, r.provider_refund_id, p.reserved, p.refunded FROM operations o"
        " JOIN refunds r USING (id) JOIN payments p ON p.id = o.payment_id WHERE o.id = $1",
        name,
    )
    count = await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'parked.resolve'")
    return (*tuple(row), count)  # type: ignore[arg-type]


async def test_a_refund_that_the_provider_does_not_have_is_not_taken_for_made(till: Till) -> None:
    desk, payment = Desk(till), await till.pay("o-1")
    name = await unfindable(till, desk, payment)
    before = await as_it_was(till, name)
    with pytest.raises(Refusal, match="has no refund re_TYPO of this payment") as refused:
        await desk.resolve(name, "happened", "re_TYPO")
    assert refused.value.why is Why.NOT_ALLOWED
    assert await as_it_was(till, name) == before
    made = await refund_externally(till, payment)
    await desk.resolve(name, "happened", made)
    assert (await till.get(f"/v1/refunds/{name}")).json["status"] == "succeeded", "as it was read, without an event"
    assert (await shown(till, payment))["amount_refunded"] == "5.00"


async def test_a_refund_of_another_payment_or_amount_or_name_is_not_taken_for_this_one(till: Till) -> None:
    desk, payment, other = Desk(till), await till.pay("o-1"), await till.pay("o-2")
    name = await unfindable(till, desk, payment)
    before = await as_it_was(till, name)
    elsewhere = await refund_externally(till, other)
    with pytest.raises(Refusal, match="of this payment"):
        await desk.resolve(name, "happened", elsewhere)
    another_amount = await refund_externally(till, payment, 400)
    with pytest.raises(Refusal, match=r"is for 4\.00 eur, and 5\.00 eur was asked for"):
        await desk.resolve(name, "happened", another_amount)
    named = await refund_externally(till, payment, metadata={"refund_id": str(UUID(int=5))})
    with pytest.raises(Refusal, match="bears the name of another refund"):
        await desk.resolve(name, "happened", named)
    assert await as_it_was(till, name) == before


@pytest.mark.parametrize(
    ("fault", "why", "sentence"),
    [
        ({"action": "status", "code": 503}, Why.NOT_YET, r"stripe can't be read now \(http_503\)"),
        ({"action": "reset", "times": 2}, Why.NOT_YET, "stripe can't be read now"),
        ({"action": "status", "code": 401}, Why.NOT_ALLOWED, "stripe refuses our key"),
        ({"action": "status", "code": 404}, Why.NOT_ALLOWED, "stripe does not tell of it"),
    ],
    ids=["503", "reset", "401", "404"],
)
@pytest.mark.parametrize("what", ["happened", "never"])
async def test_nothing_is_changed_while_the_provider_can_not_be_read(
    till: Till, what: Any, fault: dict[str, Any], why: Why, sentence: str
) -> None:
    desk, payment = Desk(till), await till.pay("o-1")
    name = await unfindable(till, desk, payment)
    before = await as_it_was(till, name)
    made = await refund_externally(till, payment)
    till.sandbox.faults({"match": REFUNDS, "phase": "before", "times": 1, **fault})
    with pytest.raises(Refusal, match=sentence) as refused:
        await desk.resolve(name, what, made)
    assert refused.value.why is why
    assert await as_it_was(till, name) == before
    await desk.resolve(name, "happened", made)
    assert (await shown(till, payment))["amount_refunded"] == "5.00"


async def test_a_refund_that_the_provider_has_made_is_not_said_never_to_have_been(till: Till) -> None:
    """Its amount would be free, and be given back a second time."""
    desk, payment = Desk(till), await till.pay("o-1")
    fault = {"match": {"method": "POST", "path": "/v1/refunds"}, "phase": "after", **PROXY}
    till.sandbox.faults(fault)
    await till.refund(payment, "5.00")
    name = await desk.parked("refund")
    before = await as_it_was(till, name)
    with pytest.raises(Refusal, match="say --happened re_") as refused:
        await desk.resolve(name, "never")
    assert await as_it_was(till, name) == before
    await desk.resolve(name, "happened", str(refused.value).removesuffix(".").split()[-1])
    assert (await till.get(f"/v1/refunds/{name}")).json["status"] == "succeeded"
    assert effects(till.sandbox, "refund.created") == 1


async def test_a_refund_is_not_said_never_to_have_been_while_not_all_of_them_can_be_read(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, payment = Desk(till), await till.pay("o-1")
    name = await unfindable(till, desk, payment)
    before = await as_it_was(till, name)
    for amount in (100, 200):
        await refund_externally(till, payment, amount)
    monkeypatch.setattr(adapter, "PAGE_SIZE", 1)
    monkeypatch.setattr(adapter, "REFUND_PAGES_MAX", 1)
    with pytest.raises(Refusal, match="Not all refunds of this payment could be read"):
        await desk.resolve(name, "never")
    assert await as_it_was(till, name) == before
    monkeypatch.setattr(adapter, "REFUND_PAGES_MAX", 2)
    await desk.resolve(name, "never")


async def test_a_pending_refund_that_a_person_found_ends_by_its_event(till: Till) -> None:
    desk, payment = Desk(till), await till.pay("o-1", method="pm_card_pendingRefund")
    name = await unfindable(till, desk, payment)
    made = await refund_externally(till, payment)
    await desk.resolve(name, "happened", made)
    refund = (await till.get(f"/v1/refunds/{name}")).json
    assert (refund["status"], refund["provider_refund_id"]) == ("pending", made)


async def test_the_same_resolution_again_is_answered_without_the_provider(till: Till) -> None:
    desk, payment = Desk(till), await till.pay("o-1")
    name = await unfindable(till, desk, payment)
    made = await refund_externally(till, payment)
    first = await desk.resolve(name, "happened", made, key="case-17")
    till.sandbox.faults({"match": REFUNDS, "phase": "before", "action": "status", "code": 503})
    assert await desk.resolve(name, "happened", made, key="case-17") == first


@pytest.mark.parametrize(("change", "status"), [("capture", "succeeded"), ("cancel", "canceled")])
async def test_a_capture_or_cancel_is_taken_for_done_only_if_the_provider_shows_it(
    till: Till, change: str, status: str
) -> None:
    desk, client = Desk(till), till.sandbox.client()
    await till.flows.accept("o-1", capture_method="manual")
    payment = await till.pay("o-1")
    intent = (await shown(till, payment))["provider_payment_id"]
    path = {"method": "POST", "path": f"/v1/payment_intents/{intent}/{change}"}
    till.sandbox.faults({"match": path, "phase": "before", **PROXY})
    await till.post(f"/v1/payments/{payment}/{change}", {})
    name = await desk.parked(change)
    for said, sentence in ((intent, "did not happen"), ("pi_TYPO", f"about {intent}")):
        with pytest.raises(Refusal, match=sentence):
            await desk.resolve(name, "happened", said)
    assert await desk.parked(change) == name
    getattr(client.v1.payment_intents, change)(intent)
    await desk.resolve(name, "happened", intent)
    assert (await shown(till, payment))["status"] == status, "as it was read, without an event"


async def test_a_read_has_not_happened_and_can_be_put_aside(till: Till) -> None:
    desk, payment = Desk(till), await till.pay("o-1")
    await till.flows.pool.execute(
        "INSERT INTO operations (id, payment_id, provider, kind, state, cause, request_method, request_path, request_body,"
        " api_version) VALUES ($1, $2, 'stripe', 'retrieve', 'parked', 'refunds:x', 'GET', '/v1/refunds', '', '')",
        UUID(int=9),
        payment,
    )
    with pytest.raises(Refusal, match="It only reads"):
        await desk.resolve(UUID(int=9), "happened", "re_1")
    await desk.resolve(UUID(int=9), "never")


async def test_a_transfer_back_is_compared_with_the_ledger_like_any_other_provider_s(database_dsn: str) -> None:
    """The ledger has made it, and its answer was lost."""
    async with open_bank(database_dsn) as bank:
        await bank.asked("o-1")
        await bank.take(reference("o-1"))
        asking = Asking(actor=CLERK, key="r-1", action="refund", payment_id=name_of("o-1"), asked={})
        wanted = Wanted(amount="5.00", reason="", metadata={})
        await Refunds(bank.surroundings).request(name_of("o-1"), wanted, asking)
        await bank.flows.settle_all()
        name: UUID = await bank.pool.fetchval(
            "UPDATE operations SET state = 'parked', outcome = 'unsettleable' WHERE kind = 'refund' RETURNING id"
        )
        await bank.pool.execute(
            "UPDATE refunds SET provider_refund_id = NULL, fact_rank = NULL, fact_at = NULL, fact_precedence = NULL,"
            " fact_source = NULL"
        )
        desk, made = Desk(bank), f"transfer-back-{name}"
        with pytest.raises(Refusal, match="has no refund transfer-back-7 of this payment"):
            await desk.resolve(name, "happened", "transfer-back-7")
        with pytest.raises(Refusal, match=f"say --happened {made}"):
            await desk.resolve(name, "never")
        assert await desk.parked("refund") == name
        await desk.resolve(name, "happened", made)
        row = await bank.pool.fetchrow("SELECT status, provider_refund_id FROM refunds")
        assert tuple(row) == ("pending", made)  # type: ignore[arg-type]
