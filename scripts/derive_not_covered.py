"""List the parts of Stripe's API that the sandbox lacks. It answers "valid at Stripe, not covered", not "unknown".

    STRIPE_OPENAPI=…/spec3.json .venv/bin/python -m scripts.derive_not_covered

The source is Stripe's own description, https://github.com/stripe/openapi. An extract lacks endpoints. Run the script after
you add an operation or a parameter to the sandbox.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from stripe_sandbox.api import Operation
from stripe_sandbox.resources.pagination import is_expandable
from stripe_sandbox.routes import OPERATIONS
from stripe_sandbox.wire.not_covered import DATA, placeholders_alike
from stripe_sandbox.wire.parameters import array, mapping, one_of, unset_or

METHODS: Final = ("get", "post", "delete")
KINDS: Final = (
    "account",
    "balance",
    "balance_transaction",
    "charge",
    "customer",
    "dispute",
    "event",
    "payment_intent",
    "payment_method",
    "product",
    "refund",
    "webhook_endpoint",
)
"""The objects that the sandbox returns."""

Spec = Mapping[str, Any]


def endpoints_of(description: Spec) -> dict[str, str]:
    """Return the methods that the sandbox lacks, by path: `GET POST`."""
    served = {(operation.method.lower(), placeholders_alike(operation.path)) for operation in OPERATIONS}
    found: dict[str, str] = {}
    for path, item in sorted(description["paths"].items()):
        alike = placeholders_alike(path)
        lacking = [method.upper() for method in METHODS if method in item and (method, alike) not in served]
        if lacking:
            found[alike] = " ".join(lacking)
    return found


def parameters_of(description: Spec) -> dict[str, list[str]]:
    """Return the parameters that the sandbox lacks, by operation. Notation: `a[b]`, `a[][b]`, `a[b]=value`."""
    found = {one.name: lacking_in(one, described_parameters(description, one) or {}) for one in OPERATIONS}
    return {name: lacking for name, lacking in found.items() if lacking}


def described_parameters(description: Spec, operation: Operation) -> dict[str, Any] | None:
    """Return the schemas of an operation's parameters; None without the operation."""
    for path, item in description["paths"].items():
        if placeholders_alike(path) == placeholders_alike(operation.path) and operation.method.lower() in item:
            described = item[operation.method.lower()]
            body = described.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded", {})
            given = {one["name"]: one["schema"] for one in described.get("parameters", ()) if one["in"] == "query"}
            return {**given, **body.get("schema", {}).get("properties", {})}
    return None


def lacking_in(operation: Operation, described: Mapping[str, Any]) -> list[str]:
    return sorted(set(_lacking(mapping(operation.schema.fields), [{"properties": described}], "")))


def _lacking(parser: Any, options: list[Any], place: str) -> Iterator[str]:
    if isinstance(parser, unset_or):
        yield from _lacking(parser.of, options, place)
    elif isinstance(parser, array):
        yield from _lacking(parser.of, _flat([one["items"] for one in options if "items" in one]), f"{place}[]")
    elif isinstance(parser, one_of):
        values = {value for one in options for value in one.get("enum", ())} - {"", *parser.allowed}
        yield from (f"{place}={value}" for value in values)
    elif isinstance(parser, mapping):
        properties = [item for one in options for item in one.get("properties", {}).items()]
        for name in {name for name, _ in properties}:
            inner = f"{place}[{name}]" if place else name
            schemas = _flat([schema for other, schema in properties if other == name])
            if name in parser.fields:
                yield from _lacking(parser.fields[name], schemas, inner)
            else:
                yield inner


def _flat(schemas: list[Any]) -> list[Any]:
    return [one for schema in schemas for one in schema.get("anyOf", [schema])]


def expansions_of(description: Spec) -> dict[str, list[str]]:
    """Return the fields that only Stripe expands, by object."""
    schemas = description["components"]["schemas"]
    fields = {kind: schemas.get(kind, {}).get("x-expandableFields", ()) for kind in KINDS}
    return {kind: sorted(name for name in fields[kind] if not is_expandable(kind, name)) for kind in KINDS}


def main() -> None:
    """Write the data file of the sandbox."""
    source = os.environ.get("STRIPE_OPENAPI")
    if not source:
        sys.exit("STRIPE_OPENAPI must name a copy of https://github.com/stripe/openapi/blob/master/openapi/spec3.json.")
    description = json.loads(Path(source).read_text())
    found = {
        "version": description["info"]["version"],
        "endpoints": endpoints_of(description),
        "parameters": parameters_of(description),
        "expansions": expansions_of(description),
    }
    DATA.write_text(json.dumps(found, indent=0, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
