"""Comparable schemas of the HTTP API: the input and output of each call, and the objects in them. Pure.

Method, path and name identify a call, because clients depend on all three. A call that changes one of them counts as removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from scripts.compatibility import Schema

_READS: Final = " taken"
_WRITES: Final = " given"


def is_read(name: str) -> bool:
    """Return True if callers write the data that the schema describes."""
    return name.endswith(_READS)


def parts(document: Schema) -> dict[str, Schema]:
    """Return the schemas of an OpenAPI document by name. The end of a name says who writes the data."""
    found: dict[str, Schema] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = f"{method.upper()} {path} ({operation['operationId']})"
            found[name + _READS], found[name + _WRITES] = _taken(operation), _given(operation)
    components = document["components"]["schemas"]
    for side in (_READS, _WRITES):
        roots = [schema for name, schema in found.items() if name.endswith(side)]
        found |= {name + side: components[name] for name in reached(roots, components)}
    if "Problem" in components:
        found["Problem" + _WRITES] = components["Problem"]
    return found


def _taken(operation: Schema) -> Schema:
    """Return parameters and body as the fields of one object."""
    parameters = operation.get("parameters", [])
    fields = {one["name"]: one["schema"] for one in parameters}
    needed = [one["name"] for one in parameters if one.get("required")]
    if "requestBody" in operation:
        fields["body"] = operation["requestBody"]["content"]["application/json"]["schema"]
        needed.append("body")
    return {"type": "object", "required": needed, "properties": fields}


def _given(operation: Schema) -> Schema:
    """Return the successful answers as the fields of one object."""
    fields: dict[str, Any] = {}
    for status, answer in operation["responses"].items():
        if status < "300":
            fields[status] = answer["content"]["application/json"]["schema"]
            fields |= {f"{status} {name}": header["schema"] for name, header in answer.get("headers", {}).items()}
    return {"type": "object", "required": list(fields), "properties": fields}


def reached(roots: list[Schema], components: Schema) -> set[str]:
    """Return the names of all objects in these schemas, at any depth."""
    found: set[str] = set()
    waiting = [name for root in roots for name in _named(root)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _named(components[name])
    return found


def _named(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _named(item)
    elif isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for item in node.values():
            yield from _named(item)
