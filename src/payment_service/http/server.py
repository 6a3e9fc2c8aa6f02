"""Serves an ASGI app on a port of its own, inside the event loop that is running: uvicorn with httptools, and its limits."""

from __future__ import annotations

import asyncio
import math
import re
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from payment_service.http.problems import BAD_REQUEST, HEAD_TOO_LARGE, PROBLEM_TYPE, Kind, render

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

    from starlette.types import ASGIApp

# A request line and headers: Stripe's have 1 kB, and proxies commonly pass 8 to 16 kB on.
HEAD_LIMIT_BYTES: Final = 32_768
HEADERS_MAX: Final = 100
# From the first byte (or the connection) to the end of the headers. Nobody honest needs one second.
HEAD_TIMEOUT_S: Final = 10.0
# Longer than the minute for which load balancers commonly keep idle connections, so that they close first and none
# is closed under a request that is on its way.
KEEP_ALIVE_TIMEOUT_S: Final = 75
# Connections that wait to be accepted while the loop is busy; the kernel caps it by net.core.somaxconn.
BACKLOG: Final = 2_048
# An answer before the end of the request (413, 415, 431): the rest is read and dropped for this time before the connection is
# closed, since a reset would take the answer from the client that is still sending.
LINGER_S: Final = 1.0

_TARGET: Final = re.compile(rb"/(?!/)[!-~]*")


class AddressInUse(OSError):
    """The port can't be listened on; the message says what to do."""


def server_settings() -> dict[str, Any]:
    """Settings of uvicorn, the same on both ports."""
    return {
        "http": Protocol,
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "proxy_headers": False,  # http/app.py believes those of TRUSTED_PROXIES, on one port
        "timeout_keep_alive": KEEP_ALIVE_TIMEOUT_S,
        "limit_concurrency": None,  # it counts idle connections too, so a few thousand of them would shut out Stripe
        "backlog": BACKLOG,
    }


class HttpServer:
    """One app on one port. No signal handlers, no threads."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._server = uvicorn.Server(uvicorn.Config(app, **server_settings()))
        self._socket: socket.socket | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; return the port (another than asked for only if that was 0). Raises AddressInUse."""
        self._socket = _listen(self._host, self._port)
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._socket])
        self._ticking = asyncio.create_task(self._server.main_loop(), name=f"http:{self._port}")
        return int(self._socket.getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, close idle connections, finish what runs for up to `grace_s` seconds; then cut it off."""
        if self._socket is None or self._ticking is None:
            return
        self._ticking.cancel()
        with suppress(asyncio.CancelledError):
            await self._ticking
        self._server.config.timeout_graceful_shutdown = math.ceil(grace_s)
        await self._server.shutdown(sockets=[self._socket])
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._socket = self._ticking = None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{host}:{port} can't be listened on ({reason}): stop what listens there, or set another SERVICE_PORT or METRICS_PORT."
        raise AddressInUse(message) from None
    listening.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return listening


class _Refused(Exception):
    """Raised inside the parser, which then stops."""


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 on one connection, stricter than uvicorn's: limits on the head, and nothing that a proxy might read otherwise.

    llhttp itself refuses what smuggling is made of (bare LF, folded headers, two lengths, a length beside a transfer
    coding). What it lets through and is refused here: a transfer coding that is not just `chunked`, or on HTTP/1.0; a
    missing or second Host; an absolute or network-path target; a body on HTTP/1.0.
    """

    _ended = False  # refused: whatever else comes is dropped
    _head_open = True
    _head_received = 0  # bytes of an incomplete head, as they came
    _headers_size = 0  # bytes of the headers that are complete
    _hosts = 0
    _coding: bytes | None = None
    _refusal: tuple[Kind, str] | None = None
    _head_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is closed."""
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._unwatch_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and watch a head that is not complete."""
        if self._ended:
            return
        super().data_received(data)
        if not self._head_open or self._ended or self.transport.is_closing():
            return
        if self._head_timer is None:
            self._watch_head()
        self._head_received += len(data)
        if self._head_received > HEAD_LIMIT_BYTES:
            self._refusal = _HEAD_TOO_LARGE
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head_open, self._head_received, self._headers_size, self._hosts, self._coding = True, 0, 0, 0, None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; the parser stops when there are too many."""
        super().on_header(name, value)
        self._headers_size += len(name) + len(value)
        if self._headers_size > HEAD_LIMIT_BYTES or len(self.headers) > HEADERS_MAX:
            self._refuse(_HEAD_TOO_LARGE)
        lower = self.headers[-1][0]
        if lower == b"host":
            self._hosts += 1
        elif lower == b"transfer-encoding":
            self._coding = value if self._coding is None else b"repeated"

    def on_headers_complete(self) -> None:
        """Start the request, unless proxies and servers are known to read its head differently."""
        self._head_open = False
        self._unwatch_head()
        if len(self.url) + self._headers_size > HEAD_LIMIT_BYTES:
            self._refuse(_HEAD_TOO_LARGE)
        modern = self.parser.get_http_version() == "1.1"
        if self._coding is not None and (self._coding.lower() != b"chunked" or not modern):
            self._refuse(_bad("The only transfer coding taken is chunked, on HTTP/1.1."))
        if self._hosts > 1 or (modern and self._hosts == 0):
            self._refuse(_bad("A request needs exactly one Host header."))
        if _TARGET.fullmatch(self.url) is None:
            self._refuse(_bad("Write the request target as a path that begins with one slash."))
        if not modern and self.parser.get_method() not in {b"GET", b"HEAD"}:
            self._refuse(_bad("HTTP/1.0 is taken for GET and HEAD only: use HTTP/1.1."))
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Close a connection soon whose request was answered before its body had ended."""
        unread = self.cycle.more_body
        super().on_response_complete()
        if unread and not self.transport.is_closing():
            self.loop.call_later(LINGER_S, self.shutdown)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Answer what is no HTTP, or was refused, and close."""
        kind, detail = self._refusal or _bad("The request is not valid HTTP/1.1.")
        body = render(kind, detail)
        phrase = HTTPStatus(kind.status).phrase
        head = [f"HTTP/1.1 {kind.status} {phrase}", f"content-type: {PROBLEM_TYPE}", f"content-length: {len(body)}"]
        self.transport.write("\r\n".join([*head, "connection: close", "\r\n"]).encode() + body)
        self._ended = True
        self._unwatch_head()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: an offer to upgrade (to h2c, say) may be passed over."""

    def _refuse(self, refusal: tuple[Kind, str]) -> None:
        self._refusal = refusal
        raise _Refused

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up_head)

    def _unwatch_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up_head(self) -> None:
        self._head_timer = None
        if self._head_open and not self.transport.is_closing():
            self.transport.close()


def _bad(detail: str) -> tuple[Kind, str]:
    return BAD_REQUEST, detail


_HEAD_TOO_LARGE: Final = (
    HEAD_TOO_LARGE,
    f"The request line and headers may have {HEAD_LIMIT_BYTES} bytes and {HEADERS_MAX} headers.",
)
