"""A real nginx with the files of deploy/nginx: what it lets through, what it holds back, and what it leaves as it was."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from payment_service.http.bodies import BODY_LIMIT_BYTES as API_LIMIT_BYTES
from tests.support.deliveries import BODY_LIMIT_BYTES, PATH, Inbox, event, open_endpoint, post
from tests.support.eventually import eventually_async
from tests.support.http import Answer, ask, read_answer, request, send, served
from tests.support.nginx import nginx
from tests.support.shop import Shop

pytestmark = [pytest.mark.nginx, pytest.mark.timeout(120)]

TARGET: Final = "/v1/payments?order_id=a"
KEPT: Final = {"x-content-type-options", "content-security-policy", "referrer-policy", "cache-control"}


class Mirror:
    """A service that answers with what it was asked; `asked` counts by method and path."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = Request(scope, receive)
        self.asked[f"{seen.method} {seen.url.path}"] += 1
        body = await seen.body()
        peer = seen.client.port if seen.client else 0
        answer = {"headers": dict(seen.headers), "body": body.decode("latin-1"), "peer": peer}
        await JSONResponse(answer)(scope, receive, send)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def front(inbox: Inbox, tmp_path: Path) -> AsyncIterator[int]:
    """The port of an nginx before the endpoint for webhooks (and the rest of the public app, without a database)."""
    async with open_endpoint(inbox) as service:
        with nginx(tmp_path / "nginx", service) as port:
            yield port


@pytest.fixture
def mirror() -> Mirror:
    return Mirror()


@pytest.fixture
async def before_mirror(mirror: Mirror, tmp_path: Path) -> AsyncIterator[int]:
    async with served(mirror) as service:
        with nginx(tmp_path / "nginx", service) as port:
            yield port


def assert_refused(answer: Answer, status: int) -> None:
    """A problem of this status, which tells nothing of the version of nginx."""
    assert (answer.status, answer.is_problem) == (status, True), answer
    assert answer.headers.keys() >= KEPT
    assert not re.search(rb"nginx/|[0-9]\.[0-9]", answer.headers.get("server", "").encode() + answer.body)


def padded(size_bytes: int) -> bytes:
    """An event of exactly this size, with blanks that no parser needs and a signature covers."""
    body = event()
    return body[:-1] + b" " * (size_bytes - len(body)) + b"}"


async def test_a_signed_body_arrives_byte_for_byte_up_to_the_services_own_limit(front: int, inbox: Inbox) -> None:
    """The signature covers the bytes: one blank more or less and it would be refused."""
    assert (await post(front, padded(BODY_LIMIT_BYTES))).status == 200
    assert len(inbox.events) == 1
    assert_refused(await post(front, padded(BODY_LIMIT_BYTES + 1)), 413)
    assert len(inbox.events) == 1


async def test_a_body_without_a_length_is_refused_when_it_passes_the_limit(before_mirror: int, mirror: Mirror) -> None:
    """In pieces, as nothing but a length in the head would tell beforehand."""
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    head = request("POST", PATH, {"transfer-encoding": "chunked", "content-type": "application/json"})
    assert (await send(before_mirror, head + piece * 8 + b"0\r\n\r\n")).status == 200
    assert_refused(await send(before_mirror, head + piece * 9 + b"0\r\n\r\n"), 413)
    assert mirror.asked[f"POST {PATH}"] == 1


async def test_a_body_of_the_api_is_refused_above_the_services_own_limit(before_mirror: int) -> None:
    assert (await ask(before_mirror, "POST", "/v1/x", body=b"x" * API_LIMIT_BYTES)).status == 200
    assert_refused(await ask(before_mirror, "POST", "/v1/x", body=b"x" * (API_LIMIT_BYTES + 1)), 413)


async def test_a_body_that_is_slow_is_held_until_it_is_whole(before_mirror: int, mirror: Mirror) -> None:
    """The service is not asked before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", before_mirror)
    writer.write(request("POST", "/v1/slow", {"content-length": "10"}) + b"begun")
    await writer.drain()
    assert (await ask(before_mirror, "POST", "/v1/quick", body=b"all")).status == 200
    assert mirror.asked == {"POST /v1/quick": 1}
    writer.write(b" over")
    assert (await read_answer(reader)).json["body"] == "begun over"
    writer.close()


@pytest.mark.parametrize(
    "target",
    ["/", "/ready", "/metrics", "/docs", "/openapi.json", "/v1", "/v2/payments", "/webhooks", "/webhooks/stripe/",
     "/webhooks/stripe/x", "/webhooks/other", "/V1/payments", "/v1/../metrics", "/v1/%2e%2e/metrics", "/v1/..%2fready",
     "/health/x", "/sandbox/clock"],
)  # fmt: skip
async def test_nothing_else_gets_through(target: str, before_mirror: int, mirror: Mirror) -> None:
    for method in ("GET", "POST"):
        assert_refused(await ask(before_mirror, method, target, body=b"" if method == "POST" else None), 404)
    assert not mirror.asked


async def test_what_gets_through_is_answered_by_the_service_itself(front: int) -> None:
    """Its problems stay its own; the load balancer may ask for its health."""
    unsigned = await ask(front, "POST", PATH, {"content-type": "application/json"}, b"{}")
    assert (unsigned.status, unsigned.json["type"]) == (400, "urn:payment-service:not_signed")
    keyless = await ask(front, "GET", TARGET)
    assert (keyless.status, keyless.json["type"]) == (401, "urn:payment-service:unauthenticated")
    assert (await ask(front, "GET", "/health")).json == {"status": "ok"}
    assert keyless.headers.keys() >= KEPT
    assert "/" not in keyless.headers.get("server", "")


async def test_what_a_client_says_of_its_own_address_is_replaced(before_mirror: int) -> None:
    forged = {
        "x-forwarded-for": "203.0.113.9",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "elsewhere.example",
        "x-real-ip": "203.0.113.9",
        "forwarded": "for=203.0.113.9",
        "stripe-signature": "t=1,v1=0",
        "authorization": "Bearer psk_x",
    }
    seen = (await ask(before_mirror, "GET", TARGET, forged)).json["headers"]
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert not {"x-forwarded-host", "x-real-ip", "forwarded"} & seen.keys()
    assert (seen["stripe-signature"], seen["authorization"]) == ("t=1,v1=0", "Bearer psk_x")


async def test_connections_to_the_service_are_kept(before_mirror: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", before_mirror)
    peers = set()
    for _ in range(10):
        writer.write(request("GET", "/v1/x"))
        peers.add((await read_answer(reader)).json["peer"])
    writer.close()
    assert len(peers) == 1


async def flood(port: int, data: bytes, *, times: int, connections: int, source: str) -> Counter[int]:
    """Send a request many times over a few connections from one address of this machine, and count the statuses."""

    async def one() -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        writer.write(data * (times // connections))
        statuses = [(await read_answer(reader)).status for _ in range(times // connections)]
        writer.close()
        return statuses

    return Counter(status for batch in await asyncio.gather(*(one() for _ in range(connections))) for status in batch)


async def test_a_flood_from_one_address_is_refused_and_shuts_nobody_else_out(inbox: Inbox, tmp_path: Path) -> None:
    """What it may send in a burst arrives; the rest is told to come later."""
    forged = request("POST", PATH, {"content-type": "application/json", "stripe-signature": "t=1,v1=0"}, b"{}")
    async with open_endpoint(inbox) as service:
        with nginx(tmp_path / "nginx", service, webhook_rate="rate=1r/s") as port:
            statuses = await flood(port, forged, times=1_300, connections=20, source="127.0.0.66")
            assert statuses.keys() == {400, 429}
            assert statuses[400] > 1_000
            assert inbox.untouched
            assert (await post(port, event())).status == 200


async def test_slow_requests_of_one_address_take_no_more_than_its_share(before_mirror: int) -> None:
    """A hundred at once; from elsewhere there is room."""
    slow = request("POST", "/v1/slow", {"content-length": "10"}) + b"begun"
    held = [await asyncio.open_connection("127.0.0.1", before_mirror, local_addr=("127.0.0.66", 0)) for _ in range(101)]
    answers = [asyncio.create_task(read_answer(reader)) for reader, _ in held]
    for _, writer in held:
        writer.write(slow)
    # Whichever comes last is refused, and then a hundred are held.
    answered, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    assert [answer.result().status for answer in answered] == [429]
    statuses = await flood(before_mirror, request("GET", "/v1/x"), times=1, connections=1, source="127.0.0.66")
    assert statuses.keys() == {429}
    for answer in waiting:
        answer.cancel()
    assert (await ask(before_mirror, "GET", "/v1/x")).status == 200
    for _, writer in held:
        writer.close()


async def test_who_is_refused_for_a_flood_is_told_when_to_come_again(before_mirror: int) -> None:
    answers = [await ask(before_mirror, "GET", "/health") for _ in range(60)]
    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) > 10
    assert_refused(refused[0], 429)
    assert refused[0].headers["retry-after"] == "1"


@asynccontextmanager
async def hanging_up(asked: list[bytes]) -> AsyncIterator[int]:
    """A service that reads a request and goes away without an answer."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[0])
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_change_that_may_have_arrived_is_never_sent_to_another_replica(tmp_path: Path) -> None:
    """A POST is answered 503 and left to the client, which knows its Idempotency-Key; a GET is asked elsewhere."""
    asked: list[bytes] = []
    async with hanging_up(asked) as first, hanging_up(asked) as second:
        with nginx(tmp_path / "nginx", first, second) as port:
            answer = await ask(port, "POST", "/v1/x", body=b"{}")
            assert_refused(answer, 503)
            assert answer.headers["retry-after"] == "5"
            assert asked == [b"POST"]
            asked.clear()
            assert_refused(await ask(port, "GET", "/v1/x"), 503)
            assert b"GET" in asked


async def test_what_no_replica_has_taken_goes_to_one_that_listens(mirror: Mirror, tmp_path: Path) -> None:
    """As while one of them is replaced: nothing was sent to it, so nothing can happen twice."""
    async with served(mirror) as service:
        with nginx(tmp_path / "nginx", 9, service) as port:
            answers = [await ask(port, "POST", "/v1/x", body=b"{}") for _ in range(8)]
    assert [answer.status for answer in answers] == [200] * 8
    assert mirror.asked == {"POST /v1/x": 8}


@pytest.fixture
def behind_nginx(shop: Shop, tmp_path: Path) -> Iterator[int]:
    """A shop whose provider and whose callers reach the service through nginx only."""
    shop.serve(TRUSTED_PROXIES="127.0.0.1")
    with nginx(tmp_path / "nginx", shop.port) as port:
        shop.sandbox.set_webhook(f"http://127.0.0.1:{port}{PATH}")
        yield port


async def test_an_order_is_paid_and_refunded_through_nginx(shop: Shop, behind_nginx: int) -> None:
    """And the audit names the caller's address, not the proxy's, nor what the caller wrote there."""
    await asyncio.to_thread(shop.order, "o-1")
    await asyncio.to_thread(shop.pay, "o-1")
    await asyncio.to_thread(shop.wait_status, "succeeded")
    payment = shop.query("SELECT id FROM payments")[0]["id"]
    headers = {
        "authorization": f"Bearer {await shop.make_key()}",
        "content-type": "application/json",
        "idempotency-key": "r-1",
        "x-forwarded-for": "203.0.113.9",
    }
    data = request("POST", f"/v1/payments/{payment}/refunds", headers, b'{"amount": "5.00"}')
    reader, writer = await asyncio.open_connection("127.0.0.1", behind_nginx, local_addr=("127.0.0.55", 0))
    writer.write(data)
    assert (await read_answer(reader)).status in {200, 201, 202}
    writer.close()
    assert [str(row["address"]) for row in shop.query("SELECT DISTINCT address FROM audit")] == ["127.0.0.55"]
    await asyncio.to_thread(shop.wait_quiet)
    shop.check()


async def test_the_log_holds_neither_keys_nor_signatures_nor_queries(front: int, tmp_path: Path) -> None:
    secrets = {"authorization": "Bearer psk_canary", "stripe-signature": "t=1,v1=canary"}
    await ask(front, "GET", "/v1/payments?order_id=canary", secrets)
    await ask(front, "POST", PATH, {**secrets, "content-type": "application/json"}, b'{"canary": 1}')
    log = tmp_path / "nginx" / "nginx.log"
    lines = await eventually_async(lambda: _lines(log, 2))
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("GET", "/v1/payments", 401),
        ("POST", PATH, 400),
    ]
    assert "canary" not in log.read_text()


def _lines(log: Path, count: int) -> list[dict[str, Any]]:
    """The lines about requests, once there are so many."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return lines if len(lines) >= count else []
