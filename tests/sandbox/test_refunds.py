"""Refunds through the official SDK: creation, validation, lists and updates."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from stripe_sandbox.resources.disputes import RULING_S
from tests.sandbox.refunds import charge_of, dispute_of, effects, events_since, paid, rejected
from tests.sandbox.test_cards import pay
from tests.support.sandbox import SandboxProcess


def test_card_refund_succeeds_at_once(client: Any, sandbox: SandboxProcess) -> None:
    intent = paid(client, metadata={"order_id": "1"})

    refund = client.v1.refunds.create(
        {
            "payment_intent": intent.id,
            "amount": 300,
            "reason": "requested_by_customer",
            "metadata": {"refund_id": "r-1"},
        }
    )

    assert (refund.status, refund.amount, refund.currency) == ("succeeded", 300, "usd")
    assert (refund.charge, refund.payment_intent) == (intent.latest_charge, intent.id)
    assert (refund.reason, refund.metadata["refund_id"]) == ("requested_by_customer", "r-1")
    assert not hasattr(refund, "livemode")
    charge = charge_of(client, intent)
    assert (charge.amount_refunded, charge.refunded) == (300, False)
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"
    assert events_since(client, intent) == ["refund.created", "charge.refunded"]
    assert effects(sandbox, refund.id) == [("refund.created", 300), ("refund.succeeded", 300)]
    [entry] = [one for one in sandbox.ledger() if one["effect"] == "refund.succeeded" and one["source"] == refund.id]
    assert entry["metadata"] == {"order_id": "1"}
    assert entry["source_metadata"] == {"refund_id": "r-1"}
    assert client.v1.refunds.retrieve(refund.id) == refund


def test_refund_without_an_amount_refunds_the_remainder(client: Any) -> None:
    intent = paid(client)
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 300})

    rest = client.v1.refunds.create({"charge": intent.latest_charge})

    assert rest.amount == 700
    charge = charge_of(client, intent)
    assert (charge.amount_refunded, charge.refunded) == (1000, True)


def test_refund_is_limited_to_the_captured_amount(client: Any) -> None:
    intent = pay(client, "pm_card_visa", capture_method="manual")
    client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 600})
    assert rejected(client, payment_intent=intent.id, amount=601).param == "amount"

    refund = client.v1.refunds.create({"payment_intent": intent.id})

    assert refund.amount == 600
    assert charge_of(client, intent).refunded


@pytest.mark.parametrize("amount", [701, 1001])
def test_refund_above_the_remainder_is_rejected_without_a_code(
    client: Any, sandbox: SandboxProcess, amount: int
) -> None:
    intent = paid(client)
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    before = len(sandbox.ledger())

    error = rejected(client, payment_intent=intent.id, amount=amount)

    assert (error.code, error.param) == (None, "amount")
    assert error.error is not None
    assert error.error.type == "invalid_request_error"
    assert charge_of(client, intent).amount_refunded == 300
    assert len(sandbox.ledger()) == before


def test_second_full_refund_is_rejected_with_a_code(client: Any) -> None:
    intent = paid(client)
    client.v1.refunds.create({"payment_intent": intent.id})

    assert rejected(client, payment_intent=intent.id).code == "charge_already_refunded"
    assert rejected(client, charge=intent.latest_charge, amount=1).code == "charge_already_refunded"


def test_authorization_cannot_be_refunded(client: Any) -> None:
    intent = pay(client, "pm_card_visa", capture_method="manual")

    for named in ({"payment_intent": intent.id}, {"charge": intent.latest_charge}):
        error = rejected(client, **named)
        assert error.code is None
        assert "cancel the PaymentIntent" in str(error)
    client.v1.payment_intents.cancel(intent.id)
    assert "successful charge" in str(rejected(client, payment_intent=intent.id))


def test_unpaid_intent_cannot_be_refunded(client: Any) -> None:
    bare = client.v1.payment_intents.create({"amount": 1000, "currency": "usd", "payment_method_types": ["card"]})
    assert "successful charge" in str(rejected(client, payment_intent=bare.id))

    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.confirm(bare.id, {"payment_method": "pm_card_chargeDeclined"})
    assert "successful charge" in str(rejected(client, payment_intent=bare.id))

    debit = pay(client, "pm_usBankAccount", payment_method_types=["us_bank_account"])
    assert "successful charge" in str(rejected(client, payment_intent=debit.id))


def test_disputed_charge_can_be_refunded_only_after_it_is_won(client: Any, sandbox: SandboxProcess) -> None:
    intent = paid(client, "pm_card_createDispute")
    assert rejected(client, payment_intent=intent.id).code == "charge_disputed"

    evidence = {"uncategorized_text": "winning_evidence"}
    client.v1.disputes.update(dispute_of(client, intent).id, {"evidence": evidence, "submit": True})
    assert rejected(client, payment_intent=intent.id, amount=1).code == "charge_disputed"
    sandbox.advance(RULING_S)

    assert dispute_of(client, intent).status == "won"
    assert client.v1.refunds.create({"payment_intent": intent.id}).amount == 1000


def test_lost_dispute_cannot_be_refunded(client: Any) -> None:
    intent = paid(client, "pm_card_createDispute")
    client.v1.disputes.close(dispute_of(client, intent).id)

    assert rejected(client, payment_intent=intent.id).code == "charge_disputed"


def test_charge_under_inquiry_can_be_refunded(client: Any) -> None:
    intent = paid(client, "pm_card_createDisputeInquiry")

    assert client.v1.refunds.create({"payment_intent": intent.id}).amount == 1000


INVALID: list[tuple[dict[str, Any], str | None, str | None]] = [
    ({}, None, None),
    ({"payment_intent": "pi_nothing"}, "resource_missing", "payment_intent"),
    ({"charge": "ch_nothing"}, "resource_missing", "charge"),
    ({"charge": ""}, "parameter_invalid_empty", "charge"),
    ({"amount": 0}, "parameter_invalid_integer", "amount"),
    ({"amount": -1}, "parameter_invalid_integer", "amount"),
    ({"amount": "1.5"}, "parameter_invalid_integer", "amount"),
    ({"reason": "expired_uncaptured_charge"}, None, "reason"),
    ({"color": "red"}, "parameter_unknown", "color"),
    ({"metadata": {"k" * 41: "v"}}, None, "metadata"),
]


@pytest.mark.parametrize(("params", "code", "param"), INVALID)
def test_invalid_refund_is_rejected_with_code_and_parameter(
    client: Any, params: dict[str, Any], code: str | None, param: str | None
) -> None:
    if params and not {"payment_intent", "charge"} & params.keys():
        params = {**params, "payment_intent": paid(client).id}

    error = rejected(client, **params)

    assert (error.code, error.param) == (code, param)


def test_charge_of_another_intent_is_rejected(client: Any) -> None:
    one, other = paid(client), paid(client)

    assert rejected(client, payment_intent=one.id, charge=other.latest_charge).param == "charge"
    assert client.v1.refunds.create({"payment_intent": one.id, "charge": one.latest_charge}).amount == 1000


@pytest.mark.parametrize(("currency", "amount", "bad"), [("kwd", 1000, 101), ("isk", 1000, 150)])
def test_refund_amount_must_fit_the_currency(client: Any, currency: str, amount: int, bad: int) -> None:
    intent = paid(client, currency=currency, amount=amount)

    error = rejected(client, payment_intent=intent.id, amount=bad)

    assert (error.code, error.param) == ("parameter_invalid_integer", "amount")


def test_hundred_concurrent_refunds_never_exceed_the_capture(client: Any, sandbox: SandboxProcess) -> None:
    intent = paid(client)

    def refund(number: int) -> int:
        try:
            made = client.v1.refunds.create({"payment_intent": intent.id, "amount": 30 + number % 7})
        except stripe.InvalidRequestError:
            return 0
        amount: int = made.amount
        return amount

    with ThreadPoolExecutor(16) as pool:
        amounts = list(pool.map(refund, range(100)))

    charge = charge_of(client, intent)
    assert 0 < sum(amounts) == charge.amount_refunded <= 1000
    assert charge.amount_refunded > 1000 - 36, "another refund would have fitted"
    listed = client.v1.refunds.list({"charge": charge.id, "limit": 100}).data
    assert sum(one.amount for one in listed) == charge.amount_refunded


def test_refunds_are_listed_by_charge_intent_and_cursor(client: Any) -> None:
    intent = paid(client)
    made = [client.v1.refunds.create({"payment_intent": intent.id, "amount": 100}).id for _ in range(3)]
    other = client.v1.refunds.create({"payment_intent": paid(client).id})

    def listed(**params: Any) -> list[str]:
        return [refund.id for refund in client.v1.refunds.list(params).data]

    assert listed(payment_intent=intent.id) == made[::-1]
    assert listed(charge=intent.latest_charge, limit=2) == [made[2], made[1]]
    assert listed(limit=1) == [other.id]
    assert listed(payment_intent=intent.id, starting_after=made[1]) == [made[0]]
    assert listed(payment_intent=intent.id, ending_before=made[1]) == [made[2]]
    assert listed(payment_intent=intent.id, created={"lt": 1}) == []
    walked = client.v1.refunds.list({"charge": intent.latest_charge, "limit": 1}).auto_paging_iter()
    assert [one.id for one in walked] == made[::-1]


def test_refund_and_charge_can_be_expanded_in_each_other(client: Any) -> None:
    intent = paid(client)
    expand = ["charge.refunds.data.balance_transaction", "payment_intent"]
    refund: Any = client.v1.refunds.create({"payment_intent": intent.id, "amount": 300, "expand": expand})

    assert refund.payment_intent.id == intent.id
    assert refund.charge.id == intent.latest_charge
    [expanded] = refund.charge.refunds.data
    assert (expanded.id, expanded.balance_transaction.amount) == (refund.id, -300)
    assert not hasattr(charge_of(client, intent), "refunds")


def test_refunds_of_a_charge_are_paged(client: Any) -> None:
    intent = paid(client)
    made = [client.v1.refunds.create({"payment_intent": intent.id, "amount": 50}).id for _ in range(12)]

    refunds = client.v1.charges.retrieve(str(intent.latest_charge), {"expand": ["refunds"]}).refunds

    assert (len(refunds.data), refunds.has_more) == (10, True)
    assert [refund.id for refund in refunds.auto_paging_iter()] == made[::-1]


def test_only_the_metadata_of_a_refund_can_be_changed(client: Any) -> None:
    intent = paid(client)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "metadata": {"a": "1", "b": "2"}})

    updated = client.v1.refunds.update(refund.id, {"metadata": {"a": "3", "b": "", "c": "4"}})

    assert updated.metadata.to_dict() == {"a": "3", "c": "4"}
    assert events_since(client, intent)[2:] == ["refund.updated", "charge.refund.updated"]
    for kind in ("refund.updated", "charge.refund.updated"):
        event = client.v1.events.list({"type": kind, "limit": 1}).data[0]
        assert (event.data.object.object, event.data.object.id) == ("refund", refund.id)
        assert event.data.previous_attributes.to_dict() == {"metadata": {"a": "1", "b": "2", "c": None}}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.update(refund.id, {"amount": 100})
    assert caught.value.code == "parameter_unknown"


def test_update_without_changes_generates_no_event(client: Any) -> None:
    intent = paid(client)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "metadata": {"a": "1"}})

    client.v1.refunds.update(refund.id, {"metadata": {"a": "1"}})

    assert events_since(client, intent) == ["refund.created", "charge.refunded"]


def test_refund_replayed_under_its_key_is_created_once(client: Any) -> None:
    intent = paid(client)
    params = {"payment_intent": intent.id, "amount": 300}

    first, again = (client.v1.refunds.create(params, {"idempotency_key": f"refund:{intent.id}"}) for _ in range(2))

    assert first.id == again.id
    assert charge_of(client, intent).amount_refunded == 300


def test_unknown_refund_is_404(client: Any) -> None:
    for call in (client.v1.refunds.retrieve, client.v1.refunds.update, client.v1.refunds.cancel):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            call("re_nothing")
        assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
