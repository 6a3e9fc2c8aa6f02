"""Check API responses against Stripe's OpenAPI description (version 2026-08-26.dahlia), if a copy is available."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.sandbox.openapi import schema_errors

DESCRIPTION = Path(
    os.environ.get("STRIPE_OPENAPI") or Path(__file__).parents[3] / "shared" / "reference" / "stripe-openapi.json"
)

UNDESCRIBED = {"balance"}  # missing in some extracts of the description


@cache
def description() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DESCRIPTION.read_text())
    return loaded


def violations(bodies: Iterable[bytes]) -> list[str]:
    """Return the schema errors of these responses, or nothing if the description is not available."""
    if not DESCRIPTION.is_file():
        return []
    return sorted({error for body in set(bodies) for one in _parsed(body) for error in object_errors(one)})


def object_errors(one: dict[str, Any]) -> Iterator[str]:
    schemas = description()["components"]["schemas"]
    name = name_of(one)
    if name in UNDESCRIBED:
        return
    if name not in schemas:
        yield f"Stripe's description has no {name}"
        return
    yield from schema_errors(schemas, schemas[name], one, name)


def name_of(one: dict[str, Any]) -> str:
    """Return the name of an object's schema."""
    name = str(one.get("object", "error"))
    return f"deleted_{name}" if one.get("deleted") else name


def objects(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every API object in a response, including the members of lists and the objects of events."""
    if value.get("object") == "list":
        return [one for member in value["data"] for one in objects(member)]
    if value.get("object") == "event":
        return [value, *objects(value["data"]["object"])]
    return [value]


def _parsed(body: bytes) -> list[dict[str, Any]]:
    """Return the API objects of a body, or nothing for bodies injected by a fault: HTML, truncated or custom ones."""
    try:
        value = json.loads(body)
    except ValueError:
        return []
    return objects(value) if isinstance(value, dict) and {"object", "error"} & value.keys() else []
