"""Breaking changes of the HTTP API since the last release are detected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts import api_contract, release_contracts
from scripts.document_api import OPENAPI, described
from scripts.release_contracts import broken_since, keep

Document = dict[str, Any]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a release that has the current API."""
    keep(tmp_path / "1.0.0")
    return tmp_path / "1.0.0"


def operation(document: Document) -> Document:
    found: Document = document["paths"]["/v1/payments/{payment_id}/refunds"]["post"]
    return found


def fields(document: Document, name: str) -> Document:
    found: Document = document["components"]["schemas"][name]["properties"]
    return found


def rename(document: Document) -> None:
    operation(document)["operationId"] = "refund"


def require_a_field(document: Document) -> None:
    document["components"]["schemas"]["RefundRequest"]["required"] = ["reason"]


def narrow_an_enum(document: Document) -> None:
    (status,) = [one for one in document["paths"]["/v1/payments"]["get"]["parameters"] if one["name"] == "status"]
    status["schema"]["enum"].remove("refunded")


def remove_an_enum_value(document: Document) -> None:
    fields(document, "Payment")["status"]["x-extensible-enum"].remove("refunded")


REFUND = "POST /v1/payments/{payment_id}/refunds (refund_payment)"
BREAKS: list[tuple[str, Callable[[Document], object], str]] = [
    (
        "an operation removed",
        lambda document: document["paths"].pop("/v1/refunds/{refund_id}"),
        "GET /v1/refunds/{refund_id}",
    ),
    ("an operation renamed", rename, f"{REFUND} taken: is gone"),
    (
        "a field removed",
        lambda document: fields(document, "Refund").pop("amount"),
        "Refund given $.amount: was removed",
    ),
    (
        "a nested field removed",
        lambda document: fields(document, "RefundPage").pop("has_more"),
        "RefundPage given $.has_more",
    ),
    (
        "a type changed",
        lambda document: fields(document, "Refund")["amount"].update(type="number"),
        "Refund given $.amount: type",
    ),
    ("a field made required", require_a_field, "RefundRequest taken $.reason: is now required"),
    ("a filter narrowed", narrow_an_enum, "$.status: enum has changed"),
    ("an open enum value removed", remove_an_enum_value, "Payment given $.status: x-extensible-enum has lost refunded"),
    (
        "a header removed",
        lambda document: operation(document)["responses"]["201"]["headers"].pop("Location"),
        f"{REFUND} given $.201 Location: was removed",
    ),
    (
        "an error without a type",
        lambda document: fields(document, "Problem").pop("type"),
        "Problem given $.type: was removed",
    ),
]


@pytest.mark.parametrize(("change", "fault"), [case[1:] for case in BREAKS], ids=[case[0] for case in BREAKS])
def test_breaking_changes_are_detected(
    change: Callable[[Document], object], fault: str, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = described()
    change(document)
    monkeypatch.setattr(release_contracts, "described", lambda: document)
    assert [found for found in broken_since(release) if fault in found]


def add_a_field(document: Document) -> None:
    fields(document, "Refund")["note"] = {"type": "string"}
    fields(document, "RefundRequest")["note"] = {"type": "string"}


def add_an_operation(document: Document) -> None:
    document["paths"]["/v1/payouts"] = {"get": {**operation(document), "operationId": "list_payouts"}}


def add_an_error(document: Document) -> None:
    operation(document)["responses"]["418"] = operation(document)["responses"]["409"]


@pytest.mark.parametrize("change", [add_a_field, add_an_operation, add_an_error], ids=lambda change: change.__name__)
def test_additions_are_compatible(
    change: Callable[[Document], None], release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = described()
    change(document)
    monkeypatch.setattr(release_contracts, "described", lambda: document)
    assert broken_since(release) == []


def test_a_release_stores_the_whole_api_description(release: Path) -> None:
    kept = api_contract.parts(json.loads((release / OPENAPI.name).read_text()))
    assert kept.keys() >= {f"{REFUND} taken", f"{REFUND} given", "RefundRequest taken", "Refund given", "Problem given"}
