"""`openapi.json` says what the code does: valid, current, complete, and each example of it possible."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from payment_service.contracts.api import STATUSES
from payment_service.db.api_keys import Scope
from payment_service.http.docs import page
from payment_service.http.problems import METHOD_NOT_ALLOWED, PROBLEM_TYPES
from scripts.document_api import OPENAPI, described, openapi

PAPER: dict[str, Any] = described()
OPERATIONS: dict[str, Any] = {
    operation["operationId"]: operation for path in PAPER["paths"].values() for operation in path.values()
}
CHANGES = {"refund_payment", "capture_payment", "cancel_payment", "open_payment"}
operations = pytest.mark.parametrize("name", OPERATIONS)


def followed(node: dict[str, Any]) -> Any:
    found: Any = PAPER
    for step in node["$ref"].split("/")[1:] if "$ref" in node else []:
        found = found[step]
    return found if "$ref" in node else node


def answers(name: str) -> dict[str, Any]:
    return {status: followed(answer) for status, answer in OPERATIONS[name]["responses"].items()}


def contents(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each body of an operation: what is sent (`request`), and what is answered (by status)."""
    holders = {"request": OPERATIONS[name].get("requestBody", {}), **answers(name)}
    for where, holder in holders.items():
        for content in holder.get("content", {}).values():
            yield where, content


def examples(content: dict[str, Any]) -> list[Any]:
    return [one["value"] for one in content.get("examples", {}).values()] or [content["example"]]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(
        {**schema, "components": PAPER["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def test_what_lies_in_the_repository_is_what_the_routes_say() -> None:
    """`make docs` writes it again."""
    assert OPENAPI.read_text() == openapi()


def test_it_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(PAPER).validate()
    assert PAPER["openapi"] == "3.1.0"


def test_operations_have_names_that_stay() -> None:
    """Generated clients name their calls by them."""
    assert set(OPERATIONS) == CHANGES | {
        "list_payments",
        "read_payment",
        "read_payment_timeline",
        "list_payment_events",
        "list_payment_refunds",
        "list_payment_disputes",
        "read_refund",
        "read_checkout",
        "receive_stripe_event",
        "receive_provider_event",
        "read_health",
        "read_readiness",
    }
    assert {tag["name"] for tag in PAPER["tags"]} == {tag for one in OPERATIONS.values() for tag in one["tags"]}
    assert [name for name in PAPER["components"]["schemas"] if not re.fullmatch(r"[A-Z][A-Za-z]+", name)] == []


@operations
def test_every_body_has_an_example_that_fits_its_schema(name: str) -> None:
    for where, content in contents(name):
        assert examples(content), where
        for example in examples(content):
            validator(content["schema"]).validate(example)


@operations
def test_every_parameter_says_what_it_is_with_an_example_that_fits(name: str) -> None:
    for parameter in OPERATIONS[name].get("parameters", []):
        assert parameter["description"], parameter
        shown = [parameter["example"]] if "example" in parameter else parameter["schema"]["examples"]
        for example in shown:
            validator(parameter["schema"]).validate(example)
        schema = parameter["schema"]
        assert schema.keys() & {"enum", "format", "maximum", "maxLength", "pattern"}, f"no limit: {parameter['name']}"


@operations
def test_every_answer_says_when_and_every_error_is_a_problem_of_its_status(name: str) -> None:
    for status, answer in answers(name).items():
        assert answer["description"].endswith("."), answer
        if status < "400":
            continue
        (kind,) = answer["content"]
        assert kind == "application/problem+json"
        for example in examples(answer["content"][kind]):
            assert str(example["status"]) == status
            assert example["detail"].endswith(".")


def test_every_kind_of_problem_is_the_answer_of_some_route() -> None:
    """But a method that an address does not take, which no operation describes."""
    told = {
        example["type"]
        for name in OPERATIONS
        for where, content in contents(name)
        if where >= "400" and where != "request"
        for example in examples(content)
    }
    assert told == {kind.uri for kind in PROBLEM_TYPES} - {METHOD_NOT_ALLOWED.uri}
    assert PAPER["components"]["schemas"]["Problem"]["properties"]["type"]["x-extensible-enum"] == [
        kind.uri for kind in PROBLEM_TYPES
    ]


@operations
def test_every_header_is_told_where_it_comes(name: str) -> None:
    headers = {status: set(answer.get("headers", {})) for status, answer in answers(name).items()}
    for status in {"429", "503"} & headers.keys():
        assert "Retry-After" in headers[status]
    if "401" in headers:
        assert "WWW-Authenticate" in headers["401"]
    if name in CHANGES:
        assert "Retry-After" in headers["409"]
        assert "Idempotent-Replayed" in headers["201"]
    if name in {"refund_payment", "open_payment"}:
        assert "Location" in headers["201"]
    if name == "read_checkout":
        assert all("Cache-Control" in headers[status] for status in ("200", "404", "409"))


def test_every_call_of_v1_names_the_scope_that_it_needs() -> None:
    for path, item in PAPER["paths"].items():
        for operation in item.values():
            if path.startswith("/v1"):
                (needed,) = operation["security"]
                assert set(needed["api_key"]) < set(Scope)
            else:
                assert "security" not in operation


def test_changes_need_a_key_and_the_webhook_its_signature() -> None:
    needed = {
        name: {one["name"] for one in operation.get("parameters", []) if one["in"] == "header" and one["required"]}
        for name, operation in OPERATIONS.items()
    }
    assert {name for name, headers in needed.items() if headers == {"Idempotency-Key"}} == CHANGES
    assert needed["receive_stripe_event"] == {"Stripe-Signature"}


def test_statuses_are_told_as_words_that_may_get_more() -> None:
    for name in ("Payment", "PaymentDetail", "Checkout"):
        assert PAPER["components"]["schemas"][name]["properties"]["status"]["x-extensible-enum"] == list(STATUSES)


def test_the_page_for_people_shows_all_of_it() -> None:
    text = page(PAPER)
    for path, item in PAPER["paths"].items():
        for method, operation in item.items():
            section = text.partition(f"<code>{method.upper()} {path}</code>")[2].partition("<h2")[0]
            assert section
            assert all(f"<code>{one['name']}</code>" in section for one in operation.get("parameters", []))
            assert all(f"<dt>{status}</dt>" in section for status in operation["responses"])
            headers = {
                header for one in answers(operation["operationId"]).values() for header in one.get("headers", {})
            }
            assert all(f"<code>{header}</code>" in section for header in headers)
    assert all(f"<h3 id={name}>" in text for name in PAPER["components"]["schemas"])
    assert set(re.findall(r"(?:href|src)=\"?([^\" >]+)", text)) <= {"/openapi.json"} | {
        f"#{name}" for name in PAPER["components"]["schemas"]
    }


def test_it_is_json_that_everybody_can_read() -> None:
    assert json.loads(openapi()) == PAPER
