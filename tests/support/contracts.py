"""Validate records against the published schemas. `tests/support/kafka.py` calls this for every record it reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

from payment_service.contracts.schemas import DEAD_LETTERS, all_schemas, headers_name, value_name
from payment_service_events.published_events import EVENTS

ROOT: Final = Path(__file__).parents[2]
SCHEMAS: Final = ROOT / "schemas"
PUBLISHED: Final = "payments."


class ContractBrokenError(AssertionError):
    """A record breaks its published contract."""


@cache
def validator(name: str, folder: Path = SCHEMAS) -> Draft202012Validator:
    """Return the validator of a schema in `schemas/`, with format checks."""
    schema = json.loads((folder / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def validate_record(topic: str, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes | None]) -> None:
    """Raise ContractBrokenError if a record of `payments.*` or `*.dlq` breaks its contract. Ignore other topics."""
    if found := list(_faults(topic, key, value, headers)):
        message = f"A record of {topic} breaks its contract: {'; '.join(found)}. Value: {value!r:.300}"
        raise ContractBrokenError(message)


def _faults(topic: str, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes | None]) -> Iterator[str]:
    if topic.endswith(DEAD_LETTERS):
        yield from against(headers_name(topic), text(headers, ("dlq_",)))
    elif topic.startswith(PUBLISHED):
        names = text(headers, ("ce_", "content-type", "traceparent"))
        yield from against(headers_name(topic), names)
        if names.get("ce_type") != topic:
            yield "ce_type is not the topic"
        yield from _value_faults(topic, key, value)


def _value_faults(topic: str, key: bytes | None, value: bytes | None) -> Iterator[str]:
    """Validate by the schema, and reject fields that it does not name."""
    try:
        read = json.loads(value or b"")
    except ValueError:
        yield "the value is not JSON"
        return
    yield from against(value_name(topic), read)
    if topic in EVENTS and isinstance(read, dict):
        declared = all_schemas()[f"{topic}.value"]["properties"]
        yield from (f"{name} is not declared" for name in read if name not in declared)
        if key != str(read.get("payment_id")).encode():
            yield "the key is not the payment_id"


def against(name: str | None, instance: object) -> Iterator[str]:
    """Yield where an instance violates a schema."""
    if name is None or not (SCHEMAS / f"{name}.json").exists():
        yield "there is no schema for it"
        return
    for error in validator(name).iter_errors(instance):
        yield f"{error.json_path}: {error.message}"


def text(headers: Mapping[str, bytes | None], prefixes: Iterable[str]) -> dict[str, Any]:
    """Return the headers with these prefixes as text."""
    return {
        name: None if content is None else content.decode(errors="replace")
        for name, content in headers.items()
        if name.startswith(tuple(prefixes))
    }
