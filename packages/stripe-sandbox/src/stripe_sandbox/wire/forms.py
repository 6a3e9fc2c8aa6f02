"""Stripe's form encoding: `a[b][c]=v`, `a[]=v`, `a[0][b]=v`, `a[][b]=v` into nested dicts and lists.

Clients differ in detail; this follows Rack, with which Stripe reads forms. Of equal keys the last one counts, and
`a[][b]=1&a[][c]=2&a[][b]=3` has two members.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from stripe_sandbox.errors import Json, invalid

FIELDS_LIMIT = 1000  # a create request with every parameter has fewer than 300
DEPTH_LIMIT = 10  # the deepest documented parameter has 6 levels
SHOWN_CHARS = 100  # of an invalid name, in error messages

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def decode(text: bytes) -> Json:
    """Decode a body or query string. Raises `ApiError` 400 if it is malformed."""
    if text.count(b"&") >= FIELDS_LIMIT:
        raise invalid(f"Too many parameters: a request can have at most {FIELDS_LIMIT}.")
    root: Json = {}
    for name, value in _pairs(text):
        if "[" in name or "]" in name:
            _insert(root, _split(name), value, name)
        elif not name:
            raise _invalid_name(name)
        elif isinstance(root.get(name), dict):
            raise _conflicting(name)
        else:
            root[name] = value
    return {key: _listed(value) for key, value in root.items()}


def _pairs(text: bytes) -> list[tuple[str, str]]:
    try:
        if _BROKEN_ESCAPE.search(text):
            raise ValueError
        return parse_qsl(text.decode("utf-8"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise invalid("The parameters could not be read as form-encoded UTF-8.") from None


def _split(name: str) -> list[str]:
    match = _KEY.fullmatch(name)
    if match is None:
        raise _invalid_name(name)
    path = [match[1], *_PART.findall(match[2])]
    if len(path) > DEPTH_LIMIT:
        raise invalid(f"Parameter nested too deeply: {name[:SHOWN_CHARS]}", name[:SHOWN_CHARS])
    return path


def _insert(root: Json, path: list[str], value: str, name: str) -> None:
    node = root
    for depth, part in enumerate(path[:-1], start=1):
        node = node.setdefault(part or _member(node, path[depth:]), {})
        if not isinstance(node, dict):
            raise _conflicting(name)
    last = path[-1] or _next_index(node)
    if isinstance(node.get(last), dict):
        raise _conflicting(name)
    node[last] = value


def _member(node: Json, rest: list[str]) -> str:
    """Resolve `[]` before further keys: the last member, unless it already has a value at `rest`."""
    last = str(len(node) - 1)
    found: Any = node.get(last)
    if not isinstance(found, dict):
        return _next_index(node)
    for part in rest:
        if part == "" or not isinstance(found, dict) or part not in found:
            return last
        found = found[part]
    return _next_index(node)


def _next_index(node: Json) -> str:
    index = len(node)
    while str(index) in node:
        index += 1
    return str(index)


def _listed(node: Any) -> Any:
    """Convert objects with keys 0..n-1 into arrays."""
    if not isinstance(node, dict):
        return node
    values = {key: _listed(value) for key, value in node.items()}
    if values and all(str(index) in values for index in range(len(values))):
        return [values[str(index)] for index in range(len(values))]
    return values


def _invalid_name(name: str) -> Exception:
    return invalid(f"Invalid parameter name: {name[:SHOWN_CHARS]}", name[:SHOWN_CHARS])


def _conflicting(name: str) -> Exception:
    return invalid(f"Parameter is both a value and an object: {name[:SHOWN_CHARS]}", name[:SHOWN_CHARS])
