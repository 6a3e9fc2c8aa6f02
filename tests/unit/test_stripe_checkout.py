"""Stripe's answer to a read becomes a checkout or a transient error.

No other intent's secret is returned, and no `repr` shows a secret.
"""

from __future__ import annotations

from typing import Any

import pytest

from payment_service.contracts.api import Checkout as Offered
from payment_service.http.examples import RESPONSES
from payment_service.provider.port import Checkout, Transient
from payment_service.provider.stripe.checkout import read_checkout
from payment_service.provider.stripe.pay import StripePay
from payment_service.provider.stripe.responses import Response

SECRET = "pi_1_secret_canary"
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "requires_payment_method",
    "amount": 1990,
    "amount_received": 0,
    "currency": "eur",
    "client_secret": SECRET,
    "payment_method_types": ["card", "link"],
}
HEADERS = {"Date": "Wed, 25 Nov 2026 15:42:37 GMT", "Request-Id": "req_1"}


def read(status: int = 200, body: object = INTENT, **headers: str) -> Checkout | Transient:
    answer = Response(status=status, headers={**HEADERS, **headers}, body=body)
    return read_checkout(answer, "pi_1", publishable_key="pk_test_1", now_s=0)


def test_a_checkout_has_the_key_the_secret_and_the_method_types() -> None:
    found = read()
    assert isinstance(found, Checkout)
    assert found.pay == {"publishable_key": "pk_test_1", "client_secret": SECRET, "method_types": ["card", "link"]}
    assert found.fact is not None
    assert (found.fact.intent_id, found.fact.amount.decimal_text, found.fact.status) == ("pi_1", "19.90", "pending")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "pi_2"},
        {"id": "pi_2", "client_secret": "pi_2_secret_canary"},
        {"client_secret": "pi_2_secret_canary"},
        {"client_secret": "pi_1_secret_"},
        {"client_secret": "pi_1"},
        {"client_secret": None},
        {"client_secret": ["pi_1_secret_canary"]},
        {"client_secret": "pi_1_secret_<script>"},
        {"payment_method_types": None},
        {"status": "new"},
        {"amount": "1990"},
        {"currency": "xyz"},
    ],
)
def test_an_unexpected_answer_gives_no_secret(changes: dict[str, Any]) -> None:
    assert isinstance(read(body={**INTENT, **changes}), Transient)


@pytest.mark.parametrize("status", [201, 302, 400, 401, 403, 404, 409, 429, 500, 503])
@pytest.mark.parametrize("body", [INTENT, {"error": {"message": SECRET}}, None, [], "text"])
def test_an_error_answer_is_transient_and_not_repeated(status: int, body: object) -> None:
    found = read(status, body, **{"Retry-After": "7"})
    assert found == Transient(code=f"http_{status}", retry_after_s=7, request_id="req_1")


def test_the_documented_example_is_a_valid_checkout() -> None:
    example = RESPONSES["read_checkout"]
    assert Offered.model_validate(example).model_dump(mode="json") == example
    StripePay.model_validate(example["pay"])


@pytest.mark.invariant("I12")
def test_no_repr_shows_a_secret() -> None:
    found = read()
    assert isinstance(found, Checkout)
    pay = StripePay(provider="stripe", **found.pay)
    fields = {
        "payment_id": "6f1d9a52-0c4e-4b7b-9d53-2f5b1a7c8e10",
        "order_id": "o-1",
        "status": "pending",
        "amount": "1.00",
    }
    fields |= {"currency": "eur", "provider": "stripe", "next": "pay", "detail": ""}
    offered = Offered.model_validate({**fields, "pay": {"provider": "stripe", **found.pay}})
    other = Offered.model_validate({**fields, "pay": {"provider": "another", "reference": SECRET}})
    for thing in (found, pay, offered, other):
        assert "canary" not in f"{thing!r} {thing}"
    assert SECRET in offered.model_dump_json()
    assert SECRET in other.model_dump_json()
