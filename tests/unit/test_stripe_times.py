"""A payment has the same date in every object of Stripe."""

from __future__ import annotations

from typing import Any

import pytest

from payment_service.domain.payment import ChargeFact, Status
from payment_service.provider.listed_objects import ListedPage, ObjectKind
from payment_service.provider.stripe.object_lists import read_objects
from payment_service.provider.stripe.responses import Response
from payment_service.provider.stripe.times import occurred_at


@pytest.mark.parametrize(
    ("method", "capture_method", "date"),
    [
        pytest.param("card", "automatic", 100, id="a card: the charge"),
        pytest.param("card", "manual", 200, id="a card captured later: the capture"),
        pytest.param("sepa_debit", "automatic", 200, id="a debit: the bank's confirmation"),
    ],
)
def test_a_payment_is_dated_by_what_made_it_paid(method: str, capture_method: str, date: int) -> None:
    """A balance transaction of a card can be booked after the charge, with asynchronous capture
    (https://docs.stripe.com/payments/payment-intents/asynchronous-capture).
    """
    charge = {"created": 100, "balance_transaction": {"created": 200}, "payment_method_details": {"type": method}}
    intent: dict[str, Any] = {"capture_method": capture_method, "latest_charge": charge}
    assert occurred_at(intent, Status.SUCCEEDED) == date


@pytest.mark.parametrize(("method", "capture_method"), [("card", "manual"), ("sepa_debit", "automatic")])
@pytest.mark.parametrize("transaction", [None, "txn_1"])
def test_a_capture_that_is_not_booked_yet_has_no_date(method: str, capture_method: str, transaction: object) -> None:
    """The charge was made by the authorization, days ago. The balance transaction of an asynchronous capture is null at first
    (https://docs.stripe.com/payments/payment-intents/asynchronous-capture).
    """
    charge = {"created": 100, "balance_transaction": transaction, "payment_method_details": {"type": method}}
    intent: dict[str, Any] = {"capture_method": capture_method, "latest_charge": charge}
    assert occurred_at(intent, Status.SUCCEEDED) is None


def test_a_listed_charge_does_not_date_a_payment() -> None:
    """A charge of a manual capture is as old as its authorization, and does not show how it was captured."""
    charge = {
        "object": "charge", "id": "ch_1", "created": 100, "status": "succeeded", "captured": True, "amount": 500,
        "currency": "eur", "payment_intent": "pi_1", "payment_method_details": {"type": "card", "card": {}},
    }  # fmt: skip
    response = Response(status=200, headers={}, body={"data": [charge], "has_more": False})
    page = read_objects(ObjectKind.CHARGE, response, installation="", now_s=200)
    assert isinstance(page, ListedPage)
    assert [one.fact.captured_at for one in page.objects if isinstance(one.fact, ChargeFact)] == [None]
