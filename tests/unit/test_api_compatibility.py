"""A change of the HTTP API that would break those who know the last release is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts import api_contract, release_contracts
from scripts.document_api import OPENAPI, described
from scripts.release_contracts import broken_since, keep

Paper = dict[str, Any]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Give a release that has the API of now."""
    keep(tmp_path / "1.0.0")
    return tmp_path / "1.0.0"


def call(paper: Paper) -> Paper:
    found: Paper = paper["paths"]["/v1/payments/{payment_id}/refunds"]["post"]
    return found


def fields(paper: Paper, name: str) -> Paper:
    found: Paper = paper["components"]["schemas"][name]["properties"]
    return found


def rename(paper: Paper) -> None:
    call(paper)["operationId"] = "refund"


def require_a_field(paper: Paper) -> None:
    paper["components"]["schemas"]["RefundRequest"]["required"] = ["reason"]


def narrow_an_enum(paper: Paper) -> None:
    (status,) = [one for one in paper["paths"]["/v1/payments"]["get"]["parameters"] if one["name"] == "status"]
    status["schema"]["enum"].remove("refunded")


def forget_a_word(paper: Paper) -> None:
    fields(paper, "Payment")["status"]["x-extensible-enum"].remove("refunded")


REFUND = "POST /v1/payments/{payment_id}/refunds (refund_payment)"
BREAKS: list[tuple[str, Callable[[Paper], object], str]] = [
    ("a call gone", lambda paper: paper["paths"].pop("/v1/refunds/{refund_id}"), "GET /v1/refunds/{refund_id}"),
    ("a call renamed", rename, f"{REFUND} taken: is gone"),
    ("a field gone", lambda paper: fields(paper, "Refund").pop("amount"), "Refund given $.amount: was removed"),
    (
        "a field that is nested gone",
        lambda paper: fields(paper, "RefundPage").pop("has_more"),
        "RefundPage given $.has_more",
    ),
    (
        "a type changed",
        lambda paper: fields(paper, "Refund")["amount"].update(type="number"),
        "Refund given $.amount: type",
    ),
    ("a field that must now be sent", require_a_field, "RefundRequest taken $.reason: is now required"),
    ("a filter that takes less", narrow_an_enum, "$.status: enum has changed"),
    ("a word that is not told any more", forget_a_word, "Payment given $.status: x-extensible-enum has lost refunded"),
    (
        "a header gone",
        lambda paper: call(paper)["responses"]["201"]["headers"].pop("Location"),
        f"{REFUND} given $.201 Location: was removed",
    ),
    (
        "an error without a type",
        lambda paper: fields(paper, "Problem").pop("type"),
        "Problem given $.type: was removed",
    ),
]


@pytest.mark.parametrize(("change", "fault"), [case[1:] for case in BREAKS], ids=[case[0] for case in BREAKS])
def test_a_change_that_breaks_callers_is_found(
    change: Callable[[Paper], object], fault: str, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = described()
    change(paper)
    monkeypatch.setattr(release_contracts, "described", lambda: paper)
    assert [found for found in broken_since(release) if fault in found]


def add_a_field(paper: Paper) -> None:
    fields(paper, "Refund")["note"] = {"type": "string"}
    fields(paper, "RefundRequest")["note"] = {"type": "string"}


def add_a_call(paper: Paper) -> None:
    paper["paths"]["/v1/payouts"] = {"get": {**call(paper), "operationId": "list_payouts"}}


def add_an_error(paper: Paper) -> None:
    call(paper)["responses"]["418"] = call(paper)["responses"]["409"]


@pytest.mark.parametrize("change", [add_a_field, add_a_call, add_an_error], ids=lambda change: change.__name__)
def test_an_addition_breaks_nobody(
    change: Callable[[Paper], None], release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = described()
    change(paper)
    monkeypatch.setattr(release_contracts, "described", lambda: paper)
    assert broken_since(release) == []


def test_a_release_keeps_the_whole_description(release: Path) -> None:
    kept = api_contract.parts(json.loads((release / OPENAPI.name).read_text()))
    assert kept.keys() >= {f"{REFUND} taken", f"{REFUND} given", "RefundRequest taken", "Refund given", "Problem given"}
