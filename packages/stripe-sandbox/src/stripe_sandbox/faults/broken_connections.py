"""Answers that break on the wire: no byte of them, or half of the body, then the end or a long silence."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from http.client import responses

from stripe_sandbox.faults.injection import ConnectionBreak

FLUSH_POLL_S = 0.001  # half an answer fits the kernel's buffer at once; a long list of a slow reader may not


async def break_connection(
    transport: asyncio.Transport,
    connection_break: ConnectionBreak,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
) -> None:
    """Write what the client still gets, then end the connection; with `reset` its peer sees ECONNRESET."""
    if connection_break.after_half:
        middle = len(body) // 2
        transport.write(_head(status, headers, len(body)) + body[:middle])
        await _flushed(transport)
        await asyncio.sleep(connection_break.pause_s)
        if connection_break.mode == "rest" and not transport.is_closing():
            transport.write(body[middle:])
            await _flushed(transport)
    if transport.is_closing():
        return
    if connection_break.mode == "reset":
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


async def _flushed(transport: asyncio.Transport) -> None:
    """Until the kernel has what was written: an abort throws away the rest, a close would let more follow it."""
    await asyncio.sleep(0)  # uvloop writes at the end of a turn
    while transport.get_write_buffer_size() and not transport.is_closing():  # noqa: ASYNC110 (nothing tells when)
        await asyncio.sleep(FLUSH_POLL_S)


def _head(status: int, headers: Mapping[str, str], length: int) -> bytes:
    """The whole length is announced, whatever comes of it."""
    fields = {**headers, "Content-Length": str(length), "Connection": "close"}
    lines = [f"HTTP/1.1 {status} {responses.get(status, '')}", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
