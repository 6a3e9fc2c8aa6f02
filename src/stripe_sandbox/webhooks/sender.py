"""The webhook sender: signed, retried until 2xx, limited per endpoint, restartable.

https://docs.stripe.com/webhooks. A delivery is a row, written in the transaction of its event, so a
restarted sandbox goes on where it was; an event may then arrive twice, as at Stripe.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import heapq
import hmac
import json
import logging
import time
from collections.abc import Callable, Coroutine
from fnmatch import fnmatchcase
from typing import Any

import aiohttp

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.rules import Faults
from stripe_sandbox.resources import events
from stripe_sandbox.state.clock import Clock
from stripe_sandbox.state.store import Record, Store
from stripe_sandbox.state.work import Work

FIRST_RETRY_S = 0.5  # Stripe waits minutes; nobody wants to in a sandbox
RETRY_CAP_S = 15.0  # so that a service that was down is up to date soon after it is back
GIVE_UP_S = 3 * 24 * 3600.0  # Stripe's own limit in live mode
ANSWER_TIMEOUT_S = 30.0  # what the Stripe CLI's forwarder waits
CONCURRENCY = 16  # deliveries on the wire per endpoint
BEFORE_RESPONSE_TIMEOUT_S = 5.0  # how long an API answer waits for its own webhooks

log = logging.getLogger(__name__)

Commit = Callable[[list[Record]], None]


def signature(secret: str, timestamp: int, payload: bytes) -> str:
    """The `Stripe-Signature` header (https://docs.stripe.com/webhooks/signature)."""
    signed = f"{timestamp}.".encode() + payload
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class Sender:
    def __init__(self, store: Store, clock: Clock, faults: Faults, commit: Commit) -> None:
        self._store = store
        self._clock = clock
        self._faults = faults
        self._commit = commit
        self._lanes: dict[str, Lane] = {}

    async def start(self) -> None:
        """Go on with what a former process left undelivered."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
        )
        rows = self._store["delivery"].rows.values()
        self.enqueue([row for row in rows if row["state"] == "pending"])

    async def stop(self) -> None:
        for lane in self._lanes.values():
            await lane.stop()
        await self._session.close()

    def plan(self, work: Work) -> list[Json]:
        """Write a delivery for each event of `work` and each endpoint that wants it."""
        endpoints = list(self._store["webhook_endpoint"].rows.values())
        rows = [
            self._planned(work, event, endpoint)
            for event in work.events
            for endpoint in endpoints
            if wants(endpoint, event["type"])
        ]
        return [row for row in rows if row["state"] == "pending"]

    def enqueue(self, deliveries: list[Json]) -> None:
        for row in deliveries:
            self._lane(row["endpoint"]).add(row["due"], row["id"])

    async def deliver_now(self, deliveries: list[Json]) -> None:
        """One attempt each, finished before this returns (within a bound)."""
        attempts = [self.attempt(row["id"]) for row in deliveries]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEFORE_RESPONSE_TIMEOUT_S):
                await asyncio.gather(*attempts)
        rows = [self._store["delivery"].rows[row["id"]] for row in deliveries]
        self.enqueue([row for row in rows if row["state"] == "pending" and not row["attempts"]])

    def wake(self) -> None:
        """Time has moved on: look again what is due."""
        for lane in self._lanes.values():
            lane.wake.set()

    async def attempt(self, delivery_id: str) -> None:
        """Post once (and once more per `duplicate`); a failure plans the next attempt."""
        row = self._store["delivery"].rows[delivery_id]
        if row["state"] != "pending":
            return
        endpoint = self._store["webhook_endpoint"].rows[row["endpoint"]]
        event = events.rendered(self._store, self._store["event"].rows[row["event"]])
        payload = json.dumps(event, separators=(",", ":")).encode()
        copies = 1 + self._faults.webhooks.duplicate
        answers = await asyncio.gather(*(self._post(endpoint, payload) for _ in range(copies)))
        self._settle(delivery_id, answers[0])

    def _planned(self, work: Work, event: Json, endpoint: Json) -> Json:
        controls = self._faults.webhooks
        dropped = any(fnmatchcase(event["type"], pattern) for pattern in controls.drop)
        row = {
            "id": f"{event['id']}:{endpoint['id']}",
            "event": event["id"],
            "endpoint": endpoint["id"],
            "planned": work.now,
            "due": work.now + controls.delay_ms / 1000,
            "attempts": 0,
            "last_answer": None,
            "state": "dropped" if dropped else "pending",
        }
        work.tx.put("delivery", row["id"], row)
        return row

    def _lane(self, endpoint_id: str) -> Lane:
        if endpoint_id not in self._lanes:
            self._lanes[endpoint_id] = Lane(self._clock, self.attempt)
        return self._lanes[endpoint_id]

    async def _post(self, endpoint: Json, payload: bytes) -> str:
        """The status as text, or what went wrong."""
        # The receiver judges the age of a signature by the wall clock, so virtual time is no use here.
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(endpoint["secret"], int(time.time()), payload),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            async with self._session.post(
                endpoint["url"], data=payload, headers=headers, allow_redirects=False
            ) as response:
                await response.read()
                return str(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return f"{type(error).__name__}"

    def _settle(self, delivery_id: str, outcome: str) -> None:
        row = self._store["delivery"].rows[delivery_id]
        if row["state"] != "pending":
            return
        row = {**row, "attempts": row["attempts"] + 1, "last_answer": outcome}
        if outcome.startswith("2"):
            row["state"] = "delivered"
        elif self._clock.now() - row["planned"] >= GIVE_UP_S:
            row["state"] = "abandoned"
        else:
            row["due"] = self._clock.now() + backoff_s(row["attempts"])
        self._commit([("delivery", row["id"], row)])
        if row["state"] == "pending":
            self.enqueue([row])


def backoff_s(attempts: int) -> float:
    """The wait after that many attempts: 0.5 s, 1 s, 2 s … up to the cap."""
    return min(RETRY_CAP_S, FIRST_RETRY_S * 2.0 ** min(attempts - 1, 10))


def wants(endpoint: Json, kind: str) -> bool:
    enabled = endpoint["enabled_events"]
    return endpoint["status"] == "enabled" and ("*" in enabled or kind in enabled)


class Lane:
    """The deliveries to one endpoint: a dead one delays nobody else's."""

    def __init__(self, clock: Clock, attempt: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self._clock = clock
        self._attempt = attempt
        self._due: list[tuple[float, int, str]] = []
        self._count = 0
        self._running: set[asyncio.Task[None]] = set()
        self.wake = asyncio.Event()
        self._loop = asyncio.create_task(self._run())

    def add(self, due: float, delivery_id: str) -> None:
        self._count += 1
        heapq.heappush(self._due, (due, self._count, delivery_id))
        self.wake.set()

    async def stop(self) -> None:
        tasks = [self._loop, *self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self.wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._start_due()):
                    await self.wake.wait()

    def _start_due(self) -> float | None:
        """Start what is due; returns the seconds until the next one is, None for no such time."""
        while self._due and len(self._running) < CONCURRENCY:
            wait = self._due[0][0] - self._clock.now()
            if wait > 0:
                return wait
            self._start(heapq.heappop(self._due)[2])
        return None

    def _start(self, delivery_id: str) -> None:
        task = asyncio.create_task(self._attempt(delivery_id))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.wake.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("a delivery failed unexpectedly", exc_info=task.exception())
