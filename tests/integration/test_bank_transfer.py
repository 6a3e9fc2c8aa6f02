"""Test payments by bank transfer on a real database: expected money, unexpected money, and refunds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from stdnum import iso11649

from payment_service.bank_transfer.contracts import BankTransferPay
from payment_service.bank_transfer.transfers import TransferOutcome
from payment_service.db import payments
from payment_service.db.gauges import sample
from payment_service.db.operations import NewOperation, enqueue
from payment_service.flows.requests.checkout import Checkouts
from payment_service.flows.state.errors import Refusal
from payment_service.flows.timers.expiry import Expiry
from payment_service.provider.port import Kind
from payment_service.telemetry import metrics
from tests.support.bank import CLERK, Bank, open_bank, reference, refund
from tests.support.eventually import eventually_async
from tests.support.flows import name_of
from tests.support.operator import Operator


@pytest.fixture
async def bank(database_dsn: str) -> AsyncIterator[Bank]:
    async with open_bank(database_dsn) as opened:
        yield opened


async def cancel(bank: Bank, order_id: str) -> None:
    """Enqueue a cancellation, as expiry does."""
    request = bank.provider.cancel_request(reference(order_id), reason="abandoned")
    operation = NewOperation(
        id=uuid4(),
        payment_id=name_of(order_id),
        provider="bank_transfer",
        kind=Kind.CANCEL,
        cause="expiry",
        request=request,
    )
    async with bank.pool.acquire() as connection:
        await enqueue(connection, [operation])
    bank.dispatcher.wake()


async def test_checkout_shows_the_transfer_details_until_the_payment_ends(bank: Bank) -> None:
    await bank.create_payments("o-1", "o-2")
    checkouts = Checkouts(bank.context, rate_per_s=1000)
    offered = await checkouts.offer("o-1")
    assert (offered.next, offered.amount, offered.currency) == ("pay", "19.90", "eur")
    assert offered.pay is not None
    assert BankTransferPay.model_validate(offered.pay.model_dump()).model_dump() == {
        "provider": "bank_transfer",
        "iban": bank.provider.account,
        "account_holder": bank.provider.holder,
        "reference": reference("o-1"),
    }
    await cancel(bank, "o-2")
    await bank.flows.run_calls()
    ended = await checkouts.offer("o-2")
    assert (ended.next, ended.pay) == ("open_new", None)


async def test_an_intent_exists_at_once_and_is_named_by_its_reference(bank: Bank) -> None:
    await bank.create_payments("o-1")
    payment = await bank.flows.payment("o-1")
    assert (payment["status"], payment["provider_payment_id"]) == ("pending", reference("o-1"))
    assert await bank.published("o-1") == ["initiated"]
    value = await bank.pool.fetchval("SELECT payload FROM outbox")
    assert b'"method":"bank_transfer"' in value


@pytest.mark.parametrize("text", ["{}", "Order 7, ref. {}, thank you", "\tinv/{}/2026"])
async def test_a_transfer_with_the_right_reference_and_amount_pays_the_payment(bank: Bank, text: str) -> None:
    await bank.create_payments("o-1")
    taken = await bank.take(text.format(iso11649.format(reference("o-1")).lower()))
    assert (taken.outcome, taken.payment_id) == (TransferOutcome.PAID, name_of("o-1"))
    payment = await bank.flows.payment("o-1")
    assert (payment["status"], payment["captured"], payment["payment_method_type"]) == (
        "succeeded",
        1990,
        "bank_transfer",
    )
    assert await bank.published("o-1") == ["initiated", "succeeded"]
    assert await bank.events() == [("transfer.matched", "applied", None)]


async def test_importing_the_same_transaction_again_changes_nothing(bank: Bank) -> None:
    await bank.create_payments("o-1", "o-2")
    text = reference("o-1")
    became = [(await bank.take(text)).outcome, (await bank.take(text)).outcome]
    assert became == [TransferOutcome.PAID, TransferOutcome.KNOWN]
    assert (await bank.take(reference("o-2"), amount="20.00")).outcome is TransferOutcome.CONTRADICTED
    assert await bank.published("o-1") == ["initiated", "succeeded"]
    assert len(await bank.events()) == 1


async def test_a_transaction_id_reused_for_another_payment_is_reported(bank: Bank) -> None:
    """Some banks restart their transaction numbers each day.

    Otherwise the second customer's money would go unnoticed.
    """
    await bank.create_payments("o-1", "o-2")
    await bank.take(reference("o-1"))
    assert (await bank.take("as on the slip")).outcome is TransferOutcome.KNOWN
    taken = await bank.take(reference("o-2"))
    assert (taken.outcome, "another payment" in taken.reason) == (TransferOutcome.CONTRADICTED, True)
    assert await bank.status("o-2") == "pending"


async def test_an_unmatched_transfer_pays_the_payment_an_operator_assigns_once(bank: Bank) -> None:
    await bank.create_payments("o-1", "o-2")
    assert (await bank.take("for my shoes")).outcome is TransferOutcome.UNMATCHED
    results = await asyncio.gather(
        *(bank.take(reference(name)) for name in ("o-1", "o-2") for _ in range(3)), return_exceptions=True
    )
    became = sorted(one.outcome for one in results if not isinstance(one, BaseException))
    await bank.flows.run_calls()
    assert became.count(TransferOutcome.PAID) == 1
    assert sorted([await bank.status("o-1"), await bank.status("o-2")]) == ["pending", "succeeded"]
    assert (await bank.take("for my shoes")).outcome is TransferOutcome.KNOWN


@pytest.mark.invariant("I9")
@pytest.mark.invariant("I9")
async def test_transfer_closed_by_an_operator_pays_nothing_when_imported_again(bank: Bank) -> None:
    """The operator transferred it back, and then its order arrives, or the same line is assigned."""
    assert (await bank.take(reference("o-1"))).outcome is TransferOutcome.UNMATCHED
    await bank.flows.pool.execute("UPDATE bank_transfers SET outcome = 'transfer.closed'")
    await bank.create_payments("o-1")
    assert (await bank.take(reference("o-1"))).outcome is TransferOutcome.KNOWN
    assert await bank.status("o-1") == "pending"


async def test_concurrent_imports_of_the_same_transactions_apply_them_once(bank: Bank) -> None:
    names = [f"o-{i}" for i in range(8)]
    await bank.create_payments(*names)
    results = await asyncio.gather(
        *(bank.take(reference(name), transaction_id=name) for name in names for _ in range(6)), return_exceptions=True
    )
    became = [one.outcome for one in results if not isinstance(one, BaseException)]
    assert became.count(TransferOutcome.PAID) == 8
    assert set(became) == {TransferOutcome.PAID, TransferOutcome.KNOWN}
    await bank.flows.run_calls()
    assert {await bank.status(name) for name in names} == {"succeeded"}
    assert [await bank.published(name) for name in names] == [["initiated", "succeeded"]] * 8


@pytest.mark.invariant("I7")
@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [("19.89", "EUR", "too little"), ("19.91", "EUR", "too much"), ("19.90", "USD", "another currency")],
)
async def test_a_transfer_of_a_wrong_amount_is_parked_and_the_payment_stays_open(
    bank: Bank, amount: str, currency: str, reason: str
) -> None:
    await bank.create_payments("o-1")
    taken = await bank.take(reference("o-1"), amount=amount, currency=currency)
    assert taken.outcome is TransferOutcome.PARKED
    assert reason in taken.reason
    assert await bank.status("o-1") == "pending"
    assert await bank.events() == [("transfer.unexpected", "unexpected_money", "unexpected_money")]
    assert (await bank.take(reference("o-1"), transaction_id="t-2")).outcome is TransferOutcome.PAID


async def test_a_second_transfer_for_a_paid_payment_is_parked(bank: Bank) -> None:
    await bank.create_payments("o-1")
    await bank.take(reference("o-1"))
    taken = await bank.take(reference("o-1"), transaction_id="t-2")
    assert (taken.outcome, taken.reason) == (TransferOutcome.PARKED, "it had been paid before")
    assert (await bank.flows.payment("o-1"))["captured"] == 1990
    assert ("transfer.unexpected", "unexpected_money", "unexpected_money") in await bank.events()


async def test_a_transfer_after_cancellation_is_parked_and_changes_no_status(bank: Bank) -> None:
    await bank.create_payments("o-1")
    await cancel(bank, "o-1")
    await bank.flows.run_calls()
    assert await bank.status("o-1") == "canceled"
    assert (await bank.take(reference("o-1"))).reason == "it had been canceled"
    assert await bank.status("o-1") == "canceled"
    assert await bank.events() == [("transfer.unexpected", "unexpected_money", "unexpected_money")]


async def test_a_payment_without_a_transfer_expires_and_is_published(bank: Bank) -> None:
    """It expires after the days that a transfer takes, regardless of the expiry for cards."""
    await bank.create_payments("o-1")
    bank.flows.clock.ahead = timedelta(days=13)
    assert await Expiry(bank.context).expire_once() == 0
    bank.flows.clock.ahead = timedelta(days=15)
    assert await Expiry(bank.context).expire_once() == 1
    await bank.flows.run_calls()
    assert await bank.status("o-1") == "canceled"
    payload = await bank.pool.fetchval("SELECT payload FROM outbox WHERE type = 'payments.failed'")
    assert json.loads(payload)["code"] == "expired"


async def test_a_cancellation_after_payment_changes_nothing_and_is_no_error(bank: Bank) -> None:
    await bank.create_payments("o-1")
    await bank.take(reference("o-1"))
    await cancel(bank, "o-1")
    await bank.flows.run_calls()
    operation = await bank.flows.operation("o-1", "cancel")
    assert (operation["state"], operation["outcome"]) == ("refused", "wrong_state")
    assert await bank.status("o-1") == "succeeded"


@pytest.mark.invariant("I1")
async def test_a_transfer_racing_a_cancellation_ends_in_exactly_one_outcome(bank: Bank) -> None:
    names = [f"o-{i}" for i in range(40)]
    await bank.create_payments(*names)
    taken = await asyncio.gather(
        *(bank.take(reference(name), transaction_id=name) for name in names), *(cancel(bank, name) for name in names)
    )
    await bank.flows.run_calls()

    async def all_applied() -> bool:
        return not await bank.pool.fetchval(
            "SELECT count(*) FROM payment_events WHERE retry_at IS NOT NULL AND NOT processed"
        )

    await eventually_async(all_applied)
    for name, what in zip(names, taken[: len(names)], strict=True):
        assert what is not None
        ended = "succeeded" if what.outcome is TransferOutcome.PAID else "canceled"
        published = await bank.published(name)
        assert await bank.status(name) == ended
        assert published[0] == "initiated"
        assert published[1:] == (["succeeded"] if ended == "succeeded" else ["canceled", "failed"])
    assert not await bank.pool.fetchval("SELECT count(*) FROM operations WHERE state = 'parked'")


async def test_a_transfer_for_a_locked_payment_is_applied_later(bank: Bank) -> None:
    await bank.create_payments("o-1")
    async with bank.pool.acquire() as holder, holder.transaction():
        await payments.lock_one(holder, name_of("o-1"))
        assert (await bank.take(reference("o-1"))).outcome is TransferOutcome.PAID
        assert await bank.events() == [("transfer.matched", "waiting", None)]

    async def paid() -> bool:
        return await bank.status("o-1") == "succeeded"

    await eventually_async(paid)


@pytest.mark.parametrize("text", ["", "invoice 4711", "RF18539007547034"])
async def test_a_transfer_without_our_reference_is_stored_as_unmatched(bank: Bank, text: str) -> None:
    taken = await bank.take(f"{text} 4242 4242 4242 4242")
    assert taken.outcome is TransferOutcome.UNMATCHED
    assert await bank.events() == [("transfer.unmatched", "external", None)]
    stored = await bank.pool.fetchrow("SELECT text, outcome, amount FROM bank_transfers")
    assert stored is not None
    assert (stored["outcome"], stored["amount"]) == ("transfer.unmatched", 1990)
    assert "4242 4242" not in stored["text"]
    assert "4242 4242" not in await bank.pool.fetchval("SELECT payload::text FROM payment_events")


async def test_unmatched_transfers_are_measured_until_they_are_closed(bank: Bank) -> None:
    await bank.take("for you")
    await sample(bank.pool)
    gauge = metrics.NEEDS_ATTENTION.labels("transfer", "no_reference")
    assert gauge._value.get() == 1
    await Operator(bank).resolve("t-1", "close")
    await sample(bank.pool)
    assert gauge._value.get() == 0


async def test_a_transfer_naming_several_payments_is_parked_and_pays_none(bank: Bank) -> None:
    await bank.create_payments("o-1", "o-2")
    taken = await bank.take(f"{reference('o-1')} {reference('o-2')}")
    assert (taken.outcome, taken.reason) == (TransferOutcome.PARKED, "it names several payments")
    assert {await bank.status("o-1"), await bank.status("o-2")} == {"pending"}


async def test_the_importer_of_a_transfer_is_recorded(bank: Bank) -> None:
    await bank.create_payments("o-1")
    await bank.take(reference("o-1"))
    noted = await bank.pool.fetchrow("SELECT client, action, payment_id, detail::text AS detail FROM audit")
    assert noted is not None
    assert (noted["client"], noted["action"], noted["payment_id"]) == (CLERK.client, "bank.transfer", name_of("o-1"))
    assert "19.90 eur" in noted["detail"]
    assert await bank.pool.fetchval("SELECT verified_by FROM payment_events") == f"operator:{CLERK.client}"


@pytest.mark.parametrize(("order", "configured"), [({"capture_method": "manual"}, "automatic"), ({}, "manual")])
async def test_a_bank_transfer_is_always_captured_automatically(
    database_dsn: str, order: dict[str, str], configured: str
) -> None:
    """This holds for any order or default setting: a transfer cannot be authorized first."""
    async with open_bank(database_dsn, capture_method=configured) as bank:
        await bank.flows.accept("o-1", **order)
        await bank.flows.run_calls()
        assert (await bank.flows.payment("o-1"))["capture_method"] == "automatic"
        await bank.take(reference("o-1"))
        assert await bank.published("o-1") == ["initiated", "succeeded"]
        await bank.flows.accept("o-2", payment_provider="stripe", **order)
        assert (await bank.flows.payment("o-2"))["capture_method"] == "manual", "a card payment can be authorized first"


async def test_a_refund_is_pending_until_an_operator_confirms_the_transfer(bank: Bank) -> None:
    await bank.create_payments("o-1")
    await bank.take(reference("o-1"))
    refund_id = await refund(bank, "o-1", "5.00")
    payment = await bank.flows.payment("o-1")
    assert (payment["refunded"], payment["reserved"]) == (0, 500)
    for _ in range(2):
        await bank.transfers.end_refund(refund_id, CLERK)
    payment = await bank.flows.payment("o-1")
    assert (payment["refunded"], payment["reserved"]) == (500, 0)
    assert await bank.published("o-1") == ["initiated", "succeeded", "refund_initiated", "refunded"]


async def test_a_failed_refund_transfer_restores_the_refundable_amount_even_late(bank: Bank) -> None:
    await bank.create_payments("o-1")
    await bank.take(reference("o-1"))
    refund_id = await refund(bank, "o-1")
    await bank.transfers.end_refund(refund_id, CLERK)
    await bank.transfers.end_refund(refund_id, CLERK, failure="account_closed")
    payment = await bank.flows.payment("o-1")
    assert (payment["refunded"], payment["reserved"]) == (0, 0)
    assert (await bank.published("o-1"))[-1] == "refund_failed"
    with pytest.raises(Refusal, match="final"):
        await bank.transfers.end_refund(refund_id, CLERK)


async def test_a_refund_missing_from_the_ledger_cannot_be_completed(bank: Bank) -> None:
    with pytest.raises(Refusal, match="no refund with this id"):
        await bank.transfers.end_refund(uuid4(), CLERK)


async def test_refunds_never_exceed_the_received_amount(bank: Bank) -> None:
    await bank.create_payments("o-1")
    await bank.take(reference("o-1"))
    wanted = await asyncio.gather(
        *(refund(bank, "o-1", "4.00", key=f"r-{i}") for i in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, UUID) for one in wanted) == 4
    assert (await bank.flows.payment("o-1"))["reserved"] == 1600
    assert await bank.pool.fetchval("SELECT sum(amount)::int FROM bank_refunds") == 1600
