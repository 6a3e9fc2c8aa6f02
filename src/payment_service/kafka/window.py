"""The relay's in-flight window: at most one unacknowledged record per aggregate, the others queue behind it. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from payment_service.db.outbox import OutboxRow, Placement


class Window:
    """Tracks rows from fetch to mark. The head of a queue is ready, sent, or sent alone (with nothing else in flight)."""

    def __init__(self) -> None:
        self._rows: dict[int, OutboxRow] = {}  # by position, from fetch to mark
        self._queues: dict[UUID, deque[OutboxRow]] = {}
        self._ready: deque[UUID] = deque()
        self._suspects: deque[UUID] = deque()
        self._sent: set[int] = set()
        self._alone: int | None = None
        self._acknowledged: list[Placement] = []

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def positions(self) -> list[int]:
        """Return the positions of all rows in the window, marked or not."""
        return list(self._rows)

    @property
    def in_flight(self) -> int:
        """Return the number of unacknowledged records."""
        return len(self._sent)

    @property
    def acknowledged(self) -> Sequence[Placement]:
        """Return the acknowledged placements that are not yet marked in the database."""
        return self._acknowledged

    def add(self, rows: Iterable[OutboxRow]) -> None:
        """Append rows, in order of position, to the queues of their aggregates."""
        for row in rows:
            self._rows[row.position] = row
            queue = self._queues.setdefault(row.aggregate_id, deque())
            queue.append(row)
            if len(queue) == 1:
                self._ready.append(row.aggregate_id)

    def next_ready(self) -> OutboxRow | None:
        """Return a record that may be sent now. Suspects are sent one at a time, with nothing else in flight."""
        if self._alone in self._sent:
            return None
        if self._suspects:
            return None if self._sent else self._send_alone(self._suspects.popleft())
        return self._send(self._ready.popleft()) if self._ready else None

    def get(self, position: int) -> OutboxRow | None:
        """Return a row in flight, or None."""
        return self._rows[position] if position in self._sent else None

    def is_alone(self, row: OutboxRow) -> bool:
        """Return True if the row was sent alone, so that a refusal is caused by the row itself."""
        return row.position == self._alone

    def acknowledge(self, row: OutboxRow, placement: Placement) -> None:
        """Record an acknowledgement: the next row of the aggregate may be sent."""
        self._sent.discard(row.position)
        self._acknowledged.append(placement)
        queue = self._queues[row.aggregate_id]
        queue.popleft()
        if queue:
            self._ready.append(row.aggregate_id)
        else:
            del self._queues[row.aggregate_id]

    def marked(self, placements: Sequence[Placement]) -> None:
        """Remove placements that are marked in the database."""
        for placement in placements:
            del self._rows[placement.position]
        self._acknowledged = self._acknowledged[len(placements) :]

    def retry(self, row: OutboxRow) -> None:
        """Make the row the next of its aggregate again: it was not sent, or its outcome is unknown."""
        self._sent.discard(row.position)
        if self._alone == row.position:
            self._alone = None
        self._ready.appendleft(row.aggregate_id)

    def suspect(self, row: OutboxRow) -> None:
        """Mark a row to be sent alone: it was refused, perhaps because of another record in its batch."""
        self._sent.discard(row.position)
        self._suspects.append(row.aggregate_id)

    def drop(self, row: OutboxRow) -> None:
        """Remove the row and those behind it: its aggregate is parked."""
        self._sent.discard(row.position)
        for waiting in self._queues.pop(row.aggregate_id):
            del self._rows[waiting.position]

    def recall(self) -> None:
        """Return all rows in flight to the heads of their queues, in order of position, after the producer failed."""
        for position in sorted(self._sent, reverse=True):
            self.retry(self._rows[position])

    def _send_alone(self, aggregate_id: UUID) -> OutboxRow:
        row = self._send(aggregate_id)
        self._alone = row.position
        return row

    def _send(self, aggregate_id: UUID) -> OutboxRow:
        row = self._queues[aggregate_id][0]
        self._sent.add(row.position)
        return row
