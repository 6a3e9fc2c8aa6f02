"""`/v1` over a socket, on a real database: who may read, what they are shown, and how everything else is refused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from payment_service.db import api_keys, payment_reads
from payment_service.db.pool import Pool, open_pool
from payment_service.domain.ids import payment_id
from payment_service.http import problems
from payment_service.http.app import build_app, build_operations_app
from payment_service.http.auth import ADDRESSES_MAX, BAD_KEYS_BURST, CACHE_S, BadKeyBudget, Keys
from payment_service.http.health import Readiness
from payment_service.http.problems import Problem
from payment_service.http.requests import Requests
from payment_service.http.server import AddressInUse, HttpServer
from payment_service.provider.port import ProviderEvent
from tests.support.eventually import eventually_async
from tests.support.flows import config_for
from tests.support.http import Answer, ask, read_answer, request, send, served

INSERT_PAYMENT = """
INSERT INTO payments (id, order_id, n, user_id, provider, provider_payment_id, amount, currency, captured, refunded, status,
                      order_topic, order_partition, order_offset, created_at)
VALUES ($1, $2, $3::integer, 'user-1', 'stripe', $4, $5, $6, $7, $8, $9, 'orders.created', 0, 0, now() + $3::integer * interval '1 s')
"""
INSERT_EVENT = """
INSERT INTO payment_events (payment_id, event_type, provider, provider_event_id, payload, processed, result, verified_by,
                            verified_at, occurred_at)
VALUES ($1, 'payment_intent.processing', 'stripe', $2, '{"secret": "content"}', true, 'applied', 'secret-1', now(),
        now() + $3::integer * interval '1 s')
"""


class Api(SimpleNamespace):
    """The API under test, and a key that may read."""

    pool: Pool
    port: int
    operations_port: int
    key: str
    readiness: Readiness

    async def get(self, target: str, key: str | None = None, **headers: str) -> Answer:
        """Ask with the key that may read, or another."""
        return await ask(self.port, "GET", target, {"authorization": f"Bearer {key or self.key}", **headers})

    async def insert(self, order_id: str = "o-1", n: int = 1, **changes: Any) -> UUID:
        """Write a payment of 19.90 eur."""
        row = {"intent": None, "amount": 1990, "currency": "eur", "captured": 0, "refunded": 0, "status": "pending"}
        row |= changes
        name = payment_id("default", order_id, n)
        await self.pool.execute(INSERT_PAYMENT, name, order_id, n, *row.values())
        return name

    async def key_for(self, *scopes: str) -> str:
        """Make a key."""
        return await api_keys.create(self.pool, client="suite", scopes=scopes)


async def _take(_event: ProviderEvent, _verified_by: str) -> None:
    raise AssertionError("no webhook is sent here")


async def _quarantine(_body: bytes, _reason: str, _detail: str) -> None:
    raise AssertionError("no webhook is sent here")


@pytest.fixture
async def api(database_dsn: str) -> AsyncIterator[Api]:
    config = config_for(database_dsn, "http://127.0.0.1:9")
    pool = await open_pool(config)
    opened = Api(pool=pool, readiness=Readiness(ready=True, checks={"broker": "not reached", "database": "ok"}))

    async def readiness() -> Readiness:
        return opened.readiness

    app = build_app(config=config, pool=pool, take=_take, quarantine=_quarantine, readiness=readiness)
    operations = build_operations_app(readiness=readiness, openapi_of=app)
    try:
        async with served(app) as opened.port, served(operations) as opened.operations_port:
            opened.key = await opened.key_for("read")
            yield opened
    finally:
        pool.terminate()


def assert_problem(answer: Answer, status: int) -> None:
    """A problem of this status, in one sentence, without a word of the server and its parts."""
    assert (answer.status, answer.is_problem) == (status, True), answer
    assert answer.json["detail"].endswith(".")
    assert not {"server", "x-powered-by", "access-control-allow-origin"} & answer.headers.keys()


async def test_a_payment_is_shown_with_amounts_as_decimal_text(api: Api) -> None:
    """Every field by its name; none is left out when it is empty."""
    name = await api.insert()
    answer = await api.get(f"/v1/payments/{name}")
    assert answer.status == 200
    shown = answer.json
    assert shown.pop("created_at").endswith("Z")
    assert shown.pop("updated_at").endswith("Z")
    assert shown == {
        "id": str(name),
        "order_id": "o-1",
        "user_id": "user-1",
        "status": "pending",
        "amount": "19.90",
        "amount_captured": "0.00",
        "amount_refunded": "0.00",
        "currency": "eur",
        "provider": "stripe",
        "provider_payment_id": None,
    }


@pytest.mark.parametrize(("currency", "amount"), [("jpy", "1990"), ("isk", "1990"), ("kwd", "1.990"), ("usd", "19.90")])
async def test_amounts_have_the_decimals_of_their_currency(api: Api, currency: str, amount: str) -> None:
    name = await api.insert(currency=currency)
    assert (await api.get(f"/v1/payments/{name}")).json["amount"] == amount


@pytest.mark.parametrize(
    ("refunded", "status"),
    [(0, "succeeded"), (1, "partially_refunded"), (1989, "partially_refunded"), (1990, "refunded")],
)
async def test_how_much_was_refunded_is_shown_as_a_status(api: Api, refunded: int, status: str) -> None:
    """Derived, never stored."""
    name = await api.insert(intent="pi_1", captured=1990, refunded=refunded, status="succeeded")
    assert (await api.get(f"/v1/payments/{name}")).json["status"] == status


async def test_an_orders_payments_are_listed_page_by_page_the_oldest_first(api: Api) -> None:
    names = [await api.insert(n=n) for n in (1, 2, 3)]
    await api.insert("o-2")
    first = (await api.get("/v1/payments?order_id=o-1&limit=2")).json
    assert [payment["id"] for payment in first["data"]] == [str(name) for name in names[:2]]
    assert (first["has_more"], first["next_cursor"]) == (True, str(names[1]))
    last = (await api.get(f"/v1/payments?order_id=o-1&limit=2&cursor={first['next_cursor']}")).json
    assert [payment["id"] for payment in last["data"]] == [str(names[2])]
    assert (last["has_more"], last["next_cursor"]) == (False, None)


async def test_an_order_without_payments_has_an_empty_list(api: Api) -> None:
    assert (await api.get("/v1/payments?order_id=o-9")).json == {"data": [], "has_more": False, "next_cursor": None}


@pytest.mark.parametrize("order_id", ["a/b", "'OR'1'='1", "x" * 64, "!~#&=?+:"])
async def test_any_order_id_can_be_asked_for(api: Api, order_id: str) -> None:
    """Ids may hold any punctuation: so they are in the query, never in the path."""
    await api.insert(order_id)
    escaped = "".join(f"%{byte:02X}" for byte in order_id.encode())
    [shown] = (await api.get(f"/v1/payments?order_id={escaped}")).json["data"]
    assert shown["order_id"] == order_id


async def test_events_are_listed_in_the_providers_order_without_their_content(api: Api) -> None:
    name = await api.insert()
    for number in (3, 1, 2):
        await api.pool.execute(INSERT_EVENT, name, f"evt_{number}", number)
    await api.pool.execute(INSERT_EVENT, uuid4(), "evt_of_another", 1)
    first = await api.get(f"/v1/payments/{name}/events?limit=2")
    assert b"content" not in first.body
    assert first.json["data"][0].keys() == {
        "id", "type", "provider_event_id", "processed", "result", "occurred_at", "created_at",
    }  # fmt: skip
    rest = await api.get(f"/v1/payments/{name}/events?cursor={first.json['next_cursor']}")
    seen = [event["provider_event_id"] for event in first.json["data"] + rest.json["data"]]
    assert seen == ["evt_1", "evt_2", "evt_3"]
    assert (first.json["has_more"], rest.json["has_more"]) == (True, False)


@pytest.mark.parametrize("target", ["/v1/payments/{}", "/v1/payments/{}/events"])
async def test_a_payment_that_does_not_exist_is_not_found(api: Api, target: str) -> None:
    assert_problem(await api.get(target.format(uuid4())), 404)


@pytest.mark.parametrize("text", ["7", "null", "'--", "x" * 500, str(UUID(int=0))[:-1]])
async def test_what_is_no_uuid_is_refused_without_being_repeated(api: Api, text: str) -> None:
    answer = await api.get(f"/v1/payments/{text}")
    assert_problem(answer, 422)
    assert f'"{text}"' not in answer.body.decode()


@pytest.mark.parametrize(
    "query",
    [
        "",
        "order_id=",
        "order_id=" + "x" * 65,
        "order_id=a%20b",
        "order_id=a%00b",
        "order_id=%C3%A9",
        "order_id=a%0A",
        "order_id=a&order_id=b",
        "order_id=a&limit=0",
        "order_id=a&limit=1000000000",
        "order_id=a&limit=1.5",
        "order_id=a&cursor=x",
        "order_id=a&cursor=00000000-0000-0000-0000-000000000000",
        "order_id=a&sort=amount;DROP%20TABLE",
        "order_id=a&api_key=x",
    ],
)
async def test_a_query_that_means_nothing_is_refused(api: Api, query: str) -> None:
    """Unknown parameters too: what is ignored in silence is believed to work."""
    assert_problem(await api.get(f"/v1/payments?{query}"), 422)


async def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    """A cursor is a row's name; it opens nothing that the list doesn't hold."""
    await api.insert("o-1")
    other = await api.insert("o-2")
    assert_problem(await api.get(f"/v1/payments?order_id=o-1&cursor={other}"), 422)


async def test_a_read_takes_no_unknown_parameter(api: Api) -> None:
    name = await api.insert()
    assert_problem(await api.get(f"/v1/payments/{name}?expand=all"), 422)


async def test_a_key_is_shown_once_and_kept_as_a_hash(api: Api) -> None:
    """A dump of the table opens nothing."""
    row = dict((await api.pool.fetch("SELECT * FROM api_keys"))[0])
    assert api.key.startswith(row["prefix"])
    assert len(row["prefix"]) < 10
    assert api.key not in str(row)
    assert (await api.get("/v1/payments?order_id=a")).status == 200


@pytest.mark.parametrize(("client", "scopes"), [("suite", []), ("suite", ["write"]), ("", ["read"]), ("a\nb", ["read"]), ("x" * 65, ["read"])])  # fmt: skip
async def test_a_key_needs_a_name_and_known_scopes(api: Api, client: str, scopes: list[str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        await api_keys.create(api.pool, client=client, scopes=scopes)


async def test_every_key_that_is_not_valid_gets_the_same_answer(api: Api) -> None:
    """Byte for byte: unknown, revoked, mistyped, in the query, without scheme, or none at all."""
    revoked = await api_keys.create(api.pool, client="gone", scopes=["read"])
    await api_keys.revoke(api.pool, client="gone")
    mistyped = api.key[:-1] + ("0" if api.key[-1] != "0" else "1")
    unknown = "psk_" + "A" * 43
    unknown += api_keys._checksum(unknown)
    target = "/v1/payments?order_id=a"
    answers = [
        await ask(api.port, "GET", target),
        await ask(api.port, "GET", target, {"authorization": ""}),
        await ask(api.port, "GET", target, {"authorization": api.key}),
        await ask(api.port, "GET", target, {"authorization": f"Basic {api.key}"}),
        await ask(api.port, "GET", target, {"authorization": f"Bearer {api.key} x"}),
        await ask(
            api.port, "GET", target, {"authorization": f"Bearer {api.key}", "Authorization": f"Bearer {api.key}"}
        ),
        await ask(api.port, "GET", f"{target}&api_key={api.key}&access_token={api.key}"),
        *[await api.get(target, key) for key in (revoked, mistyped, unknown, "psk_", "x" * 5000, "\xe9")],
    ]
    for answer in answers:
        assert_problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    assert len({answer.body for answer in answers}) == 1


async def test_a_key_without_the_scope_is_forbidden(api: Api) -> None:
    for scopes in (["checkout"], ["refund"], ["checkout", "refund"]):
        assert_problem(await api.get("/v1/payments?order_id=a", await api.key_for(*scopes)), 403)


@pytest.mark.parametrize("scopes", [["read"], ["admin"], ["read", "refund"]])
async def test_admin_includes_every_scope(api: Api, scopes: list[str]) -> None:
    assert (await api.get("/v1/payments?order_id=a", await api.key_for(*scopes))).status == 200


async def test_a_revoked_key_is_refused_within_five_seconds() -> None:
    """A good key is remembered for that long and not longer; a bad one is not remembered at all."""
    now = 0.0
    client: api_keys.Client | None = None
    asked = 0

    async def find(_key: str) -> api_keys.Client | None:
        nonlocal asked
        asked += 1
        return client

    keys = Keys(find, clock=lambda: now)
    key = "psk_" + "A" * 43
    key += api_keys._checksum(key)
    with pytest.raises(Problem):
        await keys.identify(key, "192.0.2.1")
    client = api_keys.Client(uuid4(), "suite", frozenset({"read"}))
    assert await keys.identify(key, "192.0.2.1") == client
    found, client = client, None
    now = CACHE_S - 0.1
    assert await keys.identify(key, "192.0.2.1") == found
    assert asked == 2
    now = CACHE_S + 0.1
    with pytest.raises(Problem):
        await keys.identify(key, "192.0.2.1")


async def test_many_bad_keys_are_slowed_down_and_good_ones_are_not(api: Api) -> None:
    """From the same address: nobody can lock somebody else out by guessing."""
    target = "/v1/payments?order_id=a"
    bad = [await api.get(target, f"psk_guess_{n}") for n in range(BAD_KEYS_BURST + 10)]
    assert {answer.status for answer in bad[:BAD_KEYS_BURST]} == {401}
    assert bad[-1].status == 429
    assert_problem(bad[-1], 429)
    assert int(bad[-1].headers["retry-after"]) >= 1
    assert (await api.get(target)).status == 200
    assert (await api.get(target, await api.key_for("read"))).status == 200
    assert (await ask(api.port, "GET", target)).status == 401


def test_the_memory_for_bad_keys_is_bounded_and_forgives_with_time() -> None:
    """By address; of IPv6 by its /64, since whoever has one address there has them all."""
    now = 0.0
    budget = BadKeyBudget(lambda: now)
    assert [budget.spend("192.0.2.1") for _ in range(BAD_KEYS_BURST)] == [0] * BAD_KEYS_BURST
    wait_s = budget.spend("192.0.2.1")
    assert wait_s > 0
    now += wait_s
    assert budget.spend("192.0.2.1") == 0
    for n in range(BAD_KEYS_BURST):
        assert budget.spend(f"2001:db8::{n:x}") == 0
    assert budget.spend("2001:db8::ffff") > 0
    for n in range(ADDRESSES_MAX + 100):
        budget.spend(f"host-{n}")
    assert len(budget._buckets) == ADDRESSES_MAX


@pytest.mark.parametrize(
    "target",
    ["/", "/v1", "/v2/payments", "/metrics", "/docs", "/redoc", "/openapi.json", "/debug", "/v1/payments/", "/.env", "/v1/%70ayments"],
)  # fmt: skip
async def test_what_is_not_public_is_not_found(api: Api, target: str) -> None:
    """Docs and metrics are on the other port."""
    assert_problem(await api.get(target), 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_other_methods_are_not_allowed_and_no_other_site_is(api: Api, method: str) -> None:
    """A preflight of a browser gets no CORS headers, so no page elsewhere can read here."""
    headers = {"origin": "https://elsewhere.example", "access-control-request-method": "GET"}
    answer = await ask(api.port, method, "/v1/payments", headers)
    assert_problem(answer, 405)
    assert answer.headers["allow"] == "GET"


async def test_head_answers_as_get_without_the_body(api: Api) -> None:
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


async def test_while_the_database_is_away_clients_are_asked_to_come_again(api: Api) -> None:
    """503, never a 500, and not a word of where the database is."""
    target = "/v1/payments?order_id=a"
    assert (await api.get(target)).status == 200
    api.pool.terminate()
    answer = await api.get(target)
    assert_problem(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert b"postgres" not in answer.body.lower()


async def test_a_defect_is_told_by_an_id_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """The log line of the same id has the rest."""

    async def break_down(_request: Request) -> Response:
        raise RuntimeError("the password is hunter2")

    app = Starlette(routes=[Route("/", break_down)], middleware=[Middleware(Requests)])
    problems.install(app)
    async with served(app) as port:
        answer = await ask(port, "GET", "/")
    assert_problem(answer, 500)
    assert b"hunter2" not in answer.body
    error_id = answer.json["instance"].removeprefix("urn:uuid:")
    assert error_id in capsys.readouterr().out


@pytest.mark.parametrize("public", [True, False])
async def test_health_and_readiness_are_told_on_both_ports(api: Api, public: bool) -> None:
    """The broker is told, not judged; without the database nothing can be done."""
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
    """Requests are counted by route, never by path."""
    name = await api.insert()
    await api.get(f"/v1/payments/{name}")
    answer = await ask(api.operations_port, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.body.decode()
    assert 'payments_http_requests_total{route="/v1/payments/{payment_id}",status="200"}' in text
    assert str(name) not in text


async def test_the_description_names_every_route_and_its_answers(api: Api) -> None:
    """What the public app serves, and nothing else; every error as a problem."""
    described = (await ask(api.operations_port, "GET", "/openapi.json")).json
    assert described["openapi"] == "3.1.0"
    assert described["paths"].keys() == {
        "/v1/payments/{payment_id}",
        "/v1/payments",
        "/v1/payments/{payment_id}/events",
        "/webhooks/stripe",
        "/health",
        "/ready",
    }
    for operations in described["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                assert int(status) < 400 or "application/problem+json" in response["content"]
    assert _references(described) <= {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*(_references(inner) for inner in value.values()))
    return set().union(*(_references(inner) for inner in value)) if isinstance(value, list) else set()


async def test_the_docs_are_one_page_that_loads_nothing_from_elsewhere(api: Api) -> None:
    answer = await ask(api.operations_port, "GET", "/docs")
    text = answer.body.decode()
    assert answer.status == 200
    assert "/v1/payments/{payment_id}/events" in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")


async def test_what_does_not_fit_the_operations_port_is_refused_too(api: Api) -> None:
    assert_problem(await ask(api.operations_port, "GET", "/v1/payments"), 404)
    assert_problem(await ask(api.operations_port, "POST", "/metrics"), 405)


async def test_a_port_in_use_is_told_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = HttpServer(Starlette(), "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(AddressInUse, match="SERVICE_PORT"):
            await server.start()


async def test_stopping_finishes_what_runs_and_closes_what_is_idle() -> None:
    """No new connection is taken meanwhile."""
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


async def test_what_runs_longer_than_the_grace_is_cut_off() -> None:
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


async def test_every_statement_fits_the_schema(database_dsn: str) -> None:
    """Prepared, not run: so that a column that was renamed is noticed here."""
    connection = await asyncpg.connect(database_dsn)
    statements = [sql for queries in (api_keys._SQL, payment_reads._SQL) for sql in vars(queries).values()]
    assert len(statements) == 9
    for statement in statements:
        await connection.prepare(statement)
    await connection.close()
