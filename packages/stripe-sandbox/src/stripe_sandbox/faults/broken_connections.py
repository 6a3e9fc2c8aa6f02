"""Break responses on the wire: before the first byte or halfway through the body."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from http.client import responses

from stripe_sandbox.faults.injection import ConnectionBreak

FLUSH_POLL_S = 0.001  # a short response fits the kernel's buffer at once; a long list sent to a slow reader may not


async def break_connection(
    transport: asyncio.Transport,
    connection_break: ConnectionBreak,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
) -> None:
    """Write the part the client still receives, then close; `reset` makes its peer see ECONNRESET."""
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
    """Wait until the kernel has the data: an abort discards the rest, a close would send more."""
    await asyncio.sleep(0)  # uvloop writes at the end of a loop iteration
    while transport.get_write_buffer_size() and not transport.is_closing():  # noqa: ASYNC110 (there is no event for it)
        await asyncio.sleep(FLUSH_POLL_S)


def _head(status: int, headers: Mapping[str, str], length: int) -> bytes:
    """Return the head; `Content-Length` is that of the full body, even if only half follows."""
    fields = {**headers, "Content-Length": str(length), "Connection": "close"}
    lines = [f"HTTP/1.1 {status} {responses.get(status, '')}", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
