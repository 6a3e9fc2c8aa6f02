"""A request that only Stripe covers is refused as "valid at Stripe, not covered", never as unknown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from scripts import derive_not_covered
from stripe_sandbox.api import Operation
from stripe_sandbox.errors import ApiError
from stripe_sandbox.routes import OPERATIONS
from stripe_sandbox.wire.not_covered import DATA, check_endpoint
from tests.sandbox.contract import DESCRIPTION, description
from tests.sandbox.http_requests import INTENTS, create, send_request
from tests.support.sandbox import SandboxProcess

NOT_COVERED: dict[str, Any] = json.loads(DATA.read_text())
SIZE_LIMIT_BYTES = 60_000  # the wheel is installed by every test run of a shop
BY_NAME = {operation.name: operation for operation in OPERATIONS}

needs_description = pytest.mark.skipif(
    not DESCRIPTION.is_file(),
    reason="STRIPE_OPENAPI does not name a copy of https://github.com/stripe/openapi/blob/master/openapi/spec3.json",
)


def raw_of(parameter: str) -> tuple[dict[str, Any], str]:
    """Return a request with only this parameter (`a[][b]`, `a=value`), decoded, and its name with indices."""
    name, _, value = parameter.partition("=")
    parts = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
    raw: Any = value or "x"
    for part in reversed(parts):
        raw = {part: raw} if part else [raw]
    return raw, name.replace("[]", "[0]")


def parameters() -> Iterator[tuple[Operation, str]]:
    for name, lacking in NOT_COVERED["parameters"].items():
        yield from ((BY_NAME[name], parameter) for parameter in lacking)


def refusal(operation: Operation, raw: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(ApiError) as caught:
        operation.read(raw)
    return caught.value.error


def test_every_parameter_that_only_stripe_covers_is_named_so() -> None:
    for operation, parameter in parameters():
        raw, name = raw_of(parameter)
        error = refusal(operation, raw)

        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "sandbox_not_covered", name)
        assert "valid at Stripe, but not covered by this sandbox" in error["message"]


@needs_description
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_no_parameter_of_stripe_is_unknown(operation: Operation) -> None:
    """Everything that Stripe describes is covered or listed, nested fields and values of enums included."""
    described = derive_not_covered.described_parameters(description(), operation)
    if described is None:
        pytest.skip("this extract of the description lacks the operation")
    unknown = [name for name in described if code_of(operation, {name: "x"}) == "parameter_unknown"]
    assert unknown == []
    assert derive_not_covered.lacking_in(operation, described) == NOT_COVERED["parameters"].get(operation.name, [])


def code_of(operation: Operation, raw: dict[str, Any]) -> str | None:
    """Return the error code for these parameters, or None without an error or a code."""
    try:
        operation.read(raw)
    except ApiError as error:
        return error.error.get("code")
    return None


@needs_description
def test_no_endpoint_or_expandable_field_of_stripe_is_unknown() -> None:
    endpoints = derive_not_covered.endpoints_of(description())
    assert {path: NOT_COVERED["endpoints"].get(path) for path in endpoints} == endpoints
    known = {kind: fields for kind, fields in derive_not_covered.expansions_of(description()).items() if fields}
    assert {kind: NOT_COVERED["expansions"][kind] for kind in known} == known


def test_every_endpoint_that_only_stripe_covers_is_named_so() -> None:
    every = [(method, path) for path, methods in NOT_COVERED["endpoints"].items() for method in methods.split()]
    assert len(every) > 500
    for method, path in every:
        with pytest.raises(ApiError, match=r"is valid at Stripe, but not covered"):
            check_endpoint(method, path.replace("{}", "x_1"))


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/subscriptions"), ("GET", "/v1/customers/cus_1/sources"), ("GET", "/v1/charges/search")],
)
def test_call_of_an_endpoint_that_only_stripe_covers_gets_404(
    shared_process: SandboxProcess, method: str, path: str
) -> None:
    """A key is not required, as at Stripe for an unrecognized URL."""
    response = send_request(shared_process, method, path + "?query=status:'succeeded'", Authorization=None)

    assert (response.status, response.error["code"]) == (404, "sandbox_not_covered")
    assert response.error["message"].startswith(f"{method} {path} is valid at Stripe")


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/subscriptions/", "/v1/subscriptions/sub_1/x", "/v3/subscriptions"]
)
def test_url_that_stripe_lacks_too_is_unrecognized(shared_process: SandboxProcess, path: str) -> None:
    response = send_request(shared_process, "GET", path)

    assert response.status == 404
    assert "Unrecognized request URL" in response.error["message"]


def test_sdk_reports_a_parameter_that_only_stripe_covers(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.create(
            {"amount": 1000, "currency": "usd", "transfer_data": {"destination": "acct_1"}}
        )

    assert (caught.value.code, caught.value.param) == ("sandbox_not_covered", "transfer_data")
    assert "Did you mean" not in str(caught.value)


def test_misspelled_parameter_is_unknown_as_at_stripe(sandbox: SandboxProcess) -> None:
    error = create(sandbox, "&reciept_email=a@example.com").error

    assert (error["code"], error["message"]) == (
        "parameter_unknown",
        "Received unknown parameter: reciept_email. Did you mean receipt_email?",
    )


def test_metadata_may_use_the_name_of_any_parameter(sandbox: SandboxProcess) -> None:
    assert create(sandbox, "&metadata[confirmation_token]=1").json["metadata"] == {"confirmation_token": "1"}


@pytest.mark.parametrize("field", ["review", "application", "latest_charge.transfer", "customer.test_clock"])
def test_field_that_only_stripe_can_expand_is_named_so(sandbox: SandboxProcess, field: str) -> None:
    error = create(sandbox, f"&expand[]={field}").error

    assert (error["code"], error["param"]) == ("sandbox_not_covered", "expand")


def test_field_that_nobody_can_expand_is_refused_as_at_stripe(sandbox: SandboxProcess) -> None:
    assert create(sandbox, "&expand[]=colour").error["message"] == "This property cannot be expanded (colour)."


@pytest.mark.parametrize(
    ("types", "code", "param"),
    [
        (["klarna"], "sandbox_not_covered", "payment_method_types[0]"),
        (["klarna", "paypal"], "sandbox_not_covered", "payment_method_types[0]"),
        (["card", "cards"], None, "payment_method_types"),
    ],
)
def test_intent_needs_a_type_that_can_pay(
    sandbox: SandboxProcess, types: list[str], code: str | None, param: str
) -> None:
    body = "amount=1000&currency=eur" + "".join(f"&payment_method_types[]={kind}" for kind in types)
    error = send_request(sandbox, "POST", INTENTS, body).error

    assert (error.get("code"), error["param"]) == (code, param)


def test_types_that_only_stripe_covers_are_kept_beside_a_card(sandbox: SandboxProcess) -> None:
    body = "amount=1000&currency=eur&payment_method_types[]=klarna&payment_method_types[]=card"
    assert send_request(sandbox, "POST", INTENTS, body).json["payment_method_types"] == ["klarna", "card"]


def test_list_of_what_is_not_covered_is_small() -> None:
    assert DATA.stat().st_size <= SIZE_LIMIT_BYTES
    assert not NOT_COVERED["parameters"].keys() - BY_NAME.keys()
