"""Test every route of `/v1` with every scope, with no key, with a revoked key, and with a wrong key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import pytest

from payment_service.db import api_keys
from payment_service.db.api_keys import Scope
from payment_service.http import auth
from tests.support.api import Api, assert_problem, open_api
from tests.support.http import Answer, ask

# Written here instead of read from the routes, so that a route without its scope fails.
NEEDED: Final = {
    "GET /v1/payments": Scope.READ,
    "GET /v1/payments/{payment_id}": Scope.READ,
    "GET /v1/payments/{payment_id}/events": Scope.READ,
    "GET /v1/payments/{payment_id}/refunds": Scope.READ,
    "GET /v1/payments/{payment_id}/disputes": Scope.READ,
    "GET /v1/payments/{payment_id}/timeline": Scope.READ,
    "POST /v1/payments/{payment_id}/refunds": Scope.REFUND,
    "POST /v1/payments/{payment_id}/capture": Scope.REFUND,
    "POST /v1/payments/{payment_id}/cancel": Scope.REFUND,
    "GET /v1/reconciliations": Scope.READ,
    "GET /v1/refunds": Scope.READ,
    "GET /v1/disputes": Scope.READ,
    "GET /v1/search": Scope.READ,
    "GET /v1/audit": Scope.ADMIN,
    "GET /v1/refunds/{refund_id}": Scope.READ,
    "GET /v1/checkout": Scope.CHECKOUT,
    "POST /v1/payments": Scope.CHECKOUT,
}

BODIES: Final = {"POST /v1/payments": {"order_id": "o-none"}}


@pytest.fixture
async def api(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(auth, "BAD_KEYS_BURST", 1_000)  # another test covers rate limiting
    async with open_api(database_dsn) as opened:
        yield opened


async def call(api: Api, route: str, key: str | None) -> Answer:
    """Call a route for something that does not exist, with a valid request."""
    method, _, path = route.partition(" ")
    target = path.replace("{payment_id}", str(UUID(int=1))).replace("{refund_id}", str(UUID(int=1)))
    target += {"/v1/checkout": "?order_id=o-none", "/v1/search": "?text=o-none"}.get(path, "")
    headers: dict[str, str | None] = {"authorization": f"Bearer {key}"} if key is not None else {}
    if method == "GET":
        return await ask(api.port, method, target, headers)
    headers |= {"content-type": "application/json", "idempotency-key": f"{key}"[:40]}
    return await ask(api.port, method, target, headers, json.dumps(BODIES.get(route, {})).encode())


async def test_every_route_is_in_the_table(api: Api) -> None:
    described = (await ask(api.operations_port, "GET", "/openapi.json")).json
    routes = {
        f"{method.upper()} {path}" for path, item in described["paths"].items() for method in item if "/v1/" in path
    }
    assert routes == NEEDED.keys()


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_key_opens_the_routes_of_its_scope_and_no_others(api: Api, scope: Scope) -> None:
    """`admin` opens all of them."""
    key = await api.key_for(scope)
    for route, needed in NEEDED.items():
        answer = await call(api, route, key)
        if scope in {needed, Scope.ADMIN}:
            assert answer.status in {200, 404}, (route, answer)
        else:
            assert (route, answer.status, answer.json["type"]) == (route, 403, "urn:payment-service:forbidden")


async def test_no_route_opens_without_a_valid_key(api: Api) -> None:
    """A revoked key with all scopes opens none either. Such a call changes and audits nothing."""
    revoked = await api_keys.create(api.pool, client="gone", scopes=list(Scope))
    await api_keys.revoke(api.pool, client="gone")
    wrong = revoked[:-1] + ("0" if revoked[-1] != "0" else "1")
    for route in NEEDED:
        bodies = set()
        for key in (None, revoked, wrong, ""):
            answer = await call(api, route, key)
            assert_problem(answer, 401)
            bodies.add(answer.body)
        assert len(bodies) == 1, route
    assert await api.pool.fetchval("SELECT (SELECT count(*) FROM audit) + (SELECT count(*) FROM idempotency_keys)") == 0
