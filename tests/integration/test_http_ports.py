"""Test the two ports: their routes, and how a server starts and stops."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from payment_service.http import docs, problems
from payment_service.http.health import Readiness
from payment_service.http.middleware import RequestMiddleware
from payment_service.http.server import AddressInUse, HttpServer
from scripts.document_api import OPENAPI
from tests.support.api import Api, assert_problem, open_api
from tests.support.eventually import eventually_async
from tests.support.http import ask, read_answer, request, send, served
from tests.support.service import StartService


@pytest.fixture
async def api(database_dsn: str) -> AsyncIterator[Api]:
    async with open_api(database_dsn) as opened:
        yield opened


@pytest.mark.parametrize(
    "target",
    ["/", "/v1", "/v2/payments", "/metrics", "/docs", "/redoc", "/openapi.json", "/debug", "/v1/payments/", "/.env", "/v1/%70ayments"],
)  # fmt: skip
async def test_private_routes_are_not_found_on_the_public_port(api: Api, target: str) -> None:
    """Docs and metrics are on the operations port."""
    assert_problem(await api.get(target), 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_other_methods_and_other_origins_are_not_allowed(api: Api, method: str) -> None:
    """A browser's preflight gets no CORS headers, so pages of other sites cannot read responses."""
    headers = {"origin": "https://elsewhere.example", "access-control-request-method": "GET"}
    answer = await ask(api.port, method, "/v1/payments", headers)
    assert_problem(answer, 405)
    assert answer.headers["allow"] == "GET, POST"
    assert (await ask(api.port, method, "/v1/checkout", headers)).headers["allow"] == "GET"
    assert (await ask(api.port, method, "/webhooks/stripe", headers)).headers["allow"] == "POST"


async def test_head_returns_the_response_of_get_without_the_body(api: Api) -> None:
    name = await api.insert()
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    headers = {"authorization": f"Bearer {api.key}"}
    writer.write(request("HEAD", f"/v1/payments/{name}", headers) + request("GET", f"/v1/payments/{name}", headers))
    head = await read_answer(reader, head_only=True)
    full = await read_answer(reader)
    writer.close()
    assert (head.status, full.status) == (200, 200)
    assert head.headers["content-length"] == str(len(full.body))


async def test_ranges_are_ignored(api: Api) -> None:
    name = await api.insert()
    ranges = ",".join(f"{n}-{n}" for n in range(2_000))
    answer = await api.get(f"/v1/payments/{name}", range=f"bytes={ranges}")
    assert answer.status == 200
    assert answer.json["id"] == str(name)


async def test_an_internal_error_returns_only_an_id(capsys: pytest.CaptureFixture[str]) -> None:
    """The log line with the same id has the details."""

    async def break_down(_request: Request) -> Response:
        raise RuntimeError("the password is hunter2")

    app = Starlette(routes=[Route("/", break_down)], middleware=[Middleware(RequestMiddleware)])
    problems.install(app)
    async with served(app) as port:
        answer = await ask(port, "GET", "/")
    assert_problem(answer, 500)
    assert b"hunter2" not in answer.body
    error_id = answer.json["instance"].removeprefix("urn:uuid:")
    assert error_id in capsys.readouterr().out


@pytest.mark.parametrize("public", [True, False])
async def test_health_and_readiness_are_served_on_both_ports(api: Api, public: bool) -> None:
    """Readiness reports the broker but depends only on the database."""
    port = api.port if public else api.operations_port
    assert (await ask(port, "GET", "/health")).json == {"status": "ok"}
    answer = await ask(port, "GET", "/ready")
    assert (answer.status, answer.json["checks"]["broker"]) == (200, "not reached")
    api.readiness = Readiness(ready=False, checks={"database": "does not answer"})
    answer = await ask(port, "GET", "/ready")
    assert_problem(answer, 503)
    assert answer.json["checks"] == {"database": "does not answer"}
    assert (await ask(port, "GET", "/health")).status == 200


async def test_metrics_are_prometheus_text(api: Api) -> None:
    """RequestMiddleware are counted by route, never by path."""
    name = await api.insert()
    await api.get(f"/v1/payments/{name}")
    answer = await ask(api.operations_port, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.body.decode()
    assert 'payments_http_requests_total{route="/v1/payments/{payment_id}",status="200"}' in text
    assert str(name) not in text


async def test_the_description_lists_every_route_and_its_responses(api: Api) -> None:
    """It describes exactly the public app, and matches the file in the repository."""
    described = (await ask(api.operations_port, "GET", "/openapi.json")).json
    assert described["openapi"] == "3.1.0"
    assert described["paths"].keys() == {
        "/v1/payments/{payment_id}",
        "/v1/payments",
        "/v1/payments/{payment_id}/events",
        "/v1/payments/{payment_id}/refunds",
        "/v1/payments/{payment_id}/disputes",
        "/v1/payments/{payment_id}/timeline",
        "/v1/payments/{payment_id}/capture",
        "/v1/payments/{payment_id}/cancel",
        "/v1/refunds/{refund_id}",
        "/v1/checkout",
        "/v1/reconciliations",
        "/v1/disputes",
        "/v1/refunds",
        "/v1/audit",
        "/v1/search",
        "/webhooks/stripe",
        "/webhooks/{provider}",
        "/health",
        "/ready",
    }
    assert described == json.loads(OPENAPI.read_text())


@pytest.mark.parametrize("bundled", [True, False])
async def test_the_docs_load_only_our_own_files(
    api: Api, bundled: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the bundle, the page says so and leads to the description."""
    bundle = tmp_path / "scalar.js"
    bundle.write_text("") if bundled else None
    monkeypatch.setattr(docs, "BUNDLE", bundle)
    answer = await ask(api.operations_port, "GET", "/docs")
    text = answer.body.decode()
    assert answer.status == 200
    assert ("not part of this installation" in text) is not bundled
    assert set(re.findall(r'(?:href|src)="([^"]+)', text)) == {"data:,", "openapi.json"} | (
        {"docs/scalar.js", "docs/start.js"} if bundled else set()
    )
    assert "script-src 'self';" in answer.headers["content-security-policy"]


async def test_the_docs_serve_their_scripts_and_nothing_else(api: Api) -> None:
    answer = await ask(api.operations_port, "GET", "/docs/start.js")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    for name in ("page.html", "..", "scalar.LICENSE", "start.js/", "%2e%2e/docs.py"):
        assert_problem(await ask(api.operations_port, "GET", f"/docs/{name}"), 404)


async def test_invalid_requests_are_refused_on_the_operations_port_too(api: Api) -> None:
    assert_problem(await ask(api.operations_port, "GET", "/v1/payments"), 404)
    assert_problem(await ask(api.operations_port, "POST", "/metrics"), 405)


async def test_a_port_in_use_is_reported_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = HttpServer(Starlette(), "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(AddressInUse, match="SERVICE_PORT"):
            await server.start()


async def test_stopping_finishes_requests_and_closes_idle_connections() -> None:
    """It accepts no new connection meanwhile."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> Response:
        begun.set()
        await go_on.wait()
        return Response(b"done")

    server = HttpServer(Starlette(routes=[Route("/slow", slow)]), "127.0.0.1", 0)
    port = await server.start()
    idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
    idle_writer.write(request("GET", "/none"))
    assert (await read_answer(idle_reader)).status == 404
    running = asyncio.create_task(send(port, request("GET", "/slow"), wait_close=True))
    await begun.wait()
    stopping = asyncio.create_task(server.stop(10))
    assert await idle_reader.read() == b"", "the idle connection is closed"
    idle_writer.close()

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return True
        writer.close()
        return False

    await eventually_async(refused)
    go_on.set()
    assert (await running).body == b"done"
    await stopping


async def test_a_request_past_the_grace_period_is_cut_off() -> None:
    begun, cut_off = asyncio.Event(), asyncio.Event()

    async def endless(_request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut_off.set()
        return Response()

    server = HttpServer(Starlette(routes=[Route("/", endless)]), "127.0.0.1", 0)
    port = await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("GET", "/"))
    await begun.wait()
    await server.stop(0.1)
    await cut_off.wait()
    writer.close()


@pytest.mark.kafka
@pytest.mark.parametrize("variable", ["SERVICE_PORT", "METRICS_PORT"])
def test_a_port_in_use_ends_a_start_before_any_work(
    start_service: StartService, database_dsn: str, variable: str
) -> None:
    """Such a process would take partitions, calls and the relay's lease from one that serves."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        service = start_service(wait=False, **{variable: str(port)})
        service.spawn()
        assert service.wait() == 1
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in service.log.read_text()
    assert {line["event"] for line in service.logs()} & {"partitions_assigned", "relay_started_leading"} == set()
    with psycopg.connect(database_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM workers").fetchone() == (0,)
