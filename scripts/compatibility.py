"""Find the changes of a schema that break users of the previous one. Pure.

For data that the service writes, every value must have been possible under the old schema. For data that it reads, every value
that the old schema allowed must still be accepted. A change that no rule covers counts as a break, so that it gets reviewed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Any, Final

Schema = Mapping[str, Any]

# Documentation only; changes break nobody.
_ANNOTATIONS: Final = frozenset({"$schema", "$id", "title", "description", "examples"})
# Constraints. An absent keyword allows everything.
_ALLOWS: Final = frozenset(
    {"type", "enum", "const", "pattern", "format", "minLength", "maxLength", "minimum", "maximum"}
)
_KNOWN: Final = _ANNOTATIONS | _ALLOWS | {"required", "properties", "additionalProperties", "x-extensible-enum"}


class Side(Enum):
    """The direction of the data that a schema describes."""

    WRITES = auto()  # consumers read it
    READS = auto()  # senders write it


def breaks(old: Schema, new: Schema, side: Side, path: str = "$") -> Iterator[str]:
    """Yield one sentence for each change from `old` to `new` that breaks users of `old`."""
    yield from _allowed(old, new, side, path)
    yield from _words(old, new, path)
    yield from _objects(old, new, side, path)
    for keyword in sorted((old.keys() | new.keys()) - _KNOWN):
        if old.get(keyword) != new.get(keyword):
            yield f"{path}: {keyword} has changed, and no rule says what that breaks"


def broken_by(old: Mapping[str, Schema], new: Mapping[str, Schema], sides: Mapping[str, Side]) -> list[str]:
    """Return the breaks of all schemas by name. A removed schema is a break; a new schema is not."""
    found = []
    for name, schema in sorted(old.items()):
        if name not in new:
            found.append(f"{name}: is gone")
        else:
            found += [f"{name} {fault}" for fault in breaks(schema, new[name], sides[name])]
    return found


def _allowed(old: Schema, new: Schema, side: Side, path: str) -> Iterator[str]:
    """Compare constraints: those on written values may only narrow, those on read values may only widen."""
    before, after = (old, new) if side is Side.READS else (new, old)
    for keyword in sorted(_ALLOWS & after.keys()):
        if keyword not in before:
            yield f"{path}: {keyword} was {'added' if side is Side.READS else 'removed'}"
        elif not _within(keyword, before[keyword], after[keyword]):
            yield f"{path}: {keyword} has changed from {old[keyword]!r} to {new[keyword]!r}"
    if side is Side.WRITES and "enum" in old and "enum" in new and not _within("enum", old["enum"], new["enum"]):
        yield f"{path}: enum has lost values that a reader may wait for"


def _within(keyword: str, smaller: Any, larger: Any) -> bool:
    """Return True if `larger` allows everything that `smaller` allows."""
    match keyword:
        case "type":
            return _types(smaller) <= _types(larger)
        case "enum":
            return all(value in larger for value in smaller)
        case "maxLength" | "maximum":
            return bool(smaller <= larger)
        case "minLength" | "minimum":
            return bool(smaller >= larger)
        case _:
            return bool(smaller == larger)


def _types(value: str | list[str]) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value)


def _words(old: Schema, new: Schema, path: str) -> Iterator[str]:
    """Compare extensible enums: no value may be removed, because a reader expects it or a sender sends it."""
    if lost := sorted(set(old.get("x-extensible-enum", ())) - set(new.get("x-extensible-enum", ()))):
        yield f"{path}: x-extensible-enum has lost {', '.join(lost)}"


def _objects(old: Schema, new: Schema, side: Side, path: str) -> Iterator[str]:
    fields, now = _fields(old), _fields(new)
    gone = old.get("properties", {}).keys() - new.get("properties", {}).keys()
    yield from (f"{path}.{name}: was removed" for name in sorted(gone))
    for name in sorted((fields.keys() & now.keys()) - gone):
        yield from breaks(fields[name], now[name], side, f"{path}.{name}")
    needed, needs = set(old.get("required", ())), set(new.get("required", ()))
    if side is Side.WRITES:
        yield from (f"{path}.{name}: may now be absent" for name in sorted(needed - needs))
    else:
        yield from (f"{path}.{name}: is now required" for name in sorted(needs - needed))
    yield from _openness(old, new, side, path)


def _fields(schema: Schema) -> dict[str, Schema]:
    """Return the schema of each field; an empty one for a field that is only listed as required."""
    required: list[str] = schema.get("required", [])
    named: dict[str, Schema] = schema.get("properties", {})
    return {name: {} for name in required} | named


def _openness(old: Schema, new: Schema, side: Side, path: str) -> Iterator[str]:
    """Compare `additionalProperties`: writing unnamed fields is allowed only if the old schema allowed them."""
    was, is_now = (schema.get("additionalProperties", True) for schema in (old, new))
    if side is Side.READS:
        if was != is_now and is_now is not True:
            yield f"{path}: fields that are not named are no longer taken"
    elif was is not True:
        if was != is_now:
            yield f"{path}: readers were told that there are no other fields"
        for name in sorted(new.get("properties", {}).keys() - old.get("properties", {}).keys()):
            yield f"{path}.{name}: was added where readers were told that there are no other fields"
