"""The webhook load: signed `payment_intent.succeeded` events for existing payments, over keep-alive connections.

With a rate of 0 it is a closed loop: each connection sends its next event after the last answer. With a rate it is an open one:
events are due at fixed times, and latencies count from those, so that waiting for a slow answer shows. Events are built and
signed before the clock starts. Run: `python -m bench.load PORT DSN SECRET COUNT CONNECTIONS RATE`; prints one JSON object.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
import uvloop

from bench.intent import EVENT_TEXT

# Payments that wait for their customer, oldest first, as a shop would pay them.
_PAYMENTS: Final = """
SELECT id::text, order_id, provider_payment_id, amount, currency FROM payments
WHERE status = 'pending' ORDER BY created_at, order_id LIMIT %s
"""


TICK_S: Final = 0.001


class Connection(asyncio.Protocol):
    """A connection that sends `requests` one at a time. `answered` gets a status and a latency, and says what is next."""

    def __init__(self, answered: Callable[[Connection, int, float], None]) -> None:
        self._answered = answered
        self._transport: Any = None
        self._waiting = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """End the run: the service has no reason to close."""
        if exc is not None or not self._transport.is_closing():
            sys.exit(f"The service closed a connection: {exc}")

    def close(self) -> None:
        """Close."""
        self._transport.close()

    def send(self, request: bytes, due_at: float) -> None:
        """Send a request that was due at this time."""
        self._sent_at = due_at
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Report a complete answer."""
        data = self._waiting + data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or len(data) < end + _length(data, end):
            self._waiting = data
            return
        self._waiting = b""
        self._answered(self, int(data[9:12]), time.perf_counter() - self._sent_at)


def _length(data: bytes, end: int) -> int:
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    return 0 if at < 0 else int(head[at + 17 : head.index(b"\r\n", at + 17)])


def make_requests(dsn: str, port: int, secret: str, count: int) -> list[bytes]:
    """Build and sign an event for each of `count` payments."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(_PAYMENTS, (count,)).fetchall()
    if len(rows) < count:
        sys.exit(f"Only {len(rows)} payments wait for their customer; {count} are needed.")
    now = int(time.time())
    return [_request(port, secret, now, row) for row in rows]


def _request(port: int, secret: str, now: int, row: tuple[Any, ...]) -> bytes:
    payment_id, order_id, intent, amount, currency = row
    tail = intent.removeprefix("pi_3")
    body = EVENT_TEXT % {
        "event": f"evt_3{tail}",
        "intent": intent,
        "amount": amount,
        "received": amount,
        "created": now,
        "currency": currency,
        "charge": f'"ch_3{tail}"',
        "method": f'"pm_1{tail}"',
        "deployment": "bench",
        "order": order_id,
        "payment": payment_id,
        "status": "succeeded",
    }
    signature = hmac.new(secret.encode(), f"{now}.{body}".encode(), hashlib.sha256).hexdigest()
    head = (
        f"POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\nAccept: */*\r\n"
        f"Stripe-Signature: t={now},v1={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


class Run:
    """All requests of a run, over idle connections. `rate_per_s` 0: as soon as a connection is idle."""

    def __init__(self, requests: list[bytes], rate_per_s: float) -> None:
        self.answers: list[tuple[int, float]] = []
        self.finished = asyncio.Event()
        self._requests = requests
        self._rate_per_s = rate_per_s
        self._sent = 0
        self._idle: list[Connection] = []
        self._started = 0.0

    def start(self, opened: list[Connection]) -> None:
        """Start the clock."""
        self._idle = opened
        self._started = time.perf_counter()
        self._send_due()

    def answered(self, connection: Connection, status: int, latency_s: float) -> None:
        """Note an answer, and send what is due."""
        self.answers.append((status, latency_s))
        self._idle.append(connection)
        if len(self.answers) == len(self._requests):
            self.finished.set()
        self._send_due()

    def tick(self) -> None:
        """Send what became due, every millisecond until all is sent."""
        self._send_due()
        if self._sent < len(self._requests):
            asyncio.get_running_loop().call_later(TICK_S, self.tick)

    def _send_due(self) -> None:
        now = time.perf_counter()
        while self._idle and self._sent < len(self._requests):
            due_at = self._started + self._sent / self._rate_per_s if self._rate_per_s else now
            if due_at > now:
                return
            request = self._requests[self._sent]
            self._sent += 1
            self._idle.pop(0).send(request, due_at)


async def send_all(port: int, requests: list[bytes], connections: int, rate_per_s: float = 0) -> dict[str, Any]:
    """Send all requests and return the answers, the rates and the CPU of sending."""
    loop = asyncio.get_running_loop()
    run = Run(requests, rate_per_s)
    opened = [
        (await loop.create_connection(lambda: Connection(run.answered), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    started, cpu_started = time.perf_counter(), time.process_time()
    run.start(list(opened))
    if rate_per_s:
        run.tick()
    await run.finished.wait()
    elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    for connection in opened:
        connection.close()
    latencies = sorted(latency for _, latency in run.answers)
    return {
        "elapsed_s": elapsed_s,
        "cpu_s": cpu_s,
        "accepted": sum(status == 200 for status, _ in run.answers),
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[len(latencies) * 99 // 100],
        "body_bytes": len(requests[0].partition(b"\r\n\r\n")[2]),
    }


def main() -> None:
    """Read the arguments, send, print."""
    port, dsn, secret, count, connections, rate_per_s = sys.argv[1:]
    requests = make_requests(dsn, int(port), secret, int(count))
    print(json.dumps(uvloop.run(send_all(int(port), requests, int(connections), float(rate_per_s)))))


if __name__ == "__main__":
    main()
