"""PaymentIntents through the official SDK: validation, errors, lists and API keys."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from typing import Any

import pytest
import stripe

from tests.support.sandbox import API_KEY, SandboxProcess

GOOD: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}

INVALID = [
    ({"amount": 0}, "parameter_invalid_integer", "amount"),
    ({"amount": -1}, "parameter_invalid_integer", "amount"),
    ({"amount": "10.5"}, "parameter_invalid_integer", "amount"),
    ({"amount": "9" * 5000}, "parameter_invalid_integer", "amount"),
    ({"amount": 49}, "amount_too_small", "amount"),
    ({"amount": 49, "currency": "jpy"}, "amount_too_small", "amount"),
    ({"amount": 100_000_000}, "amount_too_large", "amount"),
    ({"amount": 501, "currency": "isk"}, "parameter_invalid_integer", "amount"),
    ({"amount": 501, "currency": "ugx"}, "parameter_invalid_integer", "amount"),
    ({"amount": 1001, "currency": "kwd"}, "parameter_invalid_integer", "amount"),
    ({"currency": "zzz"}, None, "currency"),
    ({"color": "red"}, "parameter_unknown", "color"),
    ({"automatic_payment_methods": {"enabled": True, "x": 1}}, "parameter_unknown", "automatic_payment_methods[x]"),
    ({"description": "x" * 1001}, "parameter_invalid_string_length", "description"),
    ({"payment_method": ""}, "parameter_invalid_empty", "payment_method"),
    ({"metadata": {"k" * 41: "v"}}, None, "metadata"),
    ({"metadata": {"k": "v" * 501}}, None, "metadata[k]"),
    ({"metadata": {str(n) + "k": "v" for n in range(51)}}, None, "metadata"),
    ({"payment_method": "pm_nothing"}, "resource_missing", "payment_method"),
    ({"customer": "cus_nothing"}, "resource_missing", "customer"),
    ({"capture_method": "later"}, None, "capture_method"),
    ({"return_url": "https://shop.example"}, None, "return_url"),
    ({"statement_descriptor": "12345"}, None, "statement_descriptor"),
    ({"statement_descriptor": "shop"}, None, "statement_descriptor"),
    ({"statement_descriptor": "My <shop>"}, "invalid_characters", "statement_descriptor"),
    ({"statement_descriptor_suffix": "a*b"}, "invalid_characters", "statement_descriptor_suffix"),
    ({"statement_descriptor_suffix": "x" * 23}, "parameter_invalid_string_length", "statement_descriptor_suffix"),
    ({"payment_method": "pm_usBankAccount"}, "payment_intent_incompatible_payment_method", "payment_method"),
]


@pytest.mark.parametrize(("change", "code", "param"), INVALID)
def test_invalid_create_names_code_and_parameter_and_creates_nothing(
    client: Any, sandbox: SandboxProcess, change: dict[str, Any], code: str | None, param: str
) -> None:
    before = len(sandbox.ledger())

    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.create({**GOOD, **change})

    assert caught.value.http_status == 400
    assert (caught.value.code, caught.value.param) == (code, param)
    assert len(sandbox.ledger()) == before


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(50, "usd"), (50, "USD"), (99_999_999, "eur"), (50, "jpy"), (500, "isk"), (1000, "kwd"), (1, "xaf")],
)
def test_valid_amount_is_accepted(client: Any, amount: int, currency: str) -> None:
    intent = client.v1.payment_intents.create({**GOOD, "amount": amount, "currency": currency})
    assert (intent.amount, intent.currency) == (amount, currency.lower())


# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts, in minor units.
MINIMUMS = (
    "usd 50, aed 200, ars 50, aud 50, brl 50, cad 50, chf 50, cop 50, czk 1500, dkk 250, eur 50, gbp 30, hkd 400,"
    "huf 17500, idr 50, ils 50, inr 50, jpy 50, krw 50, mxn 1000, myr 200, nok 300, nzd 50, php 50, pln 200, ron 200,"
    "rub 50, sek 300, sgd 50, thb 1000, zar 50, bgn 100"
)


@pytest.mark.parametrize("row", MINIMUMS.split(","))
def test_minimum_amount_of_each_currency_is_enforced(client: Any, row: str) -> None:
    currency, minimum = row.split()
    made = client.v1.payment_intents.create({**GOOD, "amount": int(minimum), "currency": currency})
    assert made.amount == int(minimum)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.create({**GOOD, "amount": int(minimum) - 1, "currency": currency})
    assert (caught.value.code, caught.value.param) == ("amount_too_small", "amount")


def test_metadata_is_accepted_up_to_its_limits(client: Any) -> None:
    most = {f"{n:02}".rjust(40, "k"): "v" * 500 for n in range(50)}
    intent = client.v1.payment_intents.create({**GOOD, "metadata": most})
    assert intent.metadata.to_dict() == most
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.update(intent.id, {"metadata": {"one_more": "x"}})
    assert client.v1.payment_intents.update(intent.id, {"metadata": ""}).metadata.to_dict() == {}


def test_charge_keeps_the_metadata_of_its_creation(client: Any) -> None:
    """Metadata is copied once; later changes of the intent do not reach the charge."""
    intent = client.v1.payment_intents.create({**GOOD, "metadata": {"order_id": "1"}})
    paid = client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    client.v1.payment_intents.update(intent.id, {"metadata": {"order_id": "2"}})
    assert client.v1.charges.retrieve(paid.latest_charge).metadata.to_dict() == {"order_id": "1"}


def test_statement_descriptor_is_for_debits_and_its_suffix_for_cards(client: Any) -> None:
    types = {"payment_method_types": ["card", "us_bank_account"], "statement_descriptor": "THE SHOP"}
    intent = client.v1.payment_intents.create({**GOOD, **types})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (caught.value.http_status, caught.value.param) == (400, "statement_descriptor")
    assert client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_usBankAccount"}).status == "processing"

    suffixed = {"statement_descriptor_suffix": "ORDER 1", "payment_method": "pm_card_visa", "confirm": True}
    paid = client.v1.payment_intents.create({**GOOD, **suffixed, "expand": ["latest_charge"]})
    assert paid.latest_charge.calculated_statement_descriptor == "SANDBOX* ORDER 1"


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"amount_to_capture": 0}, "parameter_invalid_integer", "amount"),
        ({"amount_to_capture": -1}, None, "amount_to_capture"),
        ({"amount_to_capture": 1001}, "amount_too_large", "amount_to_capture"),
        ({"final_capture": False}, "payment_intent_invalid_parameter", "final_capture"),
        ({"statement_descriptor": "THE SHOP"}, "payment_intent_invalid_parameter", "statement_descriptor"),
    ],
)
def test_invalid_capture_is_rejected_and_leaves_the_authorization(
    client: Any, sandbox: SandboxProcess, params: dict[str, Any], code: str | None, param: str
) -> None:
    manual = {"payment_method": "pm_card_visa", "confirm": True, "capture_method": "manual"}
    authorized = client.v1.payment_intents.create({**GOOD, **manual})
    before = sandbox.ledger()

    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.capture(authorized.id, params)

    assert (caught.value.http_status, caught.value.code, caught.value.param) == (400, code, param)
    assert client.v1.payment_intents.retrieve(authorized.id) == authorized
    assert sandbox.ledger() == before


def test_second_capture_is_rejected(client: Any, sandbox: SandboxProcess) -> None:
    manual = {"payment_method": "pm_card_visa", "confirm": True, "capture_method": "manual"}
    authorized = client.v1.payment_intents.create({**GOOD, **manual, "metadata": {"order_id": "captured twice"}})
    client.v1.payment_intents.capture(authorized.id, {"amount_to_capture": 400})

    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.capture(authorized.id, {"amount_to_capture": 100})

    assert caught.value.code == "payment_intent_unexpected_state"
    assert [entry["amount"] for entry in sandbox.captured("captured twice")] == [400]


def test_stripe_js_can_handle_authentication_itself(client: Any) -> None:
    """With `use_stripe_sdk`, the next action is for Stripe.js; otherwise it is a redirect to the return_url."""
    intent = client.v1.payment_intents.create({**GOOD, "payment_method": "pm_card_authenticationRequired"})
    back = {"return_url": "https://shop.example/done"}

    in_page = client.v1.payment_intents.confirm(intent.id, {**back, "use_stripe_sdk": True})
    assert in_page.next_action.type == "use_stripe_sdk"
    redirected = client.v1.payment_intents.confirm(intent.id, back)
    assert redirected.next_action.type == "redirect_to_url"


def test_missing_required_parameter_is_named(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.create({"amount": 1000})
    assert (caught.value.code, caught.value.param) == ("parameter_missing", "currency")


def test_new_intent_requires_a_payment_method(client: Any) -> None:
    intent = client.v1.payment_intents.create({**GOOD, "metadata": {"order_id": "1"}, "description": "Order 1"})

    assert intent.status == "requires_payment_method"
    assert intent.capture_method == "automatic_async"
    assert intent.payment_method_types == ["card"]
    assert (intent.metadata["order_id"], intent.description) == ("1", "Order 1")
    assert str(intent.client_secret).startswith(f"{intent.id}_secret_")
    assert client.v1.payment_intents.retrieve(intent.id) == intent


def test_automatic_payment_methods_need_a_return_url(
    client: Any,
) -> None:
    intent = client.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    assert intent.automatic_payment_methods is not None
    assert intent.automatic_payment_methods.enabled

    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})

    never: dict[str, Any] = {"enabled": True, "allow_redirects": "never"}
    intent = client.v1.payment_intents.create({"amount": 1000, "currency": "usd", "automatic_payment_methods": never})
    assert client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"


def test_operation_in_the_wrong_status_is_rejected_with_the_intent(client: Any) -> None:
    paid = client.v1.payment_intents.create({**GOOD, "payment_method": "pm_card_visa", "confirm": True})
    bare = client.v1.payment_intents.create(GOOD)
    calls: list[tuple[Any, Any]] = [
        (paid, lambda: client.v1.payment_intents.cancel(paid.id)),
        (paid, lambda: client.v1.payment_intents.confirm(paid.id, {"payment_method": "pm_card_visa"})),
        (paid, lambda: client.v1.payment_intents.capture(paid.id)),
        (paid, lambda: client.v1.payment_intents.update(paid.id, {"amount": 2000})),
        (bare, lambda: client.v1.payment_intents.confirm(bare.id)),
    ]
    for intent, call in calls:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            call()
        assert caught.value.error is not None
        assert (caught.value.http_status, caught.value.code) == (400, "payment_intent_unexpected_state")
        assert caught.value.error.payment_intent is not None
        assert caught.value.error.payment_intent["id"] == intent.id


def test_canceled_intent_cannot_be_paid(client: Any) -> None:
    intent = client.v1.payment_intents.create(GOOD)
    canceled = client.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "requested_by_customer"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "requested_by_customer")
    assert canceled.canceled_at

    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})


def test_update_merges_metadata_and_clears_the_last_error(client: Any) -> None:
    intent = client.v1.payment_intents.create({**GOOD, "metadata": {"a": "1", "b": "2"}})
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_chargeDeclined"})

    updated: Any = client.v1.payment_intents.update(intent.id, {"amount": 2000, "metadata": {"a": "", "c": "3"}})

    assert updated.amount == 2000
    assert updated.to_dict()["metadata"] == {"b": "2", "c": "3"}
    assert updated.last_payment_error is None


def test_update_can_change_the_payment_method_types(client: Any) -> None:
    intent = client.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    updated = client.v1.payment_intents.update(intent.id, {"payment_method_types": ["us_bank_account"]})
    assert (updated.payment_method_types, updated.automatic_payment_methods) == (["us_bank_account"], None)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert caught.value.code == "payment_intent_incompatible_payment_method"


def test_expand_replaces_the_id_with_the_object(client: Any) -> None:
    paid = client.v1.payment_intents.create(
        {**GOOD, "payment_method": "pm_card_visa", "confirm": True, "expand": ["latest_charge", "payment_method"]}
    )
    assert isinstance(paid.latest_charge, stripe.Charge)
    assert isinstance(paid.payment_method, stripe.PaymentMethod)
    listed = client.v1.payment_intents.list({"limit": 1, "expand": ["data.latest_charge.payment_intent"]}).data[0]
    assert isinstance(listed.latest_charge, stripe.Charge)
    assert isinstance(listed.latest_charge.payment_intent, stripe.PaymentIntent)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.payment_intents.retrieve(paid.id, {"expand": ["amount"]})


def test_list_is_newest_first_and_paged_by_cursor(client: Any) -> None:
    made = [client.v1.payment_intents.create(GOOD).id for _ in range(5)]

    page = client.v1.payment_intents.list({"limit": 2})
    assert ([intent.id for intent in page.data], page.has_more) == ([made[4], made[3]], True)
    older = client.v1.payment_intents.list({"limit": 2, "starting_after": made[3]})
    assert [intent.id for intent in older.data] == [made[2], made[1]]
    newer = client.v1.payment_intents.list({"limit": 2, "ending_before": made[0]})
    assert [intent.id for intent in newer.data] == [made[2], made[1]]
    walked = [intent.id for intent in client.v1.payment_intents.list({"limit": 2}).auto_paging_iter()]
    assert walked[:5] == made[::-1]


def test_list_is_filtered_by_created(client: Any, sandbox: SandboxProcess) -> None:
    first = client.v1.payment_intents.create(GOOD)
    sandbox.advance(100)
    second = client.v1.payment_intents.create(GOOD)
    sandbox.advance(100)
    third = client.v1.payment_intents.create(GOOD)

    def listed(created: Any) -> list[str]:
        return [intent.id for intent in client.v1.payment_intents.list({"created": created, "limit": 100}).data]

    assert listed({"gte": second.created}) == [third.id, second.id]
    assert listed({"gt": second.created}) == [third.id]
    assert listed({"gt": first.created, "lt": third.created}) == [second.id]
    assert listed({"gte": first.created + 1, "lte": second.created}) == [second.id]
    assert listed(second.created) == [second.id]


@pytest.mark.parametrize("cursor", ["starting_after", "ending_before"])
def test_unknown_cursor_is_rejected(client: Any, cursor: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.list({cursor: "pi_nothing"})
    assert (caught.value.code, caught.value.param) == ("resource_missing", cursor)


def test_unknown_object_is_404_resource_missing(client: Any) -> None:
    for call in (
        client.v1.payment_intents.retrieve,
        client.v1.charges.retrieve,
        client.v1.events.retrieve,
        client.v1.payment_methods.retrieve,
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            call("nothing")
        assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


def test_unsupported_endpoint_returns_a_404_in_stripes_format(client: Any) -> None:
    for method, path in (("get", "/v1/invoice"), ("delete", "/v1/payment_intents/pi_1"), ("post", "/v1/balance")):
        with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL") as caught:
            client.raw_request(method, path)
        assert caught.value.http_status == 404


def test_only_accepted_keys_authenticate(sandbox: SandboxProcess) -> None:
    sandbox.accept_keys("sk_test_the_right_one")

    with pytest.raises(stripe.AuthenticationError) as caught:
        sandbox.client("sk_test_the_wrong_one").v1.balance.retrieve()
    assert caught.value.http_status == 401
    assert "sk_test_the_wrong_one" not in str(caught.value)
    assert sandbox.client("sk_test_the_right_one").v1.balance.retrieve().livemode is False


@pytest.mark.parametrize("key", ["", "sk_live_1234567890", "sk_test_"])
def test_invalid_or_live_key_is_401(sandbox: SandboxProcess, key: str) -> None:
    assert bare_request(sandbox, f"Bearer {key}") == (401, "invalid_request_error")


def test_key_is_accepted_as_the_user_of_basic_authentication(sandbox: SandboxProcess) -> None:
    assert bare_request(sandbox, "Basic " + base64.b64encode(f"{API_KEY}:".encode()).decode()) == (200, None)
    assert bare_request(sandbox, "Basic !!!") == (401, "invalid_request_error")
    assert bare_request(sandbox, None) == (401, "invalid_request_error")


def bare_request(sandbox: SandboxProcess, authorization: str | None) -> tuple[int, str | None]:
    """Send a request without the SDK, and return the status and the error's type."""
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port)
    with contextlib.closing(connection):
        connection.request("GET", "/v1/balance", headers={"Authorization": authorization} if authorization else {})
        response = connection.getresponse()
        assert response.headers["Request-Id"]
        return response.status, json.load(response).get("error", {}).get("type")
