"""The webhook load: signed `payment_intent.succeeded` events for existing payments, over keep-alive connections.

It is a closed loop: each connection sends its next event after the last answer. Events are built and signed before the clock
starts. Run: `python -m bench.load URL-PORT DSN SECRET COUNT CONNECTIONS`; prints one JSON object.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import uvloop

from bench.intent import EVENT_TEXT

# Payments that wait for their customer, oldest first, as a shop would pay them.
_PAYMENTS: Final = """
SELECT id::text, order_id, provider_payment_id, amount, currency FROM payments
WHERE status = 'pending' ORDER BY created_at, order_id LIMIT %s
"""


class Connection(asyncio.Protocol):
    """A connection that sends `requests` one at a time."""

    def __init__(self, requests: Iterator[bytes], answers: list[tuple[int, float]]) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._answers = answers
        self._transport: Any = None
        self._waiting = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the run: the service has no reason to close."""
        if not self.finished.done():
            self.finished.set_exception(exc or ConnectionError("The service closed a connection."))

    def send(self) -> None:
        """Send the next request, or end."""
        request = next(self._requests, None)
        if request is None:
            self.finished.set_result(None)
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Record a complete answer and send the next request."""
        data = self._waiting + data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or len(data) < end + _length(data, end):
            self._waiting = data
            return
        self._waiting = b""
        self._answers.append((int(data[9:12]), time.perf_counter() - self._sent_at))
        self.send()


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


async def send_all(port: int, requests: list[bytes], connections: int) -> dict[str, Any]:
    """Send all requests and return the answers, the rates and the CPU of sending."""
    loop = asyncio.get_running_loop()
    answers: list[tuple[int, float]] = []
    source = iter(requests)
    opened = [
        (await loop.create_connection(lambda: Connection(source, answers), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    started, cpu_started = time.perf_counter(), time.process_time()
    for connection in opened:
        connection.send()
    await asyncio.gather(*(connection.finished for connection in opened))
    elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    latencies = sorted(latency for _, latency in answers)
    return {
        "elapsed_s": elapsed_s,
        "cpu_s": cpu_s,
        "accepted": sum(status == 200 for status, _ in answers),
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[len(latencies) * 99 // 100],
        "body_bytes": len(requests[0].partition(b"\r\n\r\n")[2]),
    }


def main() -> None:
    """Read the arguments, send, print."""
    port, dsn, secret, count, connections = sys.argv[1:]
    requests = make_requests(dsn, int(port), secret, int(count))
    print(json.dumps(uvloop.run(send_all(int(port), requests, int(connections)))))


if __name__ == "__main__":
    main()
