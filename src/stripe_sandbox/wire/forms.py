"""Stripe's form encoding: `a[b][c]=v`, `a[]=v`, `a[0][b]=v` into nested dicts and lists."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from stripe_sandbox.errors import Json, invalid

FIELDS_LIMIT = 1000  # a create with every parameter there is stays under 300
DEPTH_LIMIT = 10  # the deepest documented parameter has 6 levels

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")


def decode(text: bytes) -> Json:
    """Decode a body or query string. Raises `ApiError` 400 for what can't be read."""
    try:
        pairs = parse_qsl(
            text.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FIELDS_LIMIT,
        )
    except ValueError:
        raise invalid("The parameters could not be read as form-encoded UTF-8.") from None
    root: Json = {}
    for name, value in pairs:
        _insert(root, _split(name), value, name)
    return {key: _listed(value) for key, value in root.items()}


def _split(name: str) -> list[str]:
    match = _KEY.fullmatch(name)
    if match is None:
        raise invalid(f"Invalid parameter name: {name}", name)
    path = [match[1], *_PART.findall(match[2])]
    if len(path) > DEPTH_LIMIT:
        raise invalid(f"Parameter nested too deeply: {name}", name)
    return path


def _insert(root: Json, path: list[str], value: str, name: str) -> None:
    node = root
    for part in path[:-1]:
        node = node.setdefault(_slot(node, part), {})
        if not isinstance(node, dict):
            raise invalid(f"Parameter is both a value and an object: {name}", name)
    last = _slot(node, path[-1])
    if isinstance(node.get(last), dict):
        raise invalid(f"Parameter is both a value and an object: {name}", name)
    node[last] = value


def _slot(node: Json, part: str) -> str:
    """`[]` takes the next free index."""
    return part or str(len(node))


def _listed(node: Any) -> Any:
    """Objects whose keys are 0..n-1 are arrays."""
    if not isinstance(node, dict):
        return node
    values = {key: _listed(value) for key, value in node.items()}
    if values and all(str(index) in values for index in range(len(values))):
        return [values[str(index)] for index in range(len(values))]
    return values
