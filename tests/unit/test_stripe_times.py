"""A payment has the same date in every object of Stripe."""

from __future__ import annotations

from typing import Any

import pytest

from payment_service.domain.payment import Status
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
