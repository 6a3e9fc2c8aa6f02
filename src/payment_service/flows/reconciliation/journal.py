"""The journal of a run: its progress, its differences, and the objects that it has seen.

A stored journal writes them in the transaction of each step, so a run resumes after a crash and only its holder writes. A
dry run keeps them in memory and writes nothing.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from payment_service.db import differences, reconciliations
from payment_service.db.reconciliations import LEASE_S, Counts, StoredRun, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.differences import OpenDifference
    from payment_service.db.pool import Connection, Pool
    from payment_service.domain.differences import Difference, Sides

# A wait that is longer renews the lease in between.
RENEWAL_INTERVAL_S: Final = LEASE_S / 3


class Interrupted(Exception):
    """The process stops. The run resumes from its last step."""


class Pace:
    """Waits that end early when the process stops."""

    def __init__(self, stopping: asyncio.Event | None = None) -> None:
        self._stopping = stopping or asyncio.Event()

    def require(self) -> None:
        """Raise Interrupted if the process stops."""
        if self._stopping.is_set():
            raise Interrupted

    async def pause(self, seconds: float) -> None:
        """Wait. Raise Interrupted if the process stops."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise Interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a run: where the run resumes after it, and what it found, resolved and listed."""

    comparison: str
    position: str
    counts: Counts
    found: Sequence[Difference] = ()
    resolved: Collection[tuple[str, str]] = ()
    listed: Collection[str] = ()
    provider: str = ""


class Journal(Protocol):
    """The progress of a run. `comparison` and `position` tell where it resumes."""

    window: Window
    comparison: str
    position: str
    counts: Counts
    repairs: bool
    pace: Pace

    async def commit(self, connection: Connection, step: Step) -> None:
        """Store a step in its transaction."""
        ...

    def report(self, found: Sequence[Difference]) -> None:
        """Report differences after the commit."""
        ...

    async def unlisted(self, object_ids: Collection[str]) -> set[str]:
        """Return those of these objects that the provider did not list in this run."""
        ...

    async def reported(self, subjects: Collection[str]) -> set[str]:
        """Return those of these objects that have an open difference."""
        ...

    async def open_before(
        self, sides: Sides, provider: str, after: tuple[str, str], limit: int
    ) -> list[OpenDifference]:
        """List open differences that this run has not seen."""
        ...

    async def resolve_unseen(
        self, sides: Sides, *, since: datetime | None = None, only: Collection[str] | None = None
    ) -> None:
        """Resolve open differences that this run has not seen, since a time or all. `only`: some codes."""
        ...

    async def keep(self) -> None:
        """Renew the lease if it is time. Raise LeaseLost or Interrupted."""
        ...

    async def finish(self) -> None:
        """End the run."""
        ...


class StoredJournal:
    """The journal of a run that repairs. Each step is a transaction that also renews the lease."""

    def __init__(
        self, pool: Pool, holder: UUID, run: StoredRun, *, pace: Pace, report: Callable[[Difference], None]
    ) -> None:
        self._pool = pool
        self._holder = holder
        self._run = run
        self._report = report
        self._renewed_s = time.monotonic()
        self.window = run.window
        self.comparison = run.comparison
        self.position = run.position
        self.counts = Counts()
        self.repairs = True
        self.pace = pace

    @property
    def run_id(self) -> UUID:
        """Return the id of the run."""
        return self._run.id

    async def commit(self, connection: Connection, step: Step) -> None:
        """Write the step. Raise LeaseLost if another process has taken over the run."""
        where = step.comparison, step.position
        await reconciliations.advance(connection, self._holder, self._run.id, *where, step.counts)
        if step.listed:
            await reconciliations.add_objects(connection, self._run.id, step.listed)
        if step.found:
            await differences.record(connection, step.found, provider=step.provider)
        if step.resolved:
            await differences.resolve(connection, step.resolved)
        self.counts += step.counts
        self._renewed_s = time.monotonic()

    def report(self, found: Sequence[Difference]) -> None:
        """Pass differences on, one by one."""
        for difference in found:
            self._report(difference)

    async def unlisted(self, object_ids: Collection[str]) -> set[str]:
        """Compare with the stored objects of this run."""
        return await reconciliations.unlisted(self._pool, self._run.id, object_ids)

    async def reported(self, subjects: Collection[str]) -> set[str]:
        """Look for open differences."""
        return await differences.open_subjects(self._pool, subjects)

    async def open_before(
        self, sides: Sides, provider: str, after: tuple[str, str], limit: int
    ) -> list[OpenDifference]:
        """List open differences that were last seen before this run began."""
        began = self._run.started_at
        return await differences.open_before(self._pool, sides, provider, began, after=after, limit=limit)

    async def resolve_unseen(
        self, sides: Sides, *, since: datetime | None = None, only: Collection[str] | None = None
    ) -> None:
        """Resolve what was last seen before this run began."""
        await differences.resolve_unseen(self._pool, sides, since_seen=self._run.started_at, since=since, only=only)

    async def keep(self) -> None:
        """Renew the lease every third of its time."""
        self.pace.require()
        if time.monotonic() - self._renewed_s > RENEWAL_INTERVAL_S:
            await reconciliations.renew(self._pool, self._holder, self._run.id)
            self._renewed_s = time.monotonic()

    async def finish(self) -> None:
        """End the run, and delete its objects."""
        await reconciliations.finish(self._pool, self._holder, self._run.id)

    async def release(self) -> None:
        """End the lease early, so that another process resumes the run at once."""
        await reconciliations.release(self._pool, self._holder, self._run.id)


class DryJournal:
    """The journal of a dry run. It writes nothing, and keeps about 60 bytes per object."""

    def __init__(self, window: Window, *, pace: Pace, report: Callable[[Difference], None]) -> None:
        self._report = report
        self._listed: set[int] = set()
        self._reported: set[str] = set()
        self.window = window
        self.comparison = ""
        self.position = ""
        self.counts = Counts()
        self.repairs = False
        self.pace = pace

    async def commit(self, connection: Connection, step: Step) -> None:  # noqa: ARG002 - the protocol's parameters
        """Remember the step."""
        self._listed.update(map(hash, step.listed))
        self._reported.update(difference.subject for difference in step.found)
        self.counts += step.counts

    def report(self, found: Sequence[Difference]) -> None:
        """Pass differences on, one by one."""
        for difference in found:
            self._report(difference)

    async def unlisted(self, object_ids: Collection[str]) -> set[str]:
        """Compare with the remembered objects."""
        return {name for name in object_ids if hash(name) not in self._listed}

    async def reported(self, subjects: Collection[str]) -> set[str]:
        """Compare with the remembered differences."""
        return self._reported & set(subjects)

    async def open_before(
        self,
        sides: Sides,  # noqa: ARG002 - the protocol's parameters
        provider: str,  # noqa: ARG002
        after: tuple[str, str],  # noqa: ARG002
        limit: int,  # noqa: ARG002
    ) -> list[OpenDifference]:
        """Return nothing: a dry run changes no stored difference."""
        return []

    async def resolve_unseen(
        self, sides: Sides, *, since: datetime | None = None, only: Collection[str] | None = None
    ) -> None:
        """Do nothing: a dry run changes no stored difference."""

    async def keep(self) -> None:
        """Raise Interrupted if the process stops."""
        self.pace.require()

    async def finish(self) -> None:
        """Do nothing: nothing is stored."""
