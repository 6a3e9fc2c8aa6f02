"""Test bodies of `/v1` that arrive slowly, in part, or with characters that deceive the eye."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import structlog

from payment_service.http import bodies
from tests.support.api import Api, assert_problem, open_api
from tests.support.http import ask, send


@pytest.fixture
async def api(database_dsn: str) -> AsyncIterator[Api]:
    async with open_api(database_dsn) as opened:
        yield opened


async def head_of_refund(api: Api) -> bytes:
    """Return the head of a refund request whose body has ten bytes."""
    payment, key = await api.insert(status="succeeded", captured=1990), await api.key_for("read", "refund")
    lines = [f"POST /v1/payments/{payment}/refunds HTTP/1.1", "host: test", f"authorization: Bearer {key}"]
    lines += ["content-type: application/json", "idempotency-key: k-1", "content-length: 10", "", ""]
    return "\r\n".join(lines).encode()


async def test_caller_who_leaves_in_the_middle_of_a_body_is_no_defect(api: Api) -> None:
    head = await head_of_refund(api)
    with structlog.testing.capture_logs() as logs:
        _reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(head)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await api.get("/v1/payments")).status == 200
    assert [line for line in logs if line["log_level"] == "error"] == []


async def test_body_that_does_not_arrive_in_time_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_TIMEOUT_S", 0.05)
    answer = await send(api.port, await head_of_refund(api), wait_close=True)
    assert_problem(answer, 408)


async def test_a_connection_that_ends_at_any_byte_is_no_defect(api: Api) -> None:
    """On all ports: within the request line, a header, the body, or behind it."""
    hostile = b'GET /v1/payments?user_id=%34%00\xed HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"a":\r\n0\r\n\r\n'
    whole = [await head_of_refund(api) + b'{"amount":', hostile]

    async def cut(port: int, data: bytes) -> None:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    with structlog.testing.capture_logs() as logs:
        for port in (api.port, api.operations_port):
            for request in whole:
                for end in range(0, len(request), 100):
                    await asyncio.gather(
                        *(cut(port, request[:n]) for n in range(end, min(end + 100, len(request) + 1)))
                    )
        assert (await api.get("/v1/payments")).status == 200
    assert [line for line in logs if line["log_level"] in {"error", "warning"}] == []


@pytest.mark.parametrize("character", ["\x1b", "\x9b", "\u202e", "\u2066", "\u2028", "\u200b", "\ufeff", "\x00"])
async def test_invisible_characters_in_a_reason_are_refused(api: Api, character: str) -> None:
    payment, key = await api.insert(status="succeeded", captured=1990), await api.key_for("read", "refund")
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "idempotency-key": "k-1"}
    body = json.dumps({"amount": "1.00", "reason": f"to{character}day"}).encode()
    assert_problem(await ask(api.port, "POST", f"/v1/payments/{payment}/refunds", headers, body), 422)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
async def test_a_body_that_is_not_utf_8_is_refused(api: Api, encoding: str) -> None:
    """A proxy that inspects bodies reads UTF-8, so another encoding could pass it unseen."""
    payment, key = await api.insert(status="succeeded", captured=1990), await api.key_for("read", "refund")
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "idempotency-key": "k-1"}
    body = json.dumps({"amount": "1.00"}).encode(encoding)
    assert_problem(await ask(api.port, "POST", f"/v1/payments/{payment}/refunds", headers, body), 400)
