"""The hash chain over the audit: each link covers the previous link and one entry, so a change breaks all later links.

The hash of a link is SHA-256 over the previous hash (32 bytes) and the entry as JSON: keys sorted, no spaces, UTF-8, without
empty fields. The first link follows 32 zero bytes. Position and hash of the last link are the head of the chain.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BEFORE_THE_FIRST: Final = bytes(32)
# Entries are sealed in the order of their ids. The times of two transactions differ by their durations, seconds at most. Above
# this, the entry was inserted later than it says.
BACKDATED_AFTER: Final = timedelta(minutes=5)
# Groups of 8 characters are never long enough to be masked as a card number in a log.
_GROUP: Final = 8
_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Head:
    """The last link of a chain, at a moment. Position 0: no link yet."""

    position: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A link as stored, with the entry that it covers; None if that entry does not exist."""

    position: int
    audit_id: int
    hash: bytes
    entry: Mapping[str, Any] | None


class Tampering(StrEnum):
    """The kinds of damage to the audit."""

    CHANGED = "changed"
    DELETED = "deleted"
    INSERTED = "inserted"
    LINK_MISSING = "link_missing"
    BACKDATED = "backdated"
    HEAD_MISSING = "head_missing"
    HEAD_DIFFERS = "head_differs"


@dataclass(frozen=True, slots=True)
class Fault:
    """A damaged place of the chain, with its position, or an entry outside of it."""

    code: Tampering
    position: int | None
    audit_id: int | None
    detail: str


def entry_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry from a row of `audit`, as JSON values. Empty columns are left out, so later versions may add columns."""
    values = {name: _plain(name, value) for name, value in row.items()}
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def hash_after(previous: bytes, entry: Mapping[str, Any]) -> bytes:
    """Return the hash of the link that follows `previous` and covers an entry."""
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(previous + text.encode()).digest()


def hash_text(value: bytes) -> str:
    """Return a hash for people and logs: hexadecimal, in groups."""
    digits = value.hex()
    return ":".join(digits[start : start + _GROUP] for start in range(0, len(digits), _GROUP))


def read_hash(text: str) -> bytes:
    """Return the hash from its text. Raises ValueError."""
    digits = text.replace(":", "")
    if len(digits) != _DIGITS:
        raise ValueError(f"A hash has {_DIGITS} hexadecimal digits.")
    return bytes.fromhex(digits)


class Verifier:
    """Compares links, in the order of their positions, with their entries and with published heads."""

    def __init__(self, heads: Iterable[Head] = ()) -> None:
        self._heads: defaultdict[int, set[bytes]] = defaultdict(set)
        for head in heads:
            self._heads[head.position].add(head.hash)
        self._latest: datetime | None = None
        self.last = Head(0, BEFORE_THE_FIRST)

    def take(self, link: Link) -> Iterator[Fault]:
        """Return the faults of the next link. Each is judged by the stored hash before it, so one fault is reported once."""
        if link.position != self.last.position + 1:
            gap = f"links {self.last.position + 1} to {link.position - 1} were deleted"
            yield Fault(Tampering.LINK_MISSING, self.last.position + 1, None, gap)
        elif link.entry is None:
            yield Fault(Tampering.DELETED, link.position, link.audit_id, f"entry {link.audit_id} was deleted")
        elif hash_after(self.last.hash, link.entry) != link.hash:
            detail = f"entry {link.audit_id} or its place in the chain was changed"
            yield Fault(Tampering.CHANGED, link.position, link.audit_id, detail)
        elif self._is_backdated(link.entry):
            detail = f"entry {link.audit_id} was inserted later than it says: entries before it are newer"
            yield Fault(Tampering.BACKDATED, link.position, link.audit_id, detail)
        if self._heads.pop(link.position, {link.hash}) != {link.hash}:
            detail = "the published head has another hash: the chain was written again up to here"
            yield Fault(Tampering.HEAD_DIFFERS, link.position, link.audit_id, detail)
        self.last = Head(link.position, link.hash)

    def end(self) -> Iterator[Fault]:
        """Return the faults after the last link: published heads of links that do not exist."""
        if missing := [position for position in self._heads if position > self.last.position]:
            detail = f"a head of position {max(missing)} was published, but the chain ends at {self.last.position}"
            yield Fault(Tampering.HEAD_MISSING, max(missing), None, detail)

    def _is_backdated(self, entry: Mapping[str, Any]) -> bool:
        if "at" not in entry:
            return False
        at = datetime.fromisoformat(entry["at"])
        latest, self._latest = self._latest, max(at, self._latest or at)
        return latest is not None and at < latest - BACKDATED_AFTER


def _plain(name: str, value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case str() if name == "detail":
            return json.loads(value)
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)
