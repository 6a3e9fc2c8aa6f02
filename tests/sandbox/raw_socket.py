"""An HTTP client on a raw socket that also reports how the response ended."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from tests.support.sandbox import API_KEY

TIMEOUT_S = 1.0  # longer than any response takes without a fault
PAYMENT = {
    "amount": "1000",
    "currency": "usd",
    "payment_method": "pm_card_visa",
    "confirm": "true",
    "payment_method_types[]": "card",
}

End = Literal["complete", "closed", "reset", "timeout"]


@dataclass(frozen=True, slots=True)
class RawResponse:
    """The received bytes and their end: `complete`, or `closed`, `reset` or `timeout` before `Content-Length` bytes."""

    end: End
    status: int | None
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content

    @property
    def is_json(self) -> bool:
        try:
            json.loads(self.body)
        except ValueError:
            return False
        return True


def send_request(
    port: int,
    path: str,
    params: Mapping[str, Any] | None = None,
    *,
    key: str | None = None,
    api_key: str = API_KEY,
    timeout_s: float = 20.0,
) -> RawResponse:
    """POST `params`, or GET without them, and read until the response ends or nothing arrives for `timeout_s`."""
    lines = [f"{'GET' if params is None else 'POST'} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"Authorization: Bearer {api_key}"]
    lines += [] if key is None else [f"Idempotency-Key: {key}"]
    body = urlencode(params or {}).encode()
    if params is not None:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return _receive(connection)


def pay(port: int, order: str, key: str | None = None) -> RawResponse:
    """Create a payment that succeeds."""
    params = {**PAYMENT, "metadata[order_id]": order}
    return send_request(port, "/v1/payment_intents", params, key=key, timeout_s=TIMEOUT_S)


def _receive(connection: socket.socket) -> RawResponse:
    received, end = b"", None
    while end is None:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            end = "reset"
        except TimeoutError:
            end = "timeout"
        else:
            received += chunk
            end = "closed" if not chunk else None
        if _complete(received):
            end = "complete"
    return _parsed(received, end)  # type: ignore[arg-type]


def _complete(received: bytes) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(found and lengths) and len(body) >= int(lengths[0].partition(b":")[2])


def _parsed(received: bytes, end: End) -> RawResponse:
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        return RawResponse(end, None, {}, b"")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return RawResponse(end, int(first.split()[1]), {name.lower(): value.strip() for name, _, value in fields}, body)
