"""Check JSON values against the subset of OpenAPI that Stripe's description uses."""

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


def schema_errors(schemas: Schemas, schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    """Yield one sentence for each error in `value`. A field that the schema does not define is an error."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if value is None:
        if not schema.get("nullable"):
            yield f"{where} is null"
        return
    if "anyOf" in schema:
        yield from _no_option_matches(schemas, schema["anyOf"], value, where)
        return
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        yield f"{where} is {value!r}, not of type {kind}"
    elif isinstance(value, str):
        yield from _string_errors(schema, value, where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from schema_errors(schemas, schema.get("items", {}), item, f"{where}[{index}]")
    elif isinstance(value, dict):
        yield from _object_errors(schemas, schema, value, where)


def _string_errors(schema: Mapping[str, Any], value: str, where: str) -> Iterator[str]:
    if value not in schema.get("enum", [value]) and not schema.get("x-stripeBypassValidation"):
        yield f"{where} is {value!r}, not one of {schema['enum']}"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{where} is longer than {schema['maxLength']}"


def _no_option_matches(schemas: Schemas, options: list[Any], value: Any, where: str) -> Iterator[str]:
    found = [list(schema_errors(schemas, option, value, where)) for option in options]
    if all(found):
        yield from min(found, key=len)


def _object_errors(schemas: Schemas, schema: Mapping[str, Any], value: dict[str, Any], where: str) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}.{name} is missing"
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", not properties)
    for name, item in value.items():
        if name in properties:
            yield from schema_errors(schemas, properties[name], item, f"{where}.{name}")
        elif isinstance(others, dict):
            yield from schema_errors(schemas, others, item, f"{where}.{name}")
        elif not others:
            yield f"{where}.{name} is not in Stripe's description"
