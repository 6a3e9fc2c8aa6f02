"""Ways to log in to the pages, and how sessions end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

import pytest
from pydantic import SecretStr

from payment_service.db import cursor_key, page_logins
from payment_service.pages.login import _own_path
from payment_service_demo.embedded.process import free_port
from tests.support.command import run
from tests.support.eventually import eventually
from tests.support.flows import open_flows
from tests.support.pages import ServedPages, Visitor, serve_pages

GROUPS = {"admin_groups": ("team-support:support", "team-finance:finance", "ops:payments:operator")}


@pytest.fixture
async def pages(database_dsn: str) -> AsyncIterator[ServedPages]:
    """Serve the pages with the login by link."""
    async with (
        open_flows(database_dsn, "http://127.0.0.1:9", admin_port=8083) as flows,
        serve_pages(flows) as served,
    ):
        yield served


@pytest.fixture
async def behind_proxy(database_dsn: str) -> AsyncIterator[ServedPages]:
    """Serve the pages behind a proxy on this machine."""
    settings = {"admin_port": 8083, "admin_login": ("proxy",), "trusted_proxies": ("127.0.0.1",), **GROUPS}
    async with open_flows(database_dsn, "http://127.0.0.1:9", **settings) as flows, serve_pages(flows) as served:
        yield served


async def test_link_logs_in_once(pages: ServedPages) -> None:
    async with pages.flows.pool.acquire() as connection:
        token = await page_logins.create(connection, person="ada", roles=["viewer"])
    first, second = Visitor(pages.port), Visitor(pages.port)

    assert b"Log in as ada" in (await first.get(f"/login/link?token={token}")).body
    answer = await first.post("/login/link", {"token": token})
    assert answer.status == HTTPStatus.SEE_OTHER
    assert {"httponly", "samesite=lax"} <= set(answer.headers["set-cookie"].lower().split("; "))
    assert (await second.post("/login/link", {"token": token})).status == HTTPStatus.NOT_FOUND
    assert (await second.get(f"/login/link?token={token}")).status == HTTPStatus.NOT_FOUND
    assert not await pages.flows.pool.fetchval(
        "SELECT count(*) FROM page_logins WHERE token_hash = convert_to($1, 'UTF8')", token
    )


async def test_expired_link_does_not_log_in(pages: ServedPages) -> None:
    async with pages.flows.pool.acquire() as connection:
        token = await page_logins.create(connection, person="ada", roles=["viewer"])
        await connection.execute("UPDATE page_logins SET expires_at = now()")

    assert (await Visitor(pages.port).post("/login/link", {"token": token})).status == HTTPStatus.NOT_FOUND


async def test_edited_cookie_logs_nobody_in(pages: ServedPages) -> None:
    visitor = await pages.log_in("v", "viewer")
    cookie = visitor.cookies["payment_service_pages"]
    # Not the last character: its lowest bits are not part of the signature.
    edited = cookie[:-10] + ("A" if cookie[-10] != "A" else "B") + cookie[-9:]
    for forged in (edited, "e30=" + cookie[4:], cookie.partition(".")[0]):
        visitor.cookies["payment_service_pages"] = forged
        assert (await visitor.get("/")).status == HTTPStatus.SEE_OTHER


async def test_log_out_ends_the_session_for_copies_of_its_cookie_too(pages: ServedPages) -> None:
    visitor, other = await pages.log_in("v", "viewer"), await pages.log_in("v", "viewer")
    copy = Visitor(pages.port, dict(visitor.cookies))
    assert (await copy.get("/")).status == HTTPStatus.OK
    assert (await visitor.post("/logout", {})).headers["location"] == "/login"
    assert (await visitor.get("/")).status == HTTPStatus.SEE_OTHER
    assert (await copy.get("/")).status == HTTPStatus.SEE_OTHER
    assert (await other.get("/")).status == HTTPStatus.OK


async def test_a_session_ends_after_8_hours_of_the_databases_clock(pages: ServedPages) -> None:
    visitor = await pages.log_in("v", "viewer")
    pool = pages.flows.pool
    assert await pool.fetchval("SELECT expires_at - began_at = interval '8 h' FROM page_sessions")
    await pool.execute("UPDATE page_sessions SET expires_at = now()")
    assert (await visitor.get("/")).status == HTTPStatus.SEE_OTHER


@pytest.mark.parametrize(("who", "ended"), [(("--person", "Ada"), ["ada"]), (("--all",), ["ada", "bob"])])
async def test_a_command_logs_people_out(
    pages: ServedPages, database_dsn: str, who: tuple[str, ...], ended: list[str]
) -> None:
    """Their unused links end too, which would begin another session."""
    visitors = {name: await pages.log_in(name, "viewer") for name in ("ada", "bob")}
    async with pages.flows.pool.acquire() as connection:
        link = await page_logins.create(connection, person="ada", roles=["viewer"])
    done = await asyncio.to_thread(run, "pages", "logout", *who, env={"DB_DSN": database_dsn})
    assert (done.returncode, f"Ended sessions: {len(ended)}." in done.stderr) == (0, True), done.stderr
    for name, visitor in visitors.items():
        assert ((await visitor.get("/")).status == HTTPStatus.SEE_OTHER) == (name in ended)
    assert (await Visitor(pages.port).post("/login/link", {"token": link})).status == HTTPStatus.NOT_FOUND
    assert ("cli:suite", "pages.logout") in await pages.audit()


async def test_the_key_of_cursors_signs_no_session(pages: ServedPages) -> None:
    """Cursors go to API clients, and a session or a form must not be forged with their key."""
    visitor, page = await pages.log_in("v", "support"), f"/payments/{await pages.paid()}"
    cursors = await cursor_key.read(pages.flows.pool)
    own = await cursor_key.read_derived(pages.flows.pool, "pages")
    assert cursors != own
    token = (await visitor.hidden(page, f"{page}/note"))["token"]
    session = await pages.flows.pool.fetchval("SELECT id_hash FROM page_sessions")
    assert hashlib.sha256(_session_id(visitor).encode()).digest() == session
    bound = f"form\nv\n{_session_id(visitor)}".encode()
    assert [hmac.new(key, bound, hashlib.sha256).hexdigest() == token for key in (cursors, own)] == [False, True]


def _session_id(visitor: Visitor) -> str:
    content = visitor.cookies["payment_service_pages"].partition(".")[0]
    return str(json.loads(base64.b64decode(content))["id"])


@pytest.mark.parametrize(
    "path",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)", "/login"],
)
def test_login_leads_nowhere_else(path: str) -> None:
    assert _own_path(path) == "/"
    assert _own_path("/payments?q=1") == "/payments?q=1"


async def test_headers_of_a_trusted_proxy_log_in(behind_proxy: ServedPages) -> None:
    visitor = Visitor(behind_proxy.port)
    support = {"x-forwarded-email": "ada@shop.example", "x-forwarded-groups": "all,team-support"}
    operator = {"x-auth-request-user": "grace", "x-auth-request-groups": "ops:payments"}

    assert b"ada@shop.example" in (await visitor.get("/", support)).body
    assert (await visitor.get("/keys", support)).status == HTTPStatus.FORBIDDEN
    assert (await visitor.get("/keys", operator)).status == HTTPStatus.OK
    nobody = {"x-forwarded-email": "eve@shop.example", "x-forwarded-groups": "support"}
    assert (await visitor.get("/", nobody)).status == HTTPStatus.FORBIDDEN
    assert (await visitor.get("/", {"x-forwarded-groups": "team-support"})).status == HTTPStatus.SEE_OTHER
    # The proxy sets one family of headers, so the visitor has added the other.
    assert (await visitor.get("/", {**operator, **support})).status == HTTPStatus.SEE_OTHER


async def test_headers_of_another_address_log_nobody_in(database_dsn: str) -> None:
    settings = {"admin_port": 8083, "admin_login": ("proxy",), "trusted_proxies": ("10.0.0.7",), **GROUPS}
    async with open_flows(database_dsn, "http://127.0.0.1:9", **settings) as flows, serve_pages(flows) as pages:
        forged = {"x-forwarded-email": "ada@shop.example", "x-forwarded-groups": "team-support"}
        for more in ({}, {"x-forwarded-for": "10.0.0.7"}):
            assert (await Visitor(pages.port).get("/", {**forged, **more})).status == HTTPStatus.SEE_OTHER


async def test_proxy_headers_mean_nothing_unless_enabled(pages: ServedPages) -> None:
    forged = {"x-forwarded-email": "ada@shop.example", "x-forwarded-groups": "operator"}
    assert (await Visitor(pages.port).get("/", forged)).status == HTTPStatus.SEE_OTHER


async def test_cookie_is_secure_behind_tls(database_dsn: str) -> None:
    settings = {"admin_port": 8083, "admin_url": "https://payments.shop.example"}
    async with open_flows(database_dsn, "http://127.0.0.1:9", **settings) as flows, serve_pages(flows) as pages:
        async with flows.pool.acquire() as connection:
            token = await page_logins.create(connection, person="ada", roles=["viewer"])
        own = {"host": "payments.shop.example", "origin": "https://payments.shop.example"}
        answer = await Visitor(pages.port).post("/login/link", {"token": token}, own)
        assert "secure" in answer.headers["set-cookie"].lower().split("; ")


@pytest.fixture
def identity_provider() -> Iterator[str]:
    """Start an OpenID Connect provider that logs in whom the test names."""
    port = free_port()
    user = '{"sub": "ada", "email": "ada@shop.example", "email_verified": true, "groups": ["team-support"]}'
    stranger = '{"sub": "eve", "email": "eve@shop.example", "email_verified": true, "groups": ["guests"]}'
    silent = '{"sub": "bob", "email": "bob@shop.example", "groups": ["team-support"]}'
    unverified = '{"sub": "kim", "email": "kim@shop.example", "email_verified": false, "groups": ["team-support"]}'
    nameless = '{"sub": "lee", "groups": ["team-support"]}'
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    process = subprocess.Popen(
        [
            *command,
            *(part for one in (user, stranger, silent, unverified, nameless) for part in ("--user-claims", one)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    issuer = f"http://localhost:{port}"
    try:
        eventually(lambda: _answers(f"{issuer}/.well-known/openid-configuration"))
        yield issuer
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return bool(urlopen(url, timeout=2).status == HTTPStatus.OK)  # noqa: S310 - our own provider
    except OSError:
        return False


def _consent(url: str, subject: str) -> str:
    """Log in at the provider as a person, and return the target of its redirect."""
    request = Request(url, data=urlencode({"sub": subject}).encode(), method="POST")  # noqa: S310 - our own provider
    try:
        build_opener(_NoRedirect).open(request, timeout=5)
    except HTTPError as error:
        return str(error.headers["location"])
    raise AssertionError("the provider did not redirect")


class _NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: the caller gets it as an HTTPError."""

    def redirect_request(self, *_arguments: object) -> None:
        """Return nothing, so that the redirect is not followed."""


def oidc_settings(issuer: str) -> dict[str, Any]:
    return {
        "admin_port": 8083,
        "admin_login": ("oidc",),
        "admin_oidc_issuer": issuer,
        "admin_oidc_client_id": "payment-service",
        "admin_oidc_client_secret": SecretStr("known to the provider"),
        **GROUPS,
    }


@pytest.mark.parametrize("trusted", [False, True])
async def test_only_a_verified_address_names_a_person(database_dsn: str, identity_provider: str, trusted: bool) -> None:
    """Otherwise a person could enter a colleague's address at the provider. A setting may say that nobody can."""
    settings = {**oidc_settings(identity_provider), "admin_oidc_email_trusted": trusted}
    expected = {"ada": True, "bob": trusted, "kim": False, "lee": True}
    async with open_flows(database_dsn, "http://127.0.0.1:9", **settings) as flows, serve_pages(flows) as pages:
        for subject, accepted in expected.items():
            visitor = Visitor(pages.port)
            begun = await visitor.get("/login/oidc")
            back = urlsplit(_consent(begun.headers["location"], subject))
            answer = await visitor.get(f"{back.path}?{back.query}")
            assert answer.status == (HTTPStatus.SEE_OTHER if accepted else HTTPStatus.FORBIDDEN), subject
            assert (b"ADMIN_OIDC_EMAIL_TRUSTED" in answer.body) == (not accepted), subject


async def test_identity_provider_logs_in_with_pkce(database_dsn: str, identity_provider: str) -> None:
    settings = oidc_settings(identity_provider)
    async with open_flows(database_dsn, "http://127.0.0.1:9", **settings) as flows, serve_pages(flows) as pages:
        visitor = Visitor(pages.port)
        begun = await visitor.get("/login/oidc?next=/payments")
        asked = parse_qs(urlsplit(begun.headers["location"]).query)
        assert asked["code_challenge_method"] == ["S256"]
        assert all(asked[name] for name in ("code_challenge", "state", "nonce"))
        assert asked["redirect_uri"] == ["http://localhost:8083/login/oidc/callback"]
        back = urlsplit(_consent(begun.headers["location"], "ada"))
        callback = f"{back.path}?{back.query}"

        assert (await Visitor(pages.port).get(callback)).status == HTTPStatus.FORBIDDEN, "an answer for another browser"
        answer = await visitor.get(callback)
        assert (answer.status, answer.headers["location"]) == (HTTPStatus.SEE_OTHER, "/payments")
        assert b"ada@shop.example" in (await visitor.get("/")).body
        assert (await visitor.get(callback)).status == HTTPStatus.FORBIDDEN, "an answer that was used"

        stranger = Visitor(pages.port)
        begun = await stranger.get("/login/oidc")
        back = urlsplit(_consent(begun.headers["location"], "eve"))
        answer = await stranger.get(f"{back.path}?{back.query}")
        assert answer.status == HTTPStatus.FORBIDDEN
        assert b"You are in no group" in answer.body
