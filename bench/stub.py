"""A provider that answers at once, with little CPU: POST /v1/payment_intents, and empty lists.

It has no state: the intent's id is computed from the payment's, so the same key gets the same intent. Run: `python -m bench.stub PORT LATENCY_MS`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qsl

import uvloop

from bench.intent import INTENT_TEXT, intent_id

_ROUTE: Final = b"POST /v1/payment_intents HTTP/1.1\r\n"
_LISTS: Final = (
    b"GET /v1/payment_intents?",
    b"GET /v1/events?",
    b"GET /v1/charges?",
    b"GET /v1/refunds?",
    b"GET /v1/disputes?",
)
_EMPTY: Final = b'{"object":"list","data":[],"has_more":false}'
# As for a key that may not read the account or the products: the service then starts without a claim.
_FORBIDDEN: Final = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """A keep-alive connection with requests one after another."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._transport: Any = None
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        data = self._waiting + data
        while (end := data.find(b"\r\n\r\n") + 4) >= 4 and len(data) >= end + _length(data[:end]):
            length = _length(data[:end])
            answer = _answer(data, data[end : end + length])
            if self._latency_s:
                asyncio.get_running_loop().call_later(self._latency_s, self._transport.write, answer)
            else:
                self._transport.write(answer)
            data = data[end + length :]
        self._waiting = data


def _length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return 0 if at < 0 else int(head[at + 17 : head.index(b"\r\n", at + 17)])


def _answer(request: bytes, form: bytes) -> bytes:
    if request.startswith(_ROUTE):
        return _created(form)
    if request.startswith(_LISTS):
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_EMPTY) + _EMPTY
    return _FORBIDDEN


def _created(form: bytes) -> bytes:
    asked = dict(parse_qsl(form.decode()))
    payment_id, now = asked["metadata[payment_id]"], int(time.time())
    intent = INTENT_TEXT % {
        "intent": intent_id(payment_id),
        "amount": asked["amount"],
        "received": 0,
        "created": now,
        "currency": asked["currency"],
        "charge": "null",
        "method": "null",
        "deployment": asked["metadata[deployment]"],
        "order": asked["metadata[order_id]"],
        "payment": payment_id,
        "status": "requires_payment_method",
    }
    head = (
        f"HTTP/1.1 200 OK\r\nDate: {formatdate(now, usegmt=True)}\r\nContent-Type: application/json\r\n"
        f"Request-Id: req_bench\r\nContent-Length: {len(intent)}\r\n\r\n"
    )
    return (head + intent).encode()


async def serve(port: int, latency_s: float) -> None:
    """Listen until the process ends."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(latency_s), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]) / 1000))
