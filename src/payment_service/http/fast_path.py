"""The fast path of webhooks: a plain delivery is stored and answered without the app, in one write.

A request is plain if it arrives at once and no parser can read it in two ways. All others, and each that would not be
answered with 200, are left to llhttp and the app, with the same bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from payment_service.http import problems
from payment_service.http.webhooks import RECEIVED, WebhookEndpoint
from payment_service.telemetry import metrics, traces

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.responses import Response
    from starlette.types import ASGIApp

# Stripe's head has 1 kB, with a proxy's headers 2 kB.
_HEAD_LIMIT_BYTES: Final = 4_096
_END: Final = b"\r\n\r\n"
_HEAD: Final = re.compile(rb"POST (/[a-z/_-]+) HTTP/1\.1((?:\r\n[A-Za-z0-9-]+: [!-~](?:[ -~]*[!-~])?)+)\r\n\r\n")
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,8}")
# Headers that change how the request or its connection is read.
_NOT_PLAIN: Final = frozenset(
    {"connection", "content-encoding", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


class PlainRequest(NamedTuple):
    """A request that is read in one way only. The names of headers are lower-case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


def read_plain(data: bytes) -> PlainRequest | None:
    """Return the request if these bytes are a single, complete and plain one. Otherwise None."""
    end = data.find(_END, 0, _HEAD_LIMIT_BYTES) + len(_END)
    head = _HEAD.fullmatch(data, 0, end)
    if head is None:
        return None
    headers: dict[str, str] = {}
    lines = head[2].decode("ascii").split("\r\n")
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    length = headers.get("content-length", "")
    if len(headers) != len(lines) - 1 or "host" not in headers or not _NOT_PLAIN.isdisjoint(headers):
        return None
    if _LENGTH.fullmatch(length) is None or int(length) != len(data) - end:
        return None
    return PlainRequest(head[1].decode("ascii"), headers, data[end:])


def webhook_endpoints(app: ASGIApp) -> dict[str, WebhookEndpoint]:
    """Return the app's endpoints of webhooks by their paths."""
    routes: Sequence[object] = getattr(app, "routes", ())
    found = ((getattr(route, "path", ""), getattr(route, "endpoint", None)) for route in routes)
    return {path: endpoint for path, endpoint in found if isinstance(endpoint, WebhookEndpoint)}


def begin(endpoints: Mapping[str, WebhookEndpoint], data: bytes) -> tuple[str, asyncio.Future[None]] | None:
    """Start to store a plain delivery. Return its path and the end of storing it, or None if the app has to answer."""
    if traces.on():
        return None  # the app makes the span of a request
    request = read_plain(data)
    endpoint = endpoints.get(request.path) if request else None
    if request is None or endpoint is None:
        return None
    stored = endpoint.begin(request.body, request.headers)
    return (request.path, stored) if stored is not None else None


def answer(path: str, stored: asyncio.Future[None], seconds: float) -> Response:
    """Count a finished delivery, which took so long, and return its response, as the app would."""
    error = stored.exception()
    response = RECEIVED if error is None else problems.respond_to_failure(error)
    metrics.count_request(path, "POST", response.status_code, seconds)
    return response


def render(
    response: Response, status_line: bytes, more_headers: Iterable[tuple[bytes, bytes]], *, close: bool
) -> bytes:
    """Return a response as bytes, in the form in which uvicorn writes it."""
    parts = [status_line]
    for name, value in (*more_headers, *response.raw_headers):
        parts += (name, b": ", bytes(value), b"\r\n")
    parts += (b"connection: close\r\n\r\n" if close else b"\r\n", bytes(response.body))
    return b"".join(parts)
