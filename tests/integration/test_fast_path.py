"""The fast path of webhooks answers with the bytes of the app, and keeps its limits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from payment_service.telemetry import metrics
from tests.support.deliveries import JSON, PATH, SECRET, Inbox, endpoint, event, open_endpoint, sign
from tests.support.eventually import eventually_async
from tests.support.http import read_answer, request, served

BODY = event()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def port(inbox: Inbox) -> AsyncIterator[int]:
    async with open_endpoint(inbox) as open_port:
        yield open_port


def delivery(body: bytes = BODY, *, secret: str = SECRET, **headers: str) -> bytes:
    """Return a plain delivery. With the header `connection` only the app takes it."""
    return request("POST", PATH, {**JSON, "stripe-signature": sign(body, secret=secret), **headers}, body)


async def exchange(port: int, data: bytes) -> bytes:
    """Return the whole answer to a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    body = await reader.readexactly(int(length[1]))
    writer.close()
    return re.sub(rb"date: [^\r]*", b"date: now", head) + re.sub(rb"[0-9a-f-]{36}", b"id", body)


@pytest.mark.parametrize("unavailable", [False, True])
async def test_its_answers_are_those_of_the_app(port: int, inbox: Inbox, *, unavailable: bool) -> None:
    inbox.unavailable = unavailable
    plain = await exchange(port, delivery())
    by_app = await exchange(port, delivery(connection="keep-alive"))
    assert plain == by_app
    assert plain.startswith(b"HTTP/1.1 503 " if unavailable else b"HTTP/1.1 200 ")


async def test_it_counts_requests_as_the_app_does(port: int) -> None:
    counter = metrics.HTTP_REQUESTS.labels(PATH, "200")
    before = counter._value.get()
    await exchange(port, delivery())
    await exchange(port, delivery(connection="keep-alive"))
    assert counter._value.get() == before + 2


async def test_an_accepted_delivery_ends_a_row_of_refusals(port: int) -> None:
    await exchange(port, delivery(secret="whsec_another"))
    assert metrics.WEBHOOKS_REFUSED_IN_A_ROW._value.get() == 1
    await exchange(port, delivery())
    assert metrics.WEBHOOKS_REFUSED_IN_A_ROW._value.get() == 0


async def test_pipelined_deliveries_are_answered_in_order(port: int, inbox: Inbox) -> None:
    """The second and third arrive while the first is being stored."""
    inbox.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    names = ("evt_1", "evt_2", "evt_3")
    for name in names:
        writer.write(delivery(event(id=name)))
        await writer.drain()
        await asyncio.sleep(0)

    async def stored() -> bool:
        return bool(inbox.events)

    await eventually_async(stored)
    inbox.gate.set()
    assert [(await read_answer(reader)).status for _ in names] == [200, 200, 200]
    assert [one.event_id for one in inbox.events] == list(names)
    writer.close()


async def test_a_connection_serves_plain_and_other_requests_in_turn(port: int, inbox: Inbox) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for data, status in (
        (delivery(), 200),
        (request("GET", "/health"), 200),
        (delivery(b"[]"), 400),
        (delivery(), 200),
    ):
        writer.write(data)
        assert (await read_answer(reader)).status == status
    assert len(inbox.events) == 2
    assert len(inbox.quarantined) == 1
    writer.close()


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"waiting_max": 0}, 503), ({"body_limit_bytes": 10}, 413)],
)
async def test_the_limits_of_the_endpoint_hold(inbox: Inbox, changes: dict[str, Any], status: int) -> None:
    async with served(endpoint(inbox, **changes)) as port:
        assert (await exchange(port, delivery())).startswith(b"HTTP/1.1 %d " % status)
    assert inbox.untouched
