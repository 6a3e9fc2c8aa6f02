"""Checks a JSON value against a schema of Stripe's OpenAPI description, as far as that uses OpenAPI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schemas = Mapping[str, Any]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "number": (int, float),
    "array": list,
    "object": dict,
}


def complaints(schemas: Schemas, schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    """What is wrong with `value`, one sentence each; a field that the schema doesn't know is wrong too."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if value is None:
        if not schema.get("nullable"):
            yield f"{where} is null"
        return
    if "anyOf" in schema:
        yield from _none_of(schemas, schema["anyOf"], value, where)
        return
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        yield f"{where} is {value!r}, not of type {kind}"
    elif isinstance(value, str):
        yield from _of_text(schema, value, where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from complaints(schemas, schema.get("items", {}), item, f"{where}[{index}]")
    elif isinstance(value, dict):
        yield from _of_object(schemas, schema, value, where)


def _of_text(schema: Mapping[str, Any], value: str, where: str) -> Iterator[str]:
    if value not in schema.get("enum", [value]) and not schema.get("x-stripeBypassValidation"):
        yield f"{where} is {value!r}, not one of {schema['enum']}"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{where} is longer than {schema['maxLength']}"


def _none_of(schemas: Schemas, options: list[Any], value: Any, where: str) -> Iterator[str]:
    found = [list(complaints(schemas, option, value, where)) for option in options]
    if all(found):
        yield from min(found, key=len)


def _of_object(schemas: Schemas, schema: Mapping[str, Any], value: dict[str, Any], where: str) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}.{name} is missing"
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", not properties)
    for name, item in value.items():
        if name in properties:
            yield from complaints(schemas, properties[name], item, f"{where}.{name}")
        elif isinstance(others, dict):
            yield from complaints(schemas, others, item, f"{where}.{name}")
        elif not others:
            yield f"{where}.{name} is unknown to Stripe"
