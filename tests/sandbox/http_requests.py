"""Plain HTTP requests that no SDK would send."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

from tests.support.sandbox import API_KEY, SandboxProcess, notify_observers

FORM = "application/x-www-form-urlencoded"
GOOD = "amount=1000&currency=usd&payment_method_types[]=card"
INTENTS = "/v1/payment_intents"


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.body)
        return read

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["error"]
        return found


def send_request(
    sandbox: SandboxProcess,
    method: str,
    path: str,
    body: str | bytes | None = None,
    **headers: str | None,
) -> Response:
    """Send a request. `Some_Header=…` sets the header `Some-Header`, and None removes it."""
    sent = {"Authorization": f"Bearer {API_KEY}", "Content-Type": FORM if body is not None else None}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=20)
    try:
        connection.request(method, path, body, {name: value for name, value in sent.items() if value is not None})
        response = connection.getresponse()
        content = response.read()
        notify_observers(content)
        found = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status, found, content)
    finally:
        connection.close()


def create(sandbox: SandboxProcess, more: str = "", **headers: str | None) -> Response:
    return send_request(sandbox, "POST", INTENTS, f"{GOOD}{more}", **headers)
