"""The parts of a declaration. `published_events.py` declares each published event once; everything else about it is derived.

`reading.py` derives the reader. The service derives the bytes that it publishes, JSON Schemas, AsyncAPI, docs and examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple, get_type_hints

from payment_service_events.money import Money

_CURRENCY: Final = "ISO 4217, lower case."


@dataclass(frozen=True)
class About:
    """The description of a field of a record's value. `keywords`: further JSON Schema. `currency` describes that of amounts."""

    description: str
    example: Any
    keywords: Mapping[str, Any]
    currency: str


def about(
    description: str, example: object, *, currency: str = _CURRENCY, open_enum: Sequence[str] = (), **keywords: object
) -> Mapping[str, About]:
    """Return the metadata of a dataclass field that stands in a record's value.

    `open_enum` lists the words so far; a later version may add to them. An `enum` is closed.
    """
    if open_enum:
        keywords["x-extensible-enum"] = list(open_enum)
    return {"about": About(description, example, MappingProxyType(keywords), currency)}


class Response(NamedTuple):
    """A row of docs/consuming.md: the new state of the order, and the response. `case`: only for such events."""

    state: str
    response: str
    case: str = ""


@dataclass(frozen=True)
class Docs:
    """The rows of an event in docs/records.md (`when`) and docs/consuming.md (`responses`).

    The examples of its fields are the first example; `examples` holds the fields that differ in further ones.
    """

    when: str
    responses: Sequence[Response]
    examples: Sequence[Mapping[str, object]] = ()


@dataclass(frozen=True)
class EventData:
    """The fields that an event of one topic adds to those of all events. The docstring describes it in the schema."""

    topic: ClassVar[str]
    docs: ClassVar[Docs]


class ValueField(NamedTuple):
    """A field of a record's value. Amounts of a value share the field `currency`, which is not listed."""

    name: str
    type: Any
    about: About


def value_fields(kind: type[Any]) -> tuple[ValueField, ...]:
    """Return the fields of a dataclass that stand in a record's value, in their order there."""
    hints = get_type_hints(kind)
    return tuple(
        ValueField(field.name, hints[field.name], field.metadata["about"])
        for field in fields(kind)
        if "about" in field.metadata
    )


def currency_source(found: Sequence[ValueField]) -> ValueField | None:
    """Return the amount whose currency follows it in the value as `currency`, or None for a value without amounts."""
    amounts = [field for field in found if field.type is Money]
    return amounts[-1] if amounts else None


def examples(kind: type[EventData]) -> tuple[EventData, ...]:
    """Return the declared examples of an event's data."""
    first = {field.name: field.about.example for field in value_fields(kind)}
    return tuple(kind(**{**first, **changes}) for changes in ({}, *kind.docs.examples))
