"""An HTTP server for an ASGI app inside the running event loop: uvicorn with httptools and stricter limits."""

from __future__ import annotations

import asyncio
import math
import re
import socket
import time
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from payment_service.http import fast_path
from payment_service.http.problems import BAD_REQUEST, HEAD_TOO_LARGE, PROBLEM_MEDIA_TYPE, ProblemType, render

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport
    from collections.abc import Mapping

    from starlette.types import ASGIApp

    from payment_service.http.webhooks import WebhookEndpoint

# A request line and headers: Stripe sends 1 kB, and proxies commonly forward 8 to 16 kB.
HEAD_LIMIT_BYTES: Final = 32_768
HEADERS_MAX: Final = 100
# From the first byte (or the connection) to the end of the headers. A regular client needs less than a second.
HEAD_TIMEOUT_S: Final = 10.0
# Load balancers commonly keep idle connections for a minute. A longer timeout here makes them close first, so that no
# connection closes under a request in flight.
KEEP_ALIVE_TIMEOUT_S: Final = 75
# Connections that wait to be accepted while the loop is busy. The kernel caps it by net.core.somaxconn.
BACKLOG: Final = 2_048
# After an early response (413, 415, 431), read and drop the rest of the request for this time before closing. A reset
# would destroy the response while the client is still sending.
LINGER_S: Final = 1.0

_TARGET: Final = re.compile(rb"/(?!/)[!-~]*")


class AddressInUse(OSError):
    """The port cannot be bound; the message says what to do."""


def server_settings(app: ASGIApp) -> dict[str, Any]:
    """Return uvicorn's settings, which are the same on both ports."""
    return {
        "http": partial(Protocol, endpoints=fast_path.webhook_endpoints(app)),
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # http/app.py handles these headers, for TRUSTED_PROXIES on one port
        "timeout_keep_alive": KEEP_ALIVE_TIMEOUT_S,
        "limit_concurrency": None,  # it also counts idle connections, so a few thousand of them would lock out Stripe
        "backlog": BACKLOG,
    }


class HttpServer:
    """An app on its own port, without signal handlers or threads. `shared`: other processes listen there too."""

    def __init__(self, app: ASGIApp, host: str, port: int, *, shared: bool = False) -> None:
        self._shared = shared
        self._host = host
        self._port = port
        self._server = uvicorn.Server(uvicorn.Config(app, **server_settings(app)))
        self._socket: socket.socket | None = None
        self._serving = False

    def bind(self) -> None:
        """Bind the port without serving it, so that a port in use is noticed before any work starts. Raises AddressInUse."""
        self._socket = _bind(self._host, self._port, shared=self._shared)

    def unbind(self) -> None:
        """Free a port that was bound and is not served."""
        if self._socket is not None and not self._serving:
            self._socket.close()
            self._socket = None

    async def start(self) -> int:
        """Serve and return the port. It differs from the requested port only if that was 0. Raises AddressInUse."""
        if self._socket is None:
            self.bind()
        assert self._socket is not None  # noqa: S101 - bound now
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        _listen(self._socket)
        await self._server.startup(sockets=[self._socket])
        self._serving = True
        return int(self._socket.getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, close idle connections, and let requests finish for up to `grace_s` seconds before closing
        the rest.
        """
        if self._socket is None or not self._serving:
            return
        self._server.config.timeout_graceful_shutdown = math.ceil(grace_s)
        await self._server.shutdown(sockets=[self._socket])
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._socket, self._serving = None, False


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise _address_in_use(host, port, error) from None
    bound.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return bound


def _listen(bound: socket.socket) -> None:
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        raise _address_in_use(host, port, error) from None


def _address_in_use(host: str, port: int, error: OSError) -> AddressInUse:
    reason = error.strerror or str(error)
    return AddressInUse(
        f"Cannot listen on {host}:{port}: {reason}. Stop the process that listens there, or set another SERVICE_PORT, METRICS_PORT or ADMIN_PORT."
    )


class _Refused(Exception):
    """Raised inside the parser to stop it."""


class Protocol(HttpToolsProtocol):
    """A connection of HTTP/1.1 with limits on the head. It refuses everything that a proxy might parse differently.

    llhttp already refuses the usual means of request smuggling: bare LF, folded headers, two lengths, a length with a
    transfer coding. This class also refuses a transfer coding other than `chunked` or on HTTP/1.0; a missing or second
    Host; an absolute or network-path target; a body on HTTP/1.0.

    Plain deliveries to `endpoints` take the fast path (`http/fast_path.py`) while the parser is between two requests.
    """

    _ended = False  # refused; drop all further input
    _head_open = True
    _head_received = 0  # bytes received of an incomplete head
    _headers_size = 0  # bytes of the complete headers
    _hosts = 0
    _coding: bytes | None = None
    _refusal: tuple[ProblemType, str] | None = None
    _head_timer: TimerHandle | None = None
    _between = True  # the parser has read a whole request, or nothing
    _storing = False  # a delivery on the fast path waits for its answer
    _close_after = False  # close after that answer

    def __init__(self, *arguments: Any, endpoints: Mapping[str, WebhookEndpoint], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._endpoints = endpoints
        self._held: list[bytes] = []  # input that arrived meanwhile

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start the timer that closes a silent connection."""
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._unwatch_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the input and check the size of an incomplete head."""
        if self._ended:
            return
        self._renew_date()
        if self._storing:
            self._held.append(data)
            self.flow.pause_reading()
            return
        if self._endpoints and self._is_idle() and (begun := fast_path.begin(self._endpoints, data)):
            self._await_stored(*begun)
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
        """Reset the counters for a new request."""
        self._between = False
        super().on_message_begin()
        self._head_open, self._head_received, self._headers_size, self._hosts, self._coding = True, 0, 0, 0, None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; stop the parser when there are too many."""
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
        """Start the request, unless proxies and servers are known to parse its head differently."""
        self._head_open = False
        self._unwatch_head()
        if len(self.url) + self._headers_size > HEAD_LIMIT_BYTES:
            self._refuse(_HEAD_TOO_LARGE)
        modern = self.parser.get_http_version() == "1.1"
        if self._coding is not None and (self._coding.lower() != b"chunked" or not modern):
            self._refuse(_bad("Use no transfer coding other than chunked, and that on HTTP/1.1 only."))
        if self._hosts > 1 or (modern and self._hosts == 0):
            self._refuse(_bad("Send exactly one Host header."))
        if _TARGET.fullmatch(self.url) is None:
            self._refuse(_bad("Send the request target as a path that begins with one slash."))
        if not modern and self.parser.get_method() not in {b"GET", b"HEAD"}:
            self._refuse(_bad("Use HTTP/1.1: HTTP/1.0 is supported for GET and HEAD only."))
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the parser is between two requests."""
        self._between = True
        super().on_message_complete()

    def shutdown(self) -> None:
        """Close now, or after the answer to the request in progress."""
        if self._storing:
            self._close_after = True
        else:
            super().shutdown()

    def on_response_complete(self) -> None:
        """Close the connection soon if its request was answered before the body ended."""
        unread = self.cycle.more_body
        super().on_response_complete()
        if unread and not self.transport.is_closing():
            self.loop.call_later(LINGER_S, self.shutdown)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Answer invalid or refused input, and close."""
        problem_type, detail = self._refusal or _bad("The request is not valid HTTP/1.1.")
        body = render(problem_type, detail)
        phrase = HTTPStatus(problem_type.status).phrase
        head = [
            f"HTTP/1.1 {problem_type.status} {phrase}",
            f"content-type: {PROBLEM_MEDIA_TYPE}",
            f"content-length: {len(body)}",
        ]
        self.transport.write("\r\n".join([*head, "connection: close", "\r\n"]).encode() + body)
        self._ended = True
        self._unwatch_head()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore upgrade offers, such as h2c, without a warning."""

    def _renew_date(self) -> None:
        """Renew the header `Date`, which uvicorn's own loop would do each second, and wake ten times for it."""
        self.server_state.default_headers = [_date_header(int(time.time())), *self.config.encoded_headers]

    def _is_idle(self) -> bool:
        """Return whether no request is in progress and the client reads its answers."""
        answered = self.cycle is None or self.cycle.response_complete
        return self._between and answered and not self.flow.write_paused and not self.transport.is_closing()

    def _await_stored(self, path: str, stored: asyncio.Future[None]) -> None:
        self._storing, self._head_open = True, False
        self._unset_keepalive_if_required()
        self._unwatch_head()
        stored.add_done_callback(partial(self._answer, path, time.perf_counter()))

    def _answer(self, path: str, began_s: float, stored: asyncio.Future[None]) -> None:
        """Answer a delivery of the fast path in one write, then continue with the input that arrived meanwhile."""
        self._storing = False
        self._renew_date()
        if stored.cancelled():
            self.transport.close()
            return
        response = fast_path.answer(path, stored, time.perf_counter() - began_s)
        if self.transport.is_closing():
            return
        self.server_state.total_requests += 1
        line = STATUS_LINE[response.status_code]
        self.transport.write(
            fast_path.render(response, line, self.server_state.default_headers, close=self._close_after)
        )
        if self._close_after:
            self.transport.close()
            return
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        if self._held:
            data = b"".join(self._held)
            self._held.clear()
            self.flow.resume_reading()
            self.data_received(data)

    def _refuse(self, refusal: tuple[ProblemType, str]) -> None:
        self._refusal = refusal
        raise _Refused

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._close_slow_head)

    def _unwatch_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_slow_head(self) -> None:
        self._head_timer = None
        if self._head_open and not self.transport.is_closing():
            self.transport.close()


@lru_cache(maxsize=1)
def _date_header(now_s: int) -> tuple[bytes, bytes]:
    return b"date", formatdate(now_s, usegmt=True).encode()


def _bad(detail: str) -> tuple[ProblemType, str]:
    return BAD_REQUEST, detail


_HEAD_TOO_LARGE: Final = (
    HEAD_TOO_LARGE,
    f"The request line and headers may have {HEAD_LIMIT_BYTES} bytes and {HEADERS_MAX} headers.",
)
