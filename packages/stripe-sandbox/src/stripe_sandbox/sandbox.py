"""The assembled sandbox: state, journal, clock, keys, faults and webhook sender."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from stripe_sandbox.errors import Json, invalid
from stripe_sandbox.faults.rules import Faults
from stripe_sandbox.resources.endpoints import checked_types, checked_url
from stripe_sandbox.resources.events import API_VERSION
from stripe_sandbox.resources.timer_handlers import fire
from stripe_sandbox.state.clock import LATEST, Clock
from stripe_sandbox.state.journal import Journal
from stripe_sandbox.state.store import Record, Store, Transaction
from stripe_sandbox.state.timers import Timers
from stripe_sandbox.state.unit_of_work import UnitOfWork
from stripe_sandbox.webhooks.sender import Sender
from stripe_sandbox.wire import idempotency
from stripe_sandbox.wire.auth import ApiKeys

COMMAND_LINE_ENDPOINT = "we_1SandboxCommandLine"
TIMERS_PER_SYNC = 64  # they share one sync of the state file, and requests wait a few milliseconds for them


class Sandbox:
    def __init__(self, state: Path | None, accepted_keys: list[str]) -> None:
        self.clock = Clock(time.time)
        self.store = Store()
        self.journal = Journal(state)
        self.faults = Faults()
        self.api_keys = ApiKeys(accepted_keys)
        self.keys = idempotency.IdempotencyKeys(self.store, self.clock)
        self.timers = Timers(self.store)
        self.sender = Sender(self.store, self.clock, self.faults, self.write)

    def load(self) -> None:
        """Read and compact the state file. Raises `StateError`."""
        self.journal.lock()
        for records in self.journal.replay():
            self.store.apply(records)
        clock = self.store["setting"].rows.get("clock", {})
        self.clock.offset_s = clock.get("offset_s", 0.0)
        events = self.store["event"].since(-1)
        self.clock.not_before(float(events[-1]["created"]) if events else 0.0)
        self.timers.load()
        self.keys.prune()
        self.journal.compact(self.store.dump())

    def begin(self) -> UnitOfWork:
        """Begin a unit of work outside an API request."""
        return UnitOfWork(Transaction(self.store), self.clock.now())

    async def commit(self, work: UnitOfWork) -> list[Json]:
        """Make `work` durable and start its webhooks; returns their deliveries."""
        return await self.send(work, self.sender.plan(work))

    async def send(self, work: UnitOfWork, deliveries: list[Json]) -> list[Json]:
        """Make `work` durable, then start `deliveries`, which it contains."""
        self.write(work.tx.records())
        await self._start(deliveries)
        return deliveries

    def write(self, records: list[Record]) -> None:
        self.store.apply(records)
        self.timers.note(records)
        self.journal.append(records)

    def set_endpoint(self, url: str, secret: str, enabled_events: list[str]) -> Json:
        """Replace the webhook endpoint of the command line, pending deliveries included. Raises `ApiError` 400."""
        old = self.store["webhook_endpoint"].rows.get(COMMAND_LINE_ENDPOINT, {})
        endpoint = {
            "id": COMMAND_LINE_ENDPOINT,
            "object": "webhook_endpoint",
            "api_version": API_VERSION,
            "application": None,
            "created": old.get("created", int(self.clock.now())),
            "description": None,
            "enabled_events": checked_types(enabled_events),
            "livemode": False,
            "metadata": {},
            "secret": secret,
            "status": "enabled",
            "url": checked_url(url),
        }
        self.write([("webhook_endpoint", endpoint["id"], endpoint)])
        return endpoint

    async def advance(self, seconds: float) -> None:
        """Advance the clock from timer to timer, so that each fires at its own time. Raises `ApiError` 400."""
        target = self.clock.now() + seconds
        if target > LATEST:
            raise invalid(f"The clock cannot pass the year 2100, {LATEST - self.clock.now():.0f} s from now.")
        while (due := self.timers.next_due()) is not None and due <= target:
            self._advance_to(due)
            await self.fire_due_timers()
        self._advance_to(target)
        self.sender.wake()
        self.timers.wake.set()

    async def fire_due_timers(self) -> None:
        """Fire every timer that is due."""
        while (deliveries := self._fire_due(TIMERS_PER_SYNC)) is not None:
            await self._start(deliveries)

    async def run_timers(self) -> None:
        """Fire timers as they become due, until canceled."""
        while True:
            await self.fire_due_timers()
            self.timers.wake.clear()
            due = self.timers.next_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self.clock.now())):
                    await self.timers.wake.wait()

    def _fire_due(self, limit: int) -> list[Json] | None:
        """Fire up to `limit` due timers and return the deliveries of their events; None if none was due."""
        deliveries: list[Json] | None = None
        while limit > 0 and (timer := self.timers.pop(self.clock.now())) is not None:
            limit -= 1
            work = self.begin()
            fire(work, timer)
            deliveries = (deliveries or []) + self.sender.plan(work)
            self.write(work.tx.records())
        return deliveries

    async def _start(self, deliveries: list[Json]) -> None:
        """Start `deliveries` once everything written is durable."""
        await self.journal.durable()
        if self.faults.webhooks.faults.before_response:
            await self.sender.deliver_now(deliveries)
        else:
            self.sender.enqueue(deliveries)

    def _advance_to(self, moment: float) -> None:
        self.clock.advance_to(moment)
        self.write([("setting", "clock", {"offset_s": self.clock.offset_s})])
