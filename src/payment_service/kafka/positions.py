"""Positions of the assigned partitions: the next offset to read, the lag, and records that were deleted before they were read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PartitionKey: TypeAlias = tuple[str, int]
# The first offset that the broker has, and the one after the last; negative while unknown.
Watermarks: TypeAlias = tuple[int, int]

UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Offsets `first` to `last` of a partition. The broker deleted them before they were read."""

    topic: str
    partition: int
    first: int
    last: int

    @property
    def count(self) -> int:
        """Return the number of offsets. Some may have been control records of transactions."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """A partition whose offsets begin again: `expected` was next, and `found` came. It is read from its first record."""

    topic: str
    partition: int
    expected: int
    found: int


class Positions:
    """The next offset of each assigned partition, UNKNOWN until an offset is committed or read.

    Offsets have gaps: control records of transactions, aborted records, compacted records. The end of a partition is reached
    when the client says so, not when the last record was read.
    """

    def __init__(self, watermarks: Callable[[PartitionKey], Watermarks]) -> None:
        self._watermarks = watermarks
        self._next: dict[PartitionKey, int] = {}

    def assign(self, partitions: Iterable[PartitionKey]) -> None:
        """Add partitions."""
        self._next |= dict.fromkeys(partitions, UNKNOWN)

    def drop(self, partition: PartitionKey) -> None:
        """Remove a partition."""
        self._next.pop(partition, None)

    def current(self) -> Mapping[PartitionKey, int]:
        """Return a copy."""
        return dict(self._next)

    def unknown(self) -> list[PartitionKey]:
        """Return the partitions without a position."""
        return [partition for partition, offset in self._next.items() if offset == UNKNOWN]

    def load(self, partition: PartitionKey, committed: int) -> None:
        """Start at the committed offset, unless a record was read first."""
        if committed >= 0 and self._next.get(partition) == UNKNOWN:
            self._next[partition] = committed

    def restart(self, partition: PartitionKey) -> None:
        """Forget the position: the next record may have any offset."""
        self._next[partition] = UNKNOWN

    def advance(self, partition: PartitionKey, offsets: Sequence[int], end: int | None) -> list[Skipped | Restarted]:
        """Move past the offsets that were read, and to the reached `end`. Return what was skipped on the way."""
        if partition not in self._next:
            return []
        findings = []
        reached = [(offset, offset + 1) for offset in offsets] + ([] if end is None else [(end, end)])
        for found, following in reached:
            expected = self._next[partition]
            self._next[partition] = following
            if expected not in {UNKNOWN, found} and (finding := self._explain(partition, expected, found)):
                findings.append(finding)
        return findings

    def lag(self, partition: PartitionKey) -> int | None:
        """Return how many offsets are left to read, or None if unknown."""
        low, high = self._watermarks(partition)
        if high < 0:
            return None
        offset = self._next[partition]
        # The embedded broker reports end offsets that are too low.
        return max(0, high - (max(low, 0) if offset == UNKNOWN else offset))

    def _explain(self, partition: PartitionKey, expected: int, found: int) -> Skipped | Restarted | None:
        topic, number = partition
        if found < expected:
            return Restarted(topic=topic, partition=number, expected=expected, found=found)
        # The client has the first offset from the fetch that returned `found`. Gaps behind it are no losses.
        low, _ = self._watermarks(partition)
        last = min(low, found) - 1
        return Skipped(topic=topic, partition=number, first=expected, last=last) if last >= expected else None
