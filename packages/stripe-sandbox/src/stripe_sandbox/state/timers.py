"""What will happen by itself: a hold expires, a debit settles, a refund fails late.

A timer is a row, written in the transaction that sets it off, so it survives a restart. Its `kind` names
what happens then (`resources.timed`), its `subject` the object it happens to.
"""

from __future__ import annotations

import asyncio
import heapq

from stripe_sandbox.errors import Json
from stripe_sandbox.state.store import Record, Store
from stripe_sandbox.state.unit_of_work import UnitOfWork


def set_timer(work: UnitOfWork, kind: str, subject: str, delay_s: float) -> None:
    """`kind` happens to `subject` in `delay_s` seconds; one set before under both names is replaced."""
    key = f"{kind}:{subject}"
    work.tx.put("timer", key, {"id": key, "kind": kind, "subject": subject, "due": work.now + delay_s})


def stop_timer(work: UnitOfWork, kind: str, subject: str) -> None:
    """It doesn't happen; fine if none was set."""
    key = f"{kind}:{subject}"
    if work.tx.find("timer", key) is not None:
        work.tx.delete("timer", key)


class Timers:
    """Finds the timer that is due next; the rows stay the truth, so an outdated entry here does no harm."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._due: list[tuple[float, str]] = []
        self.wake = asyncio.Event()

    def note(self, records: list[Record]) -> None:
        for table, key, row in records:
            if table == "timer" and row is not None:
                heapq.heappush(self._due, (row["due"], key))
                self.wake.set()

    def load(self) -> None:
        self._due = [(row["due"], key) for key, row in self._store["timer"].rows.items()]
        heapq.heapify(self._due)

    def next_due(self) -> float | None:
        """The moment of the next timer, in seconds since 1970."""
        while self._due:
            due, key = self._due[0]
            row = self._store["timer"].rows.get(key)
            if row is not None and row["due"] == due:
                return due
            heapq.heappop(self._due)
        return None

    def pop(self, now: float) -> Json | None:
        """A timer that is due by `now`, taken out of here; its row is the caller's to delete."""
        due = self.next_due()
        if due is None or due > now:
            return None
        return self._store["timer"].rows[heapq.heappop(self._due)[1]]
