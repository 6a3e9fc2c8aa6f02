"""Timers for what happens without a request: a hold expires, a debit settles, a refund fails late.

A timer is a row, written in the transaction that sets it, so it survives a restart. Its `kind` selects a handler
(`resources.timer_handlers`); its `subject` is the object's id.
"""

from __future__ import annotations

import asyncio
import heapq

from stripe_sandbox.errors import Json
from stripe_sandbox.state.store import Record, Store
from stripe_sandbox.state.unit_of_work import UnitOfWork


def set_timer(work: UnitOfWork, kind: str, subject: str, delay_s: float) -> None:
    """Set a timer of `kind` for `subject` in `delay_s` seconds; it replaces an earlier one."""
    key = f"{kind}:{subject}"
    work.tx.put("timer", key, {"id": key, "kind": kind, "subject": subject, "due": work.now + delay_s})


def stop_timer(work: UnitOfWork, kind: str, subject: str) -> None:
    """Stop a timer; it need not exist."""
    key = f"{kind}:{subject}"
    if work.tx.find("timer", key) is not None:
        work.tx.delete("timer", key)


class Timers:
    """An index of timers by due time. Rows are authoritative, so stale entries here are harmless."""

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
        """Return the time of the next timer in seconds since 1970."""
        while self._due:
            due, key = self._due[0]
            row = self._store["timer"].rows.get(key)
            if row is not None and row["due"] == due:
                return due
            heapq.heappop(self._due)
        return None

    def pop(self, now: float) -> Json | None:
        """Remove and return a timer due by `now`; the caller deletes its row."""
        due = self.next_due()
        if due is None or due > now:
            return None
        return self._store["timer"].rows[heapq.heappop(self._due)[1]]
