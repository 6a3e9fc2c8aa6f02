"""A provider with little CPU: POST /v1/payment_intents, and empty lists. It answers at once, or after STUB_ANSWER_AFTER_MS.

It has no state: the intent's id is computed from the payment's, so the same key gets the same intent. Run: `python -m bench.stub PORT`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qsl

import uvloop

from bench.intent import INTENT_TEXT, intent_id

ANSWER_AFTER_S: Final = int(os.environ.get("STUB_ANSWER_AFTER_MS", "0")) / 1000
_ROUTE: Final = b"POST /v1/payment_intents HTTP/1.1\r\n"
_LISTS: Final = (b"GET /v1/payment_intents?", b"GET /v1/events?")
_EMPTY: Final = b'{"object":"list","data":[],"has_more":false}'
_EMPTY_LIST: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_EMPTY),
    _EMPTY,
)
# A key that may not claim the deployment name is enough for a start (I18).
_FORBIDDEN: Final = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """A keep-alive connection with requests one after another."""

    def __init__(self) -> None:
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
            if data.startswith(_ROUTE):
                self._send(_answer(data[end : end + length]))
            else:
                self._transport.write(_EMPTY_LIST if data.startswith(_LISTS) else _FORBIDDEN)
            data = data[end + length :]
        self._waiting = data

    def _send(self, answer: bytes) -> None:
        if ANSWER_AFTER_S:
            asyncio.get_running_loop().call_later(ANSWER_AFTER_S, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return 0 if at < 0 else int(head[at + 17 : head.index(b"\r\n", at + 17)])


def _answer(form: bytes) -> bytes:
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


async def serve(port: int) -> None:
    """Listen until the process ends."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
