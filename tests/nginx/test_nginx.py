"""A real nginx with the files of deploy/nginx: what it forwards, limits, and leaves unchanged."""

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
    """A service that answers with the request it received; `asked` counts by method and path."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = Request(scope, receive)
        self.requests[f"{seen.method} {seen.url.path}"] += 1
        body = await seen.body()
        peer = seen.client.port if seen.client else 0
        answer = {"headers": dict(seen.headers), "body": body.decode("latin-1"), "peer": peer}
        await JSONResponse(answer)(scope, receive, send)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def front(inbox: Inbox, tmp_path: Path) -> AsyncIterator[int]:
    """The port of an nginx in front of the webhook endpoint and the rest of the public app, without a database."""
    async with open_endpoint(inbox) as service:
        with nginx(tmp_path / "nginx", service) as port:
            yield port


@pytest.fixture
def mirror() -> Mirror:
    return Mirror()


@pytest.fixture
async def mirror_port(mirror: Mirror, tmp_path: Path) -> AsyncIterator[int]:
    async with served(mirror) as service:
        with nginx(tmp_path / "nginx", service) as port:
            yield port


def assert_refused(answer: Answer, status: int) -> None:
    """Assert a problem of this status that does not reveal the version of nginx."""
    assert (answer.status, answer.is_problem) == (status, True), answer
    assert answer.headers.keys() >= KEPT
    assert not re.search(rb"nginx/|[0-9]\.[0-9]", answer.headers.get("server", "").encode() + answer.body)


def padded(size_bytes: int) -> bytes:
    """Return an event of exactly this size, padded with blanks that the signature covers."""
    body = event()
    return body[:-1] + b" " * (size_bytes - len(body)) + b"}"


async def test_signed_bodies_arrive_unchanged_up_to_the_limit_of_the_service(front: int, inbox: Inbox) -> None:
    """The signature covers every byte: one blank more or less would be refused."""
    assert (await post(front, padded(BODY_LIMIT_BYTES))).status == 200
    assert len(inbox.events) == 1
    assert_refused(await post(front, padded(BODY_LIMIT_BYTES + 1)), 413)
    assert len(inbox.events) == 1


async def test_a_chunked_body_is_refused_above_the_limit(mirror_port: int, mirror: Mirror) -> None:
    """Without a length in the head, nginx cannot refuse it at once."""
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    head = request("POST", PATH, {"transfer-encoding": "chunked", "content-type": "application/json"})
    assert (await send(mirror_port, head + piece * 8 + b"0\r\n\r\n")).status == 200
    assert_refused(await send(mirror_port, head + piece * 9 + b"0\r\n\r\n"), 413)
    assert mirror.requests[f"POST {PATH}"] == 1


async def test_an_api_body_is_refused_above_the_limit_of_the_service(mirror_port: int) -> None:
    assert (await ask(mirror_port, "POST", "/v1/x", body=b"x" * API_LIMIT_BYTES)).status == 200
    assert_refused(await ask(mirror_port, "POST", "/v1/x", body=b"x" * (API_LIMIT_BYTES + 1)), 413)


async def test_a_slow_body_is_buffered_until_it_is_complete(mirror_port: int, mirror: Mirror) -> None:
    """The service gets no request before that."""
    reader, writer = await asyncio.open_connection("127.0.0.1", mirror_port)
    writer.write(request("POST", "/v1/slow", {"content-length": "10"}) + b"begun")
    await writer.drain()
    assert (await ask(mirror_port, "POST", "/v1/quick", body=b"all")).status == 200
    assert mirror.requests == {"POST /v1/quick": 1}
    writer.write(b" over")
    assert (await read_answer(reader)).json["body"] == "begun over"
    writer.close()


@pytest.mark.parametrize(
    "target",
    ["/", "/ready", "/metrics", "/docs", "/openapi.json", "/v1", "/v2/payments", "/webhooks", "/webhooks/stripe/",
     "/webhooks/stripe/x", "/webhooks/other", "/V1/payments", "/v1/../metrics", "/v1/%2e%2e/metrics", "/v1/..%2fready",
     "/health/x", "/sandbox/clock"],
)  # fmt: skip
async def test_other_routes_are_not_forwarded(target: str, mirror_port: int, mirror: Mirror) -> None:
    for method in ("GET", "POST"):
        assert_refused(await ask(mirror_port, method, target, body=b"" if method == "POST" else None), 404)
    assert not mirror.requests


async def test_forwarded_requests_get_the_answer_of_the_service(front: int) -> None:
    """Problems of the service stay unchanged, and load balancers can check its health."""
    unsigned = await ask(front, "POST", PATH, {"content-type": "application/json"}, b"{}")
    assert (unsigned.status, unsigned.json["type"]) == (400, "urn:payment-service:not_signed")
    keyless = await ask(front, "GET", TARGET)
    assert (keyless.status, keyless.json["type"]) == (401, "urn:payment-service:unauthenticated")
    assert (await ask(front, "GET", "/health")).json == {"status": "ok"}
    assert keyless.headers.keys() >= KEPT
    assert "/" not in keyless.headers.get("server", "")


async def test_forwarding_headers_of_a_client_are_replaced(mirror_port: int) -> None:
    forged = {
        "x-forwarded-for": "203.0.113.9",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "elsewhere.example",
        "x-real-ip": "203.0.113.9",
        "forwarded": "for=203.0.113.9",
        "stripe-signature": "t=1,v1=0",
        "authorization": "Bearer psk_x",
    }
    seen = (await ask(mirror_port, "GET", TARGET, forged)).json["headers"]
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert not {"x-forwarded-host", "x-real-ip", "forwarded"} & seen.keys()
    assert (seen["stripe-signature"], seen["authorization"]) == ("t=1,v1=0", "Bearer psk_x")


async def test_connections_to_the_service_are_reused(mirror_port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", mirror_port)
    peers = set()
    for _ in range(10):
        writer.write(request("GET", "/v1/x"))
        peers.add((await read_answer(reader)).json["peer"])
    writer.close()
    assert len(peers) == 1


async def flood(port: int, data: bytes, *, times: int, connections: int, source: str) -> Counter[int]:
    """Send a request many times over a few connections from one local address, and count the statuses."""

    async def one() -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        writer.write(data * (times // connections))
        statuses = [(await read_answer(reader)).status for _ in range(times // connections)]
        writer.close()
        return statuses

    return Counter(status for batch in await asyncio.gather(*(one() for _ in range(connections))) for status in batch)


async def test_a_flood_from_one_address_is_limited_without_affecting_others(inbox: Inbox, tmp_path: Path) -> None:
    """Requests within the burst are forwarded, and the rest get 429."""
    forged = request("POST", PATH, {"content-type": "application/json", "stripe-signature": "t=1,v1=0"}, b"{}")
    async with open_endpoint(inbox) as service:
        with nginx(tmp_path / "nginx", service, webhook_rate="rate=1r/s") as port:
            statuses = await flood(port, forged, times=1_300, connections=20, source="127.0.0.66")
            assert statuses.keys() == {400, 429}
            assert statuses[400] > 1_000
            assert inbox.untouched
            assert (await post(port, event())).status == 200


async def test_slow_requests_of_one_address_are_limited_to_100_at_once(mirror_port: int) -> None:
    """Other addresses are still served."""
    slow = request("POST", "/v1/slow", {"content-length": "10"}) + b"begun"
    held = [await asyncio.open_connection("127.0.0.1", mirror_port, local_addr=("127.0.0.66", 0)) for _ in range(101)]
    answers = [asyncio.create_task(read_answer(reader)) for reader, _ in held]
    for _, writer in held:
        writer.write(slow)
    # The last request is refused, and a hundred stay open.
    answered, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    assert [answer.result().status for answer in answered] == [429]
    statuses = await flood(mirror_port, request("GET", "/v1/x"), times=1, connections=1, source="127.0.0.66")
    assert statuses.keys() == {429}
    for answer in waiting:
        answer.cancel()
    assert (await ask(mirror_port, "GET", "/v1/x")).status == 200
    for _, writer in held:
        writer.close()


async def test_a_rate_limited_answer_has_retry_after(mirror_port: int) -> None:
    answers = [await ask(mirror_port, "GET", "/health") for _ in range(60)]
    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) > 10
    assert_refused(refused[0], 429)
    assert refused[0].headers["retry-after"] == "1"


@asynccontextmanager
async def hanging_up(requests: list[bytes]) -> AsyncIterator[int]:
    """Run a service that reads a request and disconnects without an answer."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[0])
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_change_that_may_have_arrived_is_not_retried_elsewhere(tmp_path: Path) -> None:
    """A POST gets 503, and its client retries with the same Idempotency-Key. A GET is sent to another replica."""
    requests: list[bytes] = []
    async with hanging_up(requests) as first, hanging_up(requests) as second:
        with nginx(tmp_path / "nginx", first, second) as port:
            answer = await ask(port, "POST", "/v1/x", body=b"{}")
            assert_refused(answer, 503)
            assert answer.headers["retry-after"] == "5"
            assert requests == [b"POST"]
            requests.clear()
            assert_refused(await ask(port, "GET", "/v1/x"), 503)
            assert b"GET" in requests


async def test_a_request_that_no_replica_received_is_sent_to_another(mirror: Mirror, tmp_path: Path) -> None:
    """This happens while a replica is replaced: nothing was sent to it, so nothing can happen twice."""
    async with served(mirror) as service:
        with nginx(tmp_path / "nginx", 9, service) as port:
            answers = [await ask(port, "POST", "/v1/x", body=b"{}") for _ in range(8)]
    assert [answer.status for answer in answers] == [200] * 8
    assert mirror.requests == {"POST /v1/x": 8}


@pytest.fixture
def behind_nginx(shop: Shop, tmp_path: Path) -> Iterator[int]:
    """A shop whose provider and callers reach the service only through nginx."""
    shop.serve(TRUSTED_PROXIES="127.0.0.1")
    with nginx(tmp_path / "nginx", shop.port) as port:
        shop.sandbox.set_webhook(f"http://127.0.0.1:{port}{PATH}")
        yield port


async def test_an_order_is_paid_and_refunded_through_nginx(shop: Shop, behind_nginx: int) -> None:
    """The audit names the caller's address, not the proxy's, and not an address that the caller claims."""
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
    await asyncio.to_thread(shop.check)


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
    """Return the lines about requests once there are this many."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return lines if len(lines) >= count else []
