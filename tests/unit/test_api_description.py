"""`openapi.json` is valid, current and complete, and every example fits its schema."""

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
from payment_service.http.problems import METHOD_NOT_ALLOWED, PROBLEM_TYPES
from scripts.document_api import OPENAPI, described, openapi

DOCUMENT: dict[str, Any] = described()
OPERATIONS: dict[str, Any] = {
    operation["operationId"]: operation for path in DOCUMENT["paths"].values() for operation in path.values()
}
CHANGES = {"refund_payment", "capture_payment", "cancel_payment", "open_payment"}
operations = pytest.mark.parametrize("name", OPERATIONS)


def resolve(node: dict[str, Any]) -> Any:
    found: Any = DOCUMENT
    for step in node["$ref"].split("/")[1:] if "$ref" in node else []:
        found = found[step]
    return found if "$ref" in node else node


def responses(name: str) -> dict[str, Any]:
    return {status: resolve(answer) for status, answer in OPERATIONS[name]["responses"].items()}


def contents(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each body of an operation: the request as `request`, responses by status."""
    holders = {"request": OPERATIONS[name].get("requestBody", {}), **responses(name)}
    for where, holder in holders.items():
        for content in holder.get("content", {}).values():
            yield where, content


def examples(content: dict[str, Any]) -> list[Any]:
    return [one["value"] for one in content.get("examples", {}).values()] or [content["example"]]


def properties(node: Any, where: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the properties of all schemas in the document at any depth, with their places."""
    for name, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else []:
        if name in {"example", "examples"}:
            continue
        if name == "properties":
            yield from ((f"{where}/{name}/{one}", schema) for one, schema in inner.items())
        yield from properties(inner, f"{where}/{name}")


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(
        {**schema, "components": DOCUMENT["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def test_openapi_json_is_current() -> None:
    """Run `make docs` after a change of the routes."""
    assert OPENAPI.read_text() == openapi()


def test_openapi_json_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"] == "3.1.0"


def test_operation_ids_are_stable() -> None:
    """Generated clients name their methods after them."""
    assert set(OPERATIONS) == CHANGES | {
        "list_payments",
        "read_payment",
        "read_payment_timeline",
        "list_payment_events",
        "list_payment_refunds",
        "list_payment_disputes",
        "list_refunds",
        "list_disputes",
        "list_audit",
        "search_payments",
        "list_reconciliations",
        "read_refund",
        "read_checkout",
        "receive_stripe_event",
        "receive_provider_event",
        "read_health",
        "read_readiness",
    }
    assert {tag["name"] for tag in DOCUMENT["tags"]} == {tag for one in OPERATIONS.values() for tag in one["tags"]}
    assert [name for name in DOCUMENT["components"]["schemas"] if not re.fullmatch(r"[A-Z][A-Za-z]+", name)] == []


@operations
def test_every_body_has_a_valid_example(name: str) -> None:
    for where, content in contents(name):
        assert examples(content), where
        for example in examples(content):
            validator(content["schema"]).validate(example)


@operations
def test_every_parameter_has_a_description_a_valid_example_and_a_limit(name: str) -> None:
    for parameter in OPERATIONS[name].get("parameters", []):
        assert parameter["description"], parameter
        shown = [parameter["example"]] if "example" in parameter else parameter["schema"]["examples"]
        for example in shown:
            validator(parameter["schema"]).validate(example)
        schema = parameter["schema"]
        assert schema.keys() & {"enum", "format", "maximum", "maxLength", "pattern"}, f"no limit: {parameter['name']}"


@operations
def test_every_response_is_described_and_every_error_is_a_problem(name: str) -> None:
    for status, answer in responses(name).items():
        assert answer["description"].endswith("."), answer
        if status < "400":
            continue
        (kind,) = answer["content"]
        assert kind == "application/problem+json"
        for example in examples(answer["content"][kind]):
            assert str(example["status"]) == status
            assert example["detail"].endswith(".")


def test_every_problem_type_is_documented_by_an_operation() -> None:
    """`method_not_allowed` is the exception: no operation describes it."""
    documented = {
        example["type"]
        for name in OPERATIONS
        for where, content in contents(name)
        if where >= "400" and where != "request"
        for example in examples(content)
    }
    assert documented == {kind.uri for kind in PROBLEM_TYPES} - {METHOD_NOT_ALLOWED.uri}
    assert DOCUMENT["components"]["schemas"]["Problem"]["properties"]["type"]["x-extensible-enum"] == [
        kind.uri for kind in PROBLEM_TYPES
    ]


@operations
def test_every_response_header_is_documented(name: str) -> None:
    headers = {status: set(answer.get("headers", {})) for status, answer in responses(name).items()}
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


def test_every_operation_declares_its_security_and_v1_its_scope() -> None:
    """An empty list says that an operation is public; without one, it would be left open."""
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            if not path.startswith("/v1"):
                assert operation["security"] == []
                continue
            assert operation["security"] == [{"api_key": []}]
            assert operation["x-scope"] in set(Scope)
            assert f"the scope `{operation['x-scope']}`" in operation["description"]


def test_every_schema_and_every_property_has_a_description() -> None:
    named = DOCUMENT["components"]["schemas"]
    absent = [name for name, schema in named.items() if not schema.get("description")]
    absent += [where for where, schema in properties(DOCUMENT) if not schema.get("description")]
    assert absent == []


def test_every_example_of_a_property_fits_its_schema() -> None:
    shown = [(where, schema, one) for where, schema in properties(DOCUMENT) for one in schema.get("examples", [])]
    assert len(shown) > 100
    assert [(where, one) for where, schema, one in shown if not validator(schema).is_valid(one)] == []


def test_changes_require_an_idempotency_key_and_webhooks_a_signature() -> None:
    needed = {
        name: {one["name"] for one in operation.get("parameters", []) if one["in"] == "header" and one["required"]}
        for name, operation in OPERATIONS.items()
    }
    assert {name for name, headers in needed.items() if headers == {"Idempotency-Key"}} == CHANGES
    assert needed["receive_stripe_event"] == {"Stripe-Signature"}


def test_status_fields_are_extensible_enums() -> None:
    for name in ("Payment", "PaymentDetail", "Checkout"):
        assert DOCUMENT["components"]["schemas"][name]["properties"]["status"]["x-extensible-enum"] == list(STATUSES)


def test_openapi_json_parses_to_the_same_document() -> None:
    assert json.loads(openapi()) == DOCUMENT
