"""The records that the relay has in hand: of each aggregate one at most is unacknowledged, the others wait in line. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from payment_service.db.outbox import OutboxRow, Placement


class Window:
    """Bookkeeping of rows between fetch and mark. A line's head is ready, on its way, or alone (sent with nothing beside it)."""

    def __init__(self) -> None:
        self._known: dict[int, OutboxRow] = {}  # by position, from fetch to mark
        self._lines: dict[UUID, deque[OutboxRow]] = {}
        self._ready: deque[UUID] = deque()
        self._suspects: deque[UUID] = deque()
        self._sent: set[int] = set()
        self._alone: int | None = None
        self._acknowledged: list[Placement] = []

    def __len__(self) -> int:
        return len(self._known)

    @property
    def positions(self) -> list[int]:
        """What is in hand, marked or not."""
        return list(self._known)

    @property
    def in_flight(self) -> int:
        """How many records are unacknowledged."""
        return len(self._sent)

    @property
    def acknowledged(self) -> Sequence[Placement]:
        """What the broker has and the database does not know of yet."""
        return self._acknowledged

    def add(self, rows: Iterable[OutboxRow]) -> None:
        """Put rows, in order of position, at the ends of their lines."""
        for row in rows:
            self._known[row.position] = row
            line = self._lines.setdefault(row.aggregate_id, deque())
            line.append(row)
            if len(line) == 1:
                self._ready.append(row.aggregate_id)

    def take_ready(self) -> OutboxRow | None:
        """Give a record that may go out now. Suspects go one by one, with nothing else on its way."""
        if self._alone in self._sent:
            return None
        if self._suspects:
            return None if self._sent else self._send_alone(self._suspects.popleft())
        return self._send(self._ready.popleft()) if self._ready else None

    def get(self, position: int) -> OutboxRow | None:
        """Give a row that is on its way; None for one that is not (any more)."""
        return self._known[position] if position in self._sent else None

    def is_alone(self, row: OutboxRow) -> bool:
        """Whether it went out with nothing beside it: what became of it is then its own fault."""
        return row.position == self._alone

    def acknowledge(self, row: OutboxRow, placement: Placement) -> None:
        """The broker has it: the next one of its line may go."""
        self._sent.discard(row.position)
        self._acknowledged.append(placement)
        line = self._lines[row.aggregate_id]
        line.popleft()
        if line:
            self._ready.append(row.aggregate_id)
        else:
            del self._lines[row.aggregate_id]

    def marked(self, placements: Sequence[Placement]) -> None:
        """The database knows: forget them."""
        for placement in placements:
            del self._known[placement.position]
        self._acknowledged = self._acknowledged[len(placements) :]

    def retry(self, row: OutboxRow) -> None:
        """It did not go out, or nobody knows: it is the next of its line again."""
        self._sent.discard(row.position)
        if self._alone == row.position:
            self._alone = None
        self._ready.appendleft(row.aggregate_id)

    def suspect(self, row: OutboxRow) -> None:
        """It was refused, perhaps for a neighbour's sake: to be sent alone."""
        self._sent.discard(row.position)
        self._suspects.append(row.aggregate_id)

    def drop(self, row: OutboxRow) -> None:
        """Forget it and those behind it: its aggregate is held."""
        self._sent.discard(row.position)
        for waiting in self._lines.pop(row.aggregate_id):
            del self._known[waiting.position]

    def recall(self) -> None:
        """The producer is gone: all that was on its way is next of its line again, in order of position."""
        for position in sorted(self._sent, reverse=True):
            self.retry(self._known[position])

    def _send_alone(self, aggregate_id: UUID) -> OutboxRow:
        row = self._send(aggregate_id)
        self._alone = row.position
        return row

    def _send(self, aggregate_id: UUID) -> OutboxRow:
        row = self._lines[aggregate_id][0]
        self._sent.add(row.position)
        return row
