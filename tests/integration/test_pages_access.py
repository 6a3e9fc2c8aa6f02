"""Permissions of each page, and requests that the pages refuse."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from payment_service.bank_transfer.pages import PAGES as BANK_PAGES
from payment_service.pages.guard import QUERY_LIMIT_BYTES
from payment_service.pages.permissions import HOLDERS, Permission, Role
from payment_service.pages.routes import ROUTES, SECTIONS
from tests.support.bank import open_bank
from tests.support.pages import ServedPages, Visitor, serve_pages

ALL = "viewer support finance operator"
# Written out, so that a change of the table of permissions is a change here.
EXPECTED = {
    "GET /": ALL,
    "GET /payments": ALL,
    "GET /payments.csv": "finance",
    "GET /payments/{id:uuid}": ALL,
    "POST /payments/{id:uuid}/note": "support finance operator",
    "GET /payments/{id:uuid}/refund": "support finance",
    "POST /payments/{id:uuid}/refund": "support finance",
    "GET /payments/{id:uuid}/capture": "finance",
    "POST /payments/{id:uuid}/capture": "finance",
    "GET /payments/{id:uuid}/cancel": "support finance",
    "POST /payments/{id:uuid}/cancel": "support finance",
    "GET /payments/{id:uuid}/republish": "operator",
    "POST /payments/{id:uuid}/republish": "operator",
    "GET /refunds": ALL,
    "GET /refunds.csv": "finance",
    "GET /disputes": ALL,
    "GET /disputes.csv": "finance",
    "GET /disputes/{id:uuid}": ALL,
    "POST /disputes/{id:uuid}/note": "support finance operator",
    "GET /exports": "finance",
    "GET /audit": "finance operator",
    "GET /audit.csv": "finance",
    "GET /approvals": "support finance",
    "GET /approvals/{id:uuid}": "support finance",
    "POST /approvals/{id:uuid}/approve": "support finance",
    "POST /approvals/{id:uuid}/decline": "support finance",
    "GET /attention": ALL,
    "GET /attention/item": "support finance operator",
    "POST /attention/retry": "operator",
    "POST /attention/resolve": "operator",
    "GET /health": ALL,
    "GET /keys": "operator",
    "POST /keys": "operator",
    "POST /keys/{id:uuid}/revoke": "operator",
    "GET /bank": "finance",
    "POST /bank/preview": "finance",
    "POST /bank/import": "finance",
    "GET /bank/transfer": "finance",
    "POST /bank/assign": "finance",
    "POST /bank/close": "finance",
    "GET /bank/refunds/{id:uuid}": "finance",
    "POST /bank/refunds/{id:uuid}": "finance",
}
ALL_ROUTES = ROUTES + BANK_PAGES.routes


@pytest.fixture
async def pages(database_dsn: str) -> AsyncIterator[ServedPages]:
    """Serve the pages with the login by link."""
    settings = {"admin_port": 8083, "providers": ("stripe", "bank_transfer")}
    async with open_bank(database_dsn, **settings) as bank, serve_pages(bank.flows) as served:
        yield served


def test_table_of_routes_is_complete() -> None:
    assert [f"{one.method} {one.path}" for one in ALL_ROUTES] == list(EXPECTED)
    assert set(HOLDERS) == set(Permission)
    assert all(f"GET {one.path}" in EXPECTED for one in SECTIONS + BANK_PAGES.sections)


async def test_every_route_is_open_to_exactly_its_roles(pages: ServedPages) -> None:
    payment = await pages.paid()
    for role in Role:
        visitor = await pages.log_in(f"{role}@shop.example", role)
        token = (
            (await visitor.hidden("/payments/" + str(payment), f"/payments/{payment}/note"))
            if role is not Role.VIEWER
            else {}
        )
        for route in ALL_ROUTES:
            path = route.path.replace("{id:uuid}", str(payment))
            answer = await (visitor.get(path) if route.method == "GET" else visitor.post(path, token))
            allowed = role.value in EXPECTED[f"{route.method} {route.path}"].split()
            assert (answer.status != HTTPStatus.FORBIDDEN) == allowed, (role, route, answer.status)
            # A form without its token is refused as well, in other words.
            assert (b"You may not" in answer.body) == (not allowed), (role, route)
            assert answer.status < 500, (role, route)
            assert answer.headers["cache-control"] == "no-store"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "unsafe-inline" not in answer.headers["content-security-policy"]


async def test_navigation_leads_only_to_pages_that_open(pages: ServedPages) -> None:
    for role in Role:
        visitor = await pages.log_in("somebody", role)
        text = (await visitor.get("/")).body.decode()
        for link in set(re.findall(r'href="(/[^"#?]*)', text)):
            assert (await visitor.get(link)).status == HTTPStatus.OK, (role, link)


async def test_nobody_sees_a_page_without_a_login(pages: ServedPages) -> None:
    stranger = Visitor(pages.port)
    for route in ALL_ROUTES:
        path = route.path.replace("{id:uuid}", "ae21913b-5b2f-5c29-8abf-153dfb1cfa87")
        answer = await (stranger.get(path) if route.method == "GET" else stranger.post(path, {}))
        if route.method == "GET":
            assert answer.headers["location"].startswith("/login?next=")
        assert answer.status == (HTTPStatus.SEE_OTHER if route.method == "GET" else HTTPStatus.UNAUTHORIZED)


async def test_viewer_sees_no_personal_fields(pages: ServedPages) -> None:
    payment = await pages.paid()
    support, viewer = await pages.log_in("s", "support"), await pages.log_in("v", "viewer")
    await support.submit(f"/payments/{payment}", f"/payments/{payment}/note", note="Called Ada Lovelace")

    for path in ("/payments", f"/payments/{payment}"):
        assert b"user-ada" in (await support.get(path)).body
        assert b"user-ada" not in (await viewer.get(path)).body
        assert b"Lovelace" not in (await viewer.get(path)).body
    assert b"Lovelace" in (await support.get(f"/payments/{payment}")).body


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": None},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": None},
    ],
)
async def test_form_of_another_site_is_refused(pages: ServedPages, headers: dict[str, str | None]) -> None:
    payment, visitor = await pages.paid(), await pages.log_in("s", "support")
    path = f"/payments/{payment}/note"
    fields = {**await visitor.hidden(f"/payments/{payment}", path), "note": "forged"}

    assert (await visitor.post(path, fields, headers)).status == HTTPStatus.FORBIDDEN
    assert ("pages:s", "note") not in await pages.audit()


async def test_form_needs_the_token_of_its_own_session(pages: ServedPages) -> None:
    payment, visitor = await pages.paid(), await pages.log_in("s", "support")
    path = f"/payments/{payment}/note"
    fields = {**await visitor.hidden(f"/payments/{payment}", path), "note": "forged"}
    other = await pages.log_in("s", "support")

    assert (await visitor.post(path, {**fields, "token": ""})).status == HTTPStatus.FORBIDDEN
    assert (await other.post(path, fields)).status == HTTPStatus.FORBIDDEN
    assert (await visitor.post(path, fields)).status == HTTPStatus.SEE_OTHER


async def test_foreign_name_is_refused(pages: ServedPages) -> None:
    visitor = await pages.log_in("v", "viewer")
    assert (await visitor.get("/", {"host": "evil.example"})).status == HTTPStatus.MISDIRECTED_REQUEST


async def test_long_queries_and_bodies_are_refused(pages: ServedPages) -> None:
    payment, visitor = await pages.paid(), await pages.log_in("s", "support")
    path = f"/payments/{payment}/note"
    fields = await visitor.hidden(f"/payments/{payment}", path)

    assert (await visitor.get("/payments?q=" + "a" * QUERY_LIMIT_BYTES)).status == HTTPStatus.REQUEST_URI_TOO_LONG
    assert (await visitor.post(path, {**fields, "note": "a" * 20_000})).status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert (await visitor.post(path, {**fields, "note": "a" * 501})).status == HTTPStatus.UNPROCESSABLE_ENTITY
    many = fields | {f"more{number}": "" for number in range(30)}
    assert (await visitor.post(path, many)).status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "target",
    [
        "/payments?cursor=nonsense",
        "/payments?status=nonsense",
        "/payments?currency=xxx",
        "/payments?since=yesterday",
        "/payments?until=9999-12-31",
        "/payments?q=%00",
        "/attention?what=nonsense",
        "/attention/item?id=",
        "/attention/item?id=%00",
    ],
)
async def test_bad_input_gets_a_sentence(pages: ServedPages, target: str) -> None:
    visitor = await pages.log_in("f", "finance")
    answer = await visitor.get(target)
    assert 400 <= answer.status < 500
    assert b'role="alert"' in answer.body
