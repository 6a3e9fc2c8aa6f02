"""Parameter schemas: types are checked before an operation runs, with Stripe's error messages.

A parser takes (raw value, parameter name) and returns the typed value, or raises `ApiError` 400.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stripe_sandbox.errors import Json, invalid, missing_parameter, unknown_parameters

Parser = Callable[[Any, str], Any]

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_INDEX = re.compile(r"[0-9]{1,18}")

METADATA_KEYS = 50  # limits: https://docs.stripe.com/metadata
METADATA_KEY_CHARS = 40
METADATA_VALUE_CHARS = 500


@dataclass(frozen=True, slots=True)
class Schema:
    fields: Mapping[str, Parser]
    required: tuple[str, ...] = field(default=())

    def read(self, raw: Json) -> Json:
        """Return typed parameters; unknown names are rejected first, as at Stripe."""
        if not raw.keys() <= self.fields.keys():
            raise unknown_parameters([name for name in raw if name not in self.fields], self.fields)
        for name in self.required:
            if name not in raw:
                raise missing_parameter(name)
        return {name: self.fields[name](value, name) for name, value in raw.items()}


def text(limit: int = 5000) -> Parser:
    def parse(raw: Any, name: str) -> str:
        value = _scalar(raw, name, "string")
        if value == "":
            raise _empty(name)
        return _within(value, name, limit)

    return parse


def unsettable(limit: int = 5000) -> Parser:
    """Text; an empty string clears it and becomes None."""

    def parse(raw: Any, name: str) -> str | None:
        return _within(_scalar(raw, name, "string"), name, limit) or None

    return parse


def integer(raw: Any, name: str) -> int:
    value = _scalar(raw, name, "integer")
    if _INTEGER.fullmatch(value) is None:
        raise invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer")
    return int(value)


def boolean(raw: Any, name: str) -> bool:
    value = _scalar(raw, name, "boolean")
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", name)
    return value == "true"


class one_of:  # noqa: N801 (used like a function in schemas, as the others are)
    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed

    def __call__(self, raw: Any, name: str) -> str:
        value = _scalar(raw, name, "string")
        if value not in self.allowed:
            raise invalid(f"Invalid {name}: must be {_alternatives(self.allowed)}", name)
        return value


@dataclass(frozen=True, slots=True)
class array:  # noqa: N801
    of: Parser

    def __call__(self, raw: Any, name: str) -> list[Any]:
        return [self.of(item, f"{name}[{index}]") for index, item in enumerate(_members(raw, name))]


@dataclass(frozen=True, slots=True)
class mapping:  # noqa: N801
    fields: Mapping[str, Parser]
    required: tuple[str, ...] = ()

    def __call__(self, raw: Any, name: str) -> Json:
        given = _object(raw, name)
        unknown = [f"{name}[{key}]" for key in given if key not in self.fields]
        if unknown:
            raise unknown_parameters(unknown, [f"{name}[{key}]" for key in self.fields])
        for key in self.required:
            if key not in given:
                raise missing_parameter(f"{name}[{key}]")
        return {key: self.fields[key](value, f"{name}[{key}]") for key, value in given.items()}


def an_object(raw: Any, name: str) -> Json:
    """An object whose fields have no effect here."""
    return _object(raw, name)


@dataclass(frozen=True, slots=True)
class unset_or:  # noqa: N801
    """A value that `of` accepts, or an empty string, which unsets it and becomes None."""

    of: Parser

    def __call__(self, raw: Any, name: str) -> Any:
        return None if raw == "" else self.of(raw, name)


def metadata(raw: Any, name: str) -> Json:
    """A metadata change: an empty value deletes its key, an empty string deletes all keys."""
    if raw == "":
        return {"": ""}
    given = _object(raw, name)
    for key, value in given.items():
        _scalar(value, f"{name}[{key}]", "string")
        if len(key) > METADATA_KEY_CHARS:
            raise invalid(f"Metadata keys must be under {METADATA_KEY_CHARS} characters long: {key}", name)
        if len(value) > METADATA_VALUE_CHARS:
            raise invalid(
                f"Metadata values can have up to {METADATA_VALUE_CHARS} characters, but you"
                f" passed in a value that is {len(value)} characters: {key}",
                f"{name}[{key}]",
            )
    return given


def merged_metadata(old: Json, change: Json) -> Json:
    """Return `old` with `change` applied. Raises `ApiError` 400 above the limit of keys."""
    if change == {"": ""}:
        return {}
    merged = {key: value for key, value in {**old, **change}.items() if value != ""}
    if len(merged) > METADATA_KEYS:
        raise invalid(f"Metadata can have up to {METADATA_KEYS} keys.", "metadata")
    return merged


def _scalar(raw: Any, name: str, kind: str) -> str:
    if not isinstance(raw, str):
        raise invalid(f"Invalid {kind}", name)
    return raw


def _object(raw: Any, name: str) -> Json:
    if isinstance(raw, list):
        return {str(index): value for index, value in enumerate(raw)}
    if not isinstance(raw, dict):
        raise invalid("Invalid object", name)
    return raw


def _members(raw: Any, name: str) -> list[Any]:
    """Return the members in order of their indices, which may have gaps."""
    if isinstance(raw, dict) and all(_INDEX.fullmatch(key) for key in raw):
        return [raw[key] for key in sorted(raw, key=int)]
    if not isinstance(raw, list):
        raise invalid("Invalid array", name)
    return raw


def _alternatives(allowed: tuple[str, ...]) -> str:
    """Return `one of a, b, or c`, as Stripe writes it."""
    *rest, last = allowed
    comma = "," if len(rest) > 1 else ""
    return f"one of {', '.join(rest)}{comma} or {last}" if rest else last


def _within(value: str, name: str, limit: int) -> str:
    if len(value) > limit:
        raise invalid(
            f"Invalid string: {value[:20]}...; must be at most {limit} characters",
            name,
            "parameter_invalid_string_length",
        )
    return value


def _empty(name: str) -> Exception:
    return invalid(
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset"
        f" a parameter; however '{name}' cannot be unset. You should remove '{name}' from your"
        " request or supply a non-empty value.",
        name,
        "parameter_invalid_empty",
    )
