"""Test that HTTP has one reading of every request, and limits on everything that a client can make grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from payment_service.http import server
from tests.support.deliveries import (
    JSON,
    PATH,
    Inbox,
    assert_refused,
    event,
    open_endpoint,
    sign,
)
from tests.support.http import read_answer, request, send


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def port(inbox: Inbox) -> AsyncIterator[int]:
    async with open_endpoint(inbox) as open_port:
        yield open_port


BODY = event()
CHUNKED = b"transfer-encoding: chunked\r\n"
HEAD = b"POST /webhooks/stripe HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEAD + CHUNKED + b"content-length: 3\r\n\r\n0\r\n\r\n", id="length and transfer coding"),
        pytest.param(HEAD + b"content-length: 3\r\n" + CHUNKED + b"\r\n0\r\n\r\n", id="the other way round"),
        pytest.param(HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", id="xchunked"),
        pytest.param(HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="gzip, chunked"),
        pytest.param(HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", id="chunked, identity"),
        pytest.param(HEAD + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n", id="chunked twice"),
        pytest.param(HEAD + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n", id="space before the colon"),
        pytest.param(HEAD + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n", id="vertical tab"),
        pytest.param(HEAD.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n", id="chunked on HTTP/1.0"),
        pytest.param(HEAD.replace(b"\r\n", b"\n") + b"content-length: 0\n\n", id="bare LF"),
        pytest.param(HEAD + b"x: y\ncontent-length: 0\r\n\r\n", id="bare LF after a header"),
        pytest.param(HEAD + CHUNKED + b"\r\n1\nx\r\n0\r\n\r\n", id="bare LF after a chunk's size"),
        pytest.param(HEAD + b"x: y\rz: 1\r\ncontent-length: 0\r\n\r\n", id="bare CR"),
        pytest.param(HEAD + b"x: y\r\n z\r\ncontent-length: 0\r\n\r\n", id="folded header"),
        pytest.param(HEAD + b"content-length: 0\r\ncontent-length: 5\r\n\r\nhello", id="two lengths"),
        pytest.param(HEAD + b"content-length: 1\r\ncontent-length: 1\r\n\r\nx", id="two equal lengths"),
        pytest.param(HEAD + b"content-length: 1, 1\r\n\r\nx", id="a list of lengths"),
        pytest.param(HEAD + b"content-length: +1\r\n\r\nx", id="length with a sign"),
        pytest.param(HEAD + b"content-length: 99999999999999999999999\r\n\r\nx", id="length beyond 64 bits"),
        pytest.param(HEAD + CHUNKED + b"\r\n0x1\r\nx\r\n0\r\n\r\n", id="chunk size with 0x"),
        pytest.param(HEAD + CHUNKED + b"\r\nfffffffffffffffff\r\nx", id="chunk size beyond 64 bits"),
        pytest.param(HEAD + b"x: a\x00b\r\ncontent-length: 0\r\n\r\n", id="NUL in a header"),
        pytest.param(HEAD.replace(b"host: test\r\n", b"") + b"content-length: 0\r\n\r\n", id="no Host"),
        pytest.param(HEAD + b"host: other\r\ncontent-length: 0\r\n\r\n", id="two Hosts"),
        pytest.param(b"hello\r\n\r\n", id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(HEAD.replace(b"1.1", b"1.0") + b"content-length: 2\r\n\r\n{}", id="HTTP/1.0"),
        pytest.param(HEAD.replace(b" /", b" http://test/") + b"content-length: 2\r\n\r\n{}", id="absolute target"),
        pytest.param(HEAD.replace(b" /", b" //x/") + b"content-length: 2\r\n\r\n{}", id="network-path target"),
        pytest.param(b"CONNECT test:443 HTTP/1.1\r\nhost: test\r\n\r\n", id="CONNECT"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nhost: test\r\n\r\n", id="asterisk"),
    ],
)
async def test_an_ambiguous_request_is_refused_and_its_connection_closed(port: int, inbox: Inbox, data: bytes) -> None:
    """The rest of the connection could be a smuggled request."""
    smuggled = request("POST", PATH, {**JSON, "stripe-signature": sign(BODY)}, BODY)
    assert_refused(await send(port, data + smuggled, wait_close=True), 400)
    assert inbox.untouched


@pytest.mark.parametrize(
    "target",
    [
        "/webhooks/stripe/",
        "/webhooks//stripe",
        "/webhooks/./stripe",
        "/v1/../webhooks/stripe",
        "/webhooks%2Fstripe",
        "/webhooks/strip%65",
        "/webhooks/stripe%00",
        "/webhooks/stripe;x=1",
        "/Webhooks/Stripe",
    ],
)
async def test_another_spelling_of_the_path_is_not_found(port: int, inbox: Inbox, target: str) -> None:
    """The response is 404, never a redirect: Stripe counts one as a failed delivery."""
    data = request("POST", target, {**JSON, "stripe-signature": sign(BODY)}, BODY)
    assert_refused(await send(port, data), 404)
    assert inbox.untouched


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"stripe-signature": f"t=1,v1={'0' * 64_000}"}, id="one of 64 kB"),
        pytest.param({f"x-{n}": "y" for n in range(200)}, id="two hundred"),
        pytest.param({f"x-{n}": "y" * 4_000 for n in range(20)}, id="80 kB together"),
    ],
)
async def test_too_many_or_too_large_headers_are_refused(port: int, headers: dict[str, str]) -> None:
    data = request("POST", PATH, {**JSON, **headers}, BODY)
    assert_refused(await send(port, data, wait_close=True), 431)


async def test_endless_headers_are_refused(port: int) -> None:
    """The limit also holds for incomplete headers, before they fill the memory."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /webhooks/stripe HTTP/1.1\r\nhost: test\r\nx: ")
    for _ in range(40):
        writer.write(b"y" * 1_024)
        await asyncio.sleep(0)
    assert_refused(await read_answer(reader), 431)
    writer.close()


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD + b"x: y", id="half a head"),
        pytest.param(request("GET", "/health") + HEAD, id="half a head after a request"),
    ],
)
async def test_a_connection_with_an_unfinished_head_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    """Ten thousand of them would exhaust the open files of the process.

    Slowly sent bytes do not extend the deadline.
    """
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(start)

    async def drip() -> None:
        while start:
            await asyncio.sleep(0.02)
            writer.write(b"y")

    dripping = asyncio.create_task(drip())
    # Closing while a byte is in flight causes a reset instead of EOF.
    with suppress(ConnectionResetError):
        async with asyncio.timeout(10):
            while await reader.read(65_536):
                pass
    dripping.cancel()
    writer.close()


async def test_an_upgrade_offer_is_ignored(port: int) -> None:
    data = request("GET", "/health", {"connection": "Upgrade", "upgrade": "h2c"})
    assert (await send(port, data)).status == 200


async def test_one_connection_carries_many_deliveries(port: int, inbox: Inbox) -> None:
    """Pipelined requests too: each is answered, in order."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(20):
        body = event(id=f"evt_{number}")
        writer.write(request("POST", PATH, {**JSON, "stripe-signature": sign(body)}, body))
    assert [(await read_answer(reader)).status for _ in range(20)] == [200] * 20
    writer.close()
    assert [e.event_id for e in inbox.events] == [f"evt_{number}" for number in range(20)]
