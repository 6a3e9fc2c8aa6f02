"""Answers of the API against Stripe's own OpenAPI description (version 2026-08-26.dahlia), where that is at hand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.sandbox.openapi import complaints

DESCRIPTION = Path(
    os.environ.get("STRIPE_OPENAPI") or Path(__file__).parents[3] / "shared" / "reference" / "stripe-openapi.json"
)

UNDESCRIBED = {"balance"}  # not in every extract of the description


@cache
def description() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DESCRIPTION.read_text())
    return loaded


def broken_by(bodies: Iterable[bytes]) -> list[str]:
    """What is wrong with these answers; nothing where the description is not at hand."""
    if not DESCRIPTION.is_file():
        return []
    return sorted({complaint for body in set(bodies) for one in _parsed(body) for complaint in wrong_with(one)})


def wrong_with(one: dict[str, Any]) -> Iterator[str]:
    schemas = description()["components"]["schemas"]
    name = name_of(one)
    if name in UNDESCRIBED:
        return
    if name not in schemas:
        yield f"Stripe knows no {name}"
        return
    yield from complaints(schemas, schemas[name], one, name)


def name_of(one: dict[str, Any]) -> str:
    """The schema of an object."""
    name = str(one.get("object", "error"))
    return f"deleted_{name}" if one.get("deleted") else name


def objects(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Every API object in an answer: the members of lists, and what events carry, on their own."""
    if value.get("object") == "list":
        return [one for member in value["data"] for one in objects(member)]
    if value.get("object") == "event":
        return [value, *objects(value["data"]["object"])]
    return [value]


def _parsed(body: bytes) -> list[dict[str, Any]]:
    """Not what a fault put in the place of an answer: a page of HTML, half an object, a body of its own."""
    try:
        value = json.loads(body)
    except ValueError:
        return []
    return objects(value) if isinstance(value, dict) and {"object", "error"} & value.keys() else []
