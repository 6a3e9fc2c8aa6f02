"""Balance transactions and the balance, through the official SDK."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from stripe_sandbox.resources.charges import POSTING_S
from tests.sandbox.test_cards import event_types, pay
from tests.support.eventually import eventually
from tests.support.sandbox import SandboxProcess

DAY_S = 24 * 3600
AT_ONCE: dict[str, Any] = {"capture_method": "automatic"}


def transactions_of(client: Any, source: str) -> list[tuple[str, int, int, int]]:
    """Return (type, amount, fee, net) of each balance transaction of `source`, oldest first."""
    listed = client.v1.balance_transactions.list({"source": source, "limit": 100}).data
    return [(one.type, one.amount, one.fee, one.net) for one in reversed(listed)]


def balance_in(client: Any, currency: str) -> dict[str, int]:
    """Return the available and pending balance in one currency."""
    balance = client.v1.balance.retrieve()
    return {
        name: sum(part.amount for part in getattr(balance, name) if part.currency == currency)
        for name in ("available", "pending")
    }


def test_charge_adds_its_amount_minus_the_fee(client: Any) -> None:
    intent = pay(client, "pm_card_visa", **AT_ONCE, expand=["latest_charge.balance_transaction"])

    assert isinstance(intent.latest_charge, stripe.Charge)
    booked: Any = intent.latest_charge.balance_transaction
    assert (booked.type, booked.reporting_category, booked.amount, booked.fee, booked.net) == (
        "charge",
        "charge",
        1000,
        59,
        941,
    )
    assert [(one.type, one.amount) for one in booked.fee_details] == [("stripe_fee", 59)]
    assert booked.source == intent.latest_charge.id
    assert client.v1.balance_transactions.retrieve(booked.id) == booked


@pytest.mark.parametrize(("amount", "currency", "fee"), [(50, "usd", 31), (1017, "eur", 59), (1018, "eur", 60)])
def test_fee_is_rounded_to_whole_minor_units(client: Any, amount: int, currency: str, fee: int) -> None:
    """The fee is 2.9 % plus 30 units; half a unit is rounded up."""
    intent = pay(client, "pm_card_visa", **AT_ONCE, amount=amount, currency=currency)

    assert transactions_of(client, str(intent.latest_charge)) == [("charge", amount, fee, amount - fee)]


def test_asynchronous_capture_gets_its_balance_transaction_later(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_card_visa", capture_method="automatic_async")
    charge = client.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.status, charge.captured, charge.balance_transaction) == ("succeeded", True, None)

    sandbox.advance(POSTING_S)

    [updated] = [
        event
        for event in client.v1.events.list({"type": "charge.updated"}).data
        if event.data.object.id == intent.latest_charge
    ]
    assert updated.data.previous_attributes.to_dict() == {"balance_transaction": None}
    charge = client.v1.charges.retrieve(str(intent.latest_charge))
    assert charge.balance_transaction == updated.data.object.balance_transaction
    assert transactions_of(client, charge.id) == [("charge", 1000, 59, 941)]
    assert event_types(client, intent.id)[-2:] == ["payment_intent.succeeded", "charge.updated"]


def test_asynchronous_capture_is_booked_in_real_time(client: Any) -> None:
    intent = pay(client, "pm_card_visa")

    eventually(lambda: client.v1.charges.retrieve(str(intent.latest_charge)).balance_transaction)


def test_only_the_captured_amount_is_booked(client: Any) -> None:
    intent = pay(client, "pm_card_visa", capture_method="manual")
    assert transactions_of(client, str(intent.latest_charge)) == []

    client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 600})

    assert transactions_of(client, str(intent.latest_charge)) == [("charge", 600, 47, 553)]


def test_debit_and_its_refund_have_payment_types(client: Any, sandbox: SandboxProcess) -> None:
    """Stripe uses the types `payment` and `payment_refund` for bank debits."""
    intent = pay(client, "pm_usBankAccount", payment_method_types=["us_bank_account"])
    assert transactions_of(client, str(intent.latest_charge)) == []
    sandbox.settle(intent.id)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 400})
    sandbox.settle_refund(refund.id, "fail")

    assert transactions_of(client, str(intent.latest_charge)) == [("payment", 1000, 59, 941)]
    assert transactions_of(client, refund.id) == [
        ("payment_refund", -400, 0, -400),
        ("payment_failure_refund", 400, 0, 400),
    ]


def test_failed_refund_returns_its_amount_to_the_balance(client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client, "pm_card_visa", **AT_ONCE)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    assert transactions_of(client, refund.id) == [("refund", -300, 0, -300)]

    sandbox.settle_refund(refund.id, "fail")

    assert transactions_of(client, refund.id) == [("refund", -300, 0, -300), ("refund_failure", 300, 0, 300)]
    expand = ["balance_transaction.source", "failure_balance_transaction"]
    failed: Any = client.v1.refunds.retrieve(refund.id, {"expand": expand})
    assert (failed.balance_transaction.amount, failed.failure_balance_transaction.amount) == (-300, 300)
    assert failed.balance_transaction.source.id == refund.id
    assert failed.failure_balance_transaction.reporting_category == "refund_failure"


def test_funds_become_available_after_days_and_refunds_reduce_them_at_once(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    client: Any = own_sandbox.client()
    assert balance_in(client, "usd") == {"available": 0, "pending": 0}
    intent = pay(client, "pm_card_visa", **AT_ONCE)
    pay(client, "pm_card_visa", **AT_ONCE, currency="eur")
    assert balance_in(client, "usd") == {"available": 0, "pending": 941}

    client.v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    assert balance_in(client, "usd") == {"available": -300, "pending": 941}

    own_sandbox.advance(2 * DAY_S)

    assert balance_in(client, "usd") == {"available": 641, "pending": 0}
    assert balance_in(client, "eur") == {"available": 941, "pending": 0}
    assert {one.status for one in client.v1.balance_transactions.list().data} == {"available"}
    pay(client, "pm_card_visa", **AT_ONCE)
    assert balance_in(client, "usd") == {"available": 641, "pending": 941}
    own_sandbox.kill()
    own_sandbox.start()
    assert balance_in(own_sandbox.client(), "usd") == {"available": 641, "pending": 941}


def test_bypass_pending_card_makes_funds_available_at_once(client: Any) -> None:
    intent = pay(client, "pm_card_bypassPending", **AT_ONCE, expand=["latest_charge.balance_transaction"])

    assert isinstance(intent.latest_charge, stripe.Charge)
    booked: Any = intent.latest_charge.balance_transaction
    assert (booked.status, booked.available_on) == ("available", booked.created)


def test_balance_transactions_are_listed_by_type_currency_and_cursor(client: Any) -> None:
    intent = pay(client, "pm_card_visa", **AT_ONCE, currency="chf")
    for _ in range(3):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 100})

    def listed(**params: Any) -> list[str]:
        return [one.type for one in client.v1.balance_transactions.list({"currency": "chf", **params}).data]

    assert listed() == ["refund", "refund", "refund", "charge"]
    assert listed(type="charge") == ["charge"]
    assert listed(payout="po_nothing") == []
    newest = client.v1.balance_transactions.list({"currency": "chf", "limit": 1}).data[0]
    assert listed(starting_after=newest.id) == ["refund", "refund", "charge"]
    assert listed(created={"gt": newest.created + 1}) == []


def test_unknown_balance_transaction_is_404(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.balance_transactions.retrieve("txn_nothing")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
