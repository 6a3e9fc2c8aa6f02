"""Send HTTP as raw bytes on a socket, because tests need requests that no client library sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any

from starlette.types import ASGIApp

from payment_service.http.server import HttpServer

ANSWER_TIMEOUT_S = 10


@dataclass(frozen=True)
class Answer:
    """A response. `closed`: the server closed the connection after it."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool = False

    @property
    def json(self) -> Any:
        """Parse the body as JSON."""
        return json.loads(self.body)

    @property
    def is_problem(self) -> bool:
        """True for a problem+json with every standard member and the response's own status."""
        return (
            self.headers.get("content-type") == "application/problem+json"
            and self.json["status"] == self.status
            and {"type", "title", "detail"} <= self.json.keys()
        )


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[int]:
    """Serve an app on a free loopback port by the service's server, and yield the port."""
    server = HttpServer(app, "127.0.0.1", 0)
    port = await server.start()
    try:
        yield port
    finally:
        await server.stop(1)


def request(
    method: str, target: str, headers: Mapping[str, str | None] | None = None, body: bytes | None = None
) -> bytes:
    """Build a request. Host and Content-Length are added; a header of None is left out."""
    default = {"host": "test", "content-length": None if body is None else str(len(body))}
    lines = [f"{name}: {value}" for name, value in {**default, **(headers or {})}.items() if value is not None]
    return f"{method} {target} HTTP/1.1\r\n".encode() + "\r\n".join([*lines, "\r\n"]).encode("latin-1") + (body or b"")


async def send(port: int, data: bytes, *, wait_close: bool = False) -> Answer:
    """Send bytes on a new connection and read one response. With `wait_close`, wait until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            writer.write(data)
            answer = await read_answer(reader)
            if wait_close:
                assert await reader.read() == b"", "the server kept the connection open"
                return Answer(answer.status, answer.headers, answer.body, closed=True)
            return answer
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    """Read one response. With `head_only`, it has no body whatever its length says."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    length = 0 if head_only else int(headers.get("content-length", "0"))
    return Answer(int(head[0].split(" ")[1]), headers, await reader.readexactly(length))


async def ask(
    port: int,
    method: str,
    target: str,
    headers: Mapping[str, str | None] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Send a request on its own connection."""
    return await send(port, request(method, target, headers, body))


def is_ready(port: int) -> bool:
    """Request `/ready` once. Return False if nothing listens."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
