"""Endpoints, parameters, values and expandable fields that Stripe has and the sandbox lacks.

`not_covered.json` holds their names, derived from Stripe's description by `scripts/derive_not_covered.py`. A request that
uses one is refused: ignoring `transfer_data`, for example, would let a test pass although no money moved. The message
says that the request is valid at Stripe, because "unknown parameter" would send its author looking for a typo.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from stripe_sandbox.errors import ApiError, Json

DATA: Final = Path(__file__).with_name("not_covered.json")
CODE: Final = "sandbox_not_covered"
"""The error code; Stripe has none that begins with `sandbox_`."""

_ADVICE: Final = "docs/sandbox.md lists what the sandbox covers; test this part with Stripe's test mode."


def not_covered(what: str, *, status: int = 400, param: str | None = None) -> ApiError:
    """Return the refusal of something that is valid at Stripe; `what` begins the message."""
    message = f"{what} is valid at Stripe, but not covered by this sandbox. {_ADVICE}"
    return ApiError(status, message, param=param, extra={"code": CODE})


def check_parameters(operation: str, raw: Json) -> None:
    """Raise `ApiError` 400 for the first parameter or value that only Stripe accepts in `operation`."""
    names = _parameters(operation)
    for name, parameter in raw.items():
        for found in _uses(names, parameter, name, name):
            raise found


def check_endpoint(method: str, path: str) -> None:
    """Raise `ApiError` 404 for a request that only Stripe serves."""
    parts = path.split("/")
    for template, methods in _data()["endpoints"].items():
        if method in methods.split() and _matches(template.split("/"), parts):
            raise not_covered(f"{method} {path}", status=404)


def check_expansion(kind: str, name: str, path: str) -> None:
    """Raise `ApiError` 400 if only Stripe can expand the field `name` of a `kind`; `path` is all of `expand[]`."""
    if name in _data()["expansions"].get(kind, ()):
        raise not_covered(f"Expanding {path}", param="expand")


@cache
def values_of(operation: str, parameter: str) -> frozenset[str]:
    """Return the values of a parameter that only Stripe accepts."""
    prefix = f"{parameter}="
    return frozenset(name.removeprefix(prefix) for name in _parameters(operation) if name.startswith(prefix))


def placeholders_alike(path: str) -> str:
    """Return the path with `{}` for each placeholder."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def _uses(names: frozenset[str], value: Any, general: str, name: str) -> Iterator[ApiError]:
    """Yield the uses of `names`; `general` is `name` with `[]` for each index."""
    if general in names:
        yield not_covered(f"The parameter {name}", param=name)
    elif isinstance(value, str) and f"{general}={value}" in names:
        yield not_covered(f"The value {value} of {name}", param=name)
    for key, inner in _members(value):
        index = "" if key.isdecimal() else key
        yield from _uses(names, inner, f"{general}[{index}]", f"{name}[{key}]")


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from ((str(index), item) for index, item in enumerate(value))


def _matches(template: list[str], parts: list[str]) -> bool:
    alike = zip(template, parts, strict=False)
    return len(template) == len(parts) and all(one == other or (one == "{}" and other) for one, other in alike)


@cache
def _parameters(operation: str) -> frozenset[str]:
    return frozenset(_data()["parameters"].get(operation, ()))


@cache
def _data() -> Json:
    data: Json = json.loads(DATA.read_text())
    return data
