"""The HTTP API as schemas that can be compared: what each call takes, what it gives, and the objects that these hold. Pure.

A call is known by method, path and name, since clients hold all three: where one changes, the call is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from scripts.compatibility import Schema

_READS: Final = " taken"
_WRITES: Final = " given"


def is_read(name: str) -> bool:
    """Whether callers write what a schema describes."""
    return name.endswith(_READS)


def parts(document: Schema) -> dict[str, Schema]:
    """The schemas of an OpenAPI document by names that say which side they are on."""
    found: dict[str, Schema] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = f"{method.upper()} {path} ({operation['operationId']})"
            found[name + _READS], found[name + _WRITES] = _taken(operation), _given(operation)
    components = document["components"]["schemas"]
    for side in (_READS, _WRITES):
        roots = [schema for name, schema in found.items() if name.endswith(side)]
        found |= {name + side: components[name] for name in _reached(roots, components)}
    if "Problem" in components:
        found["Problem" + _WRITES] = components["Problem"]
    return found


def _taken(operation: Schema) -> Schema:
    """Parameters and body as the fields of one object."""
    parameters = operation.get("parameters", [])
    fields = {one["name"]: one["schema"] for one in parameters}
    needed = [one["name"] for one in parameters if one.get("required")]
    if "requestBody" in operation:
        fields["body"] = operation["requestBody"]["content"]["application/json"]["schema"]
        needed.append("body")
    return {"type": "object", "required": needed, "properties": fields}


def _given(operation: Schema) -> Schema:
    """The answers of calls that went well, as the fields of one object."""
    fields: dict[str, Any] = {}
    for status, answer in operation["responses"].items():
        if status < "300":
            fields[status] = answer["content"]["application/json"]["schema"]
            fields |= {f"{status} {name}": header["schema"] for name, header in answer.get("headers", {}).items()}
    return {"type": "object", "required": list(fields), "properties": fields}


def _reached(roots: list[Schema], components: Schema) -> set[str]:
    """The names of all objects that these hold, at any depth."""
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
