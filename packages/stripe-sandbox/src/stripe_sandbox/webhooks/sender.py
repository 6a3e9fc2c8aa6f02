"""The webhook sender: signed, retried until 2xx, limited per endpoint (https://docs.stripe.com/webhooks).

A delivery is a row, written in the transaction of its event. A restarted sandbox therefore resumes, and an event may
arrive twice, as at Stripe.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterable

import aiohttp

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.rules import Faults
from stripe_sandbox.faults.webhooks import EventEffects, WrongSignature
from stripe_sandbox.resources.events import subject_metadata
from stripe_sandbox.resources.old_versions import receives
from stripe_sandbox.state.clock import Clock
from stripe_sandbox.state.store import Record, Store
from stripe_sandbox.state.unit_of_work import UnitOfWork, new_id
from stripe_sandbox.webhooks import signature
from stripe_sandbox.webhooks.delivery_attempts import BODY_CHARS, Attempt, after_attempt
from stripe_sandbox.webhooks.endpoint_queue import EndpointQueue
from stripe_sandbox.webhooks.payloads import Payloads

RESPONSE_TIMEOUT_S = 30.0  # as long as the Stripe CLI's forwarder waits
RESPONSE_LIMIT_BYTES = 4 * BODY_CHARS  # enough for that many characters of UTF-8; the rest is not read
BEFORE_RESPONSE_TIMEOUT_S = 5.0  # how long an API response waits for its own webhooks

Commit = Callable[[list[Record]], None]

_NO_EFFECTS = EventEffects()


class Sender:
    def __init__(self, store: Store, clock: Clock, faults: Faults, commit: Commit) -> None:
        self._store = store
        self._clock = clock
        self._faults = faults
        self._commit = commit
        self._payloads = Payloads(store)
        self._queues: dict[str, EndpointQueue] = {}

    async def start(self) -> None:
        """Resume the deliveries that an earlier process left pending."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=RESPONSE_TIMEOUT_S),
            # Certificates are not checked: development servers use self-signed ones.
            connector=aiohttp.TCPConnector(limit=0, ssl=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        self.enqueue(self._store["delivery"].rows.values())

    async def stop(self) -> None:
        for queue in self._queues.values():
            await queue.stop()
        await self._session.close()

    def plan(self, work: UnitOfWork) -> list[Json]:
        """Write a delivery for each event of `work` and each subscribed endpoint; returns those to send."""
        if not work.events:
            return []
        endpoints = list(self._store["webhook_endpoint"].rows.values())
        if not self._faults.webhooks.any:
            return [
                _automatic_delivery(work, event, endpoint, _NO_EFFECTS)
                for event in work.events
                for endpoint in endpoints
                if receives(endpoint, event)
            ]
        return [row for event in work.events for row in self._plan_with_faults(work, event, endpoints)]

    def plan_resend(self, work: UnitOfWork, event: Json) -> list[Json]:
        """Plan one extra delivery of `event` per endpoint; existing deliveries stay."""
        endpoints = self._store["webhook_endpoint"].rows.values()
        return [_single_delivery(work, event, endpoint, 0.0) for endpoint in endpoints if receives(endpoint, event)]

    def enqueue(self, deliveries: Iterable[Json]) -> None:
        for row in deliveries:
            if row["state"] == "pending":
                self._queue(row["endpoint"]).add(row["due"], row["id"])

    async def deliver_now(self, deliveries: list[Json]) -> None:
        """Attempt each due delivery once and wait for the results, up to a limit."""
        now = self._clock.now()
        due = [row for row in deliveries if row["state"] == "pending" and row["due"] <= now]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEFORE_RESPONSE_TIMEOUT_S):
                await asyncio.gather(*(self.attempt(row["id"]) for row in due))
        rows = [self._store["delivery"].rows[row["id"]] for row in deliveries]
        self.enqueue(row for row in rows if not row["attempts"])

    def wake(self) -> None:
        """Re-check what is due after the clock has advanced."""
        for queue in self._queues.values():
            queue.wake.set()

    async def attempt(self, delivery_id: str) -> None:
        """Post once; a failure schedules the next attempt."""
        row = self._store["delivery"].rows[delivery_id]
        if row["state"] != "pending":
            return
        endpoint = self._store["webhook_endpoint"].rows.get(row["endpoint"])
        if endpoint is None or endpoint["status"] != "enabled":
            self._write({**row, "state": "stopped"})
            return
        attempt = await self._post(row, endpoint)
        row = self._store["delivery"].rows[delivery_id]
        if row["state"] == "pending":
            self._write(after_attempt(row, attempt, self._clock.now()))

    def _plan_with_faults(self, work: UnitOfWork, event: Json, endpoints: list[Json]) -> list[Json]:
        """Plan an event's deliveries under the faults in force, which may remove or duplicate the event."""
        effects = self._faults.webhooks.draw(event["type"], subject_metadata(work, event))
        if not effects.generated:
            work.tx.delete("event", event["id"])
            return []
        events = [event]
        if effects.twin:
            twin = {**event, "id": new_id(event["id"][:5])}
            work.tx.put("event", twin["id"], twin)
            events.append(twin)
        rows = []
        for sent in events:
            for endpoint in endpoints:
                if receives(endpoint, event):
                    rows.append(_automatic_delivery(work, sent, endpoint, effects))
                    rows += [_single_delivery(work, sent, endpoint, effects.delay_s + late) for late in effects.copies]
        return rows

    def _queue(self, endpoint_id: str) -> EndpointQueue:
        if endpoint_id not in self._queues:
            self._queues[endpoint_id] = EndpointQueue(self._clock, self.attempt)
        return self._queues[endpoint_id]

    async def _post(self, row: Json, endpoint: Json) -> Attempt:
        now, wall, started = self._clock.now(), int(time.time()), time.monotonic()
        payload = self._payloads.of(self._store["event"].rows[row["event"]], endpoint)
        keys, timestamp = signature.signing_inputs(endpoint, now, wall, _wrong_signature(row))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature.header(keys, timestamp, payload),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        body = ""
        try:
            async with self._session.post(
                endpoint["url"], data=payload, headers=headers, allow_redirects=False
            ) as response:
                body = await _start_of(response)
                outcome = str(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            outcome = type(error).__name__
        took_ms = round((time.monotonic() - started) * 1000)
        return Attempt(now, outcome, took_ms, timestamp, len(keys), body)

    def _write(self, row: Json) -> None:
        self._commit([("delivery", row["id"], row)])
        self.enqueue([row])


async def _start_of(response: aiohttp.ClientResponse) -> str:
    """Return the first characters of a response; a longer one is cut off by closing the connection."""
    data = b""
    while len(data) < RESPONSE_LIMIT_BYTES and (chunk := await response.content.read(RESPONSE_LIMIT_BYTES - len(data))):
        data += chunk
    if not response.content.at_eof():
        response.close()
    return data.decode("utf-8", "replace")[:BODY_CHARS]


def _wrong_signature(row: Json) -> WrongSignature | None:
    """Return how to sign the next attempt wrongly, if at all."""
    return row["wrong"] if row["attempts"] < row.get("wrong_attempts", 0) else None


def _automatic_delivery(work: UnitOfWork, event: Json, endpoint: Json, effects: EventEffects) -> Json:
    """Plan the automatic delivery."""
    fault_fields: Json = {"state": "dropped"} if effects.dropped else {}
    if effects.wrong is not None:
        fault_fields |= {"wrong": effects.wrong, "wrong_attempts": effects.wrong_attempts}
    return _put(work, event, endpoint, "", effects.delay_s, fault_fields)


def _single_delivery(work: UnitOfWork, event: Json, endpoint: Json, delay_s: float) -> Json:
    """Plan an additional delivery with a single attempt."""
    return _put(work, event, endpoint, f":{secrets.token_hex(4)}", delay_s, {"once": True})


def _put(work: UnitOfWork, event: Json, endpoint: Json, suffix: str, delay_s: float, more: Json) -> Json:
    row = {
        "id": f"{event['id']}:{endpoint['id']}{suffix}",
        "event": event["id"],
        "endpoint": endpoint["id"],
        "planned": work.now,
        "due": work.now + delay_s,
        "attempts": 0,
        "log": [],
        "state": "pending",
        **more,
    }
    work.tx.put("delivery", row["id"], row)
    return row
