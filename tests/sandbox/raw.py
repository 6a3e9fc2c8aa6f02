"""A client over a bare socket, which tells how an answer ended, and not only what it said."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from tests.support.sandbox import API_KEY

PATIENCE_S = 1.0  # silence: long enough for any answer that comes at all without a fault
PAYMENT = {
    "amount": "1000",
    "currency": "usd",
    "payment_method": "pm_card_visa",
    "confirm": "true",
    "payment_method_types[]": "card",
}

End = Literal["whole", "closed", "reset", "silence"]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came, and its end: `whole` as announced, or before that `closed`, `reset` or `silence`."""

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


def ask(
    port: int,
    path: str,
    params: Mapping[str, Any] | None = None,
    *,
    key: str | None = None,
    api_key: str = API_KEY,
    patience_s: float = 20.0,
) -> Heard:
    """POST `params`, or GET without them, and listen to the end; `patience_s` of silence is an end too."""
    lines = [f"{'GET' if params is None else 'POST'} {path} HTTP/1.1", "Host: sandbox"]
    lines += [f"Authorization: Bearer {api_key}"]
    lines += [] if key is None else [f"Idempotency-Key: {key}"]
    body = urlencode(params or {}).encode()
    if params is not None:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    with socket.create_connection(("127.0.0.1", port), timeout=patience_s) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return _hear(connection)


def pay(port: int, order: str, key: str | None = None) -> Heard:
    """Ask for a payment that succeeds."""
    params = {**PAYMENT, "metadata[order_id]": order}
    return ask(port, "/v1/payment_intents", params, key=key, patience_s=PATIENCE_S)


def _hear(connection: socket.socket) -> Heard:
    received, end = b"", None
    while end is None:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            end = "reset"
        except TimeoutError:
            end = "silence"
        else:
            received += chunk
            end = "closed" if not chunk else None
        if _whole(received):
            end = "whole"
    return _parsed(received, end)  # type: ignore[arg-type]


def _whole(received: bytes) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(found and lengths) and len(body) >= int(lengths[0].partition(b":")[2])


def _parsed(received: bytes, end: End) -> Heard:
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        return Heard(end, None, {}, b"")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return Heard(end, int(first.split()[1]), {name.lower(): value.strip() for name, _, value in fields}, body)
