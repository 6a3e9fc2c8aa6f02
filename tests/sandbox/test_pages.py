"""Common properties of all pages, and the list of payments."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.sandbox.pages import pay, request_page
from tests.support.sandbox import SandboxProcess

PAGES = ("/", "/events", "/webhooks", "/faults", "/clock")
HOSTILE = "<script>alert('paid')</script>"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_loads_and_allows_no_scripts(sandbox: SandboxProcess, path: str) -> None:
    page = request_page(sandbox, path)
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "<script" not in page.text
    assert 'aria-current="page"' in page.text


def test_checkout_allows_only_its_own_scripts_and_has_a_noscript_text(sandbox: SandboxProcess, client: Any) -> None:
    page = request_page(sandbox, f"/checkout/{pay(client, None).id}")
    directives = page.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-src 'self'", "connect-src 'self'"} <= set(directives)
    assert "needs JavaScript" in page.text.partition("<noscript>")[2].partition("</noscript>")[0]


def test_style_sheets_are_served(sandbox: SandboxProcess) -> None:
    sheets = re.findall(r'rel="stylesheet" href="([^"]+)"', request_page(sandbox, "/").text)
    assert len(sheets) == 3
    for sheet in sheets:
        page = request_page(sandbox, sheet)
        assert (page.status, page.headers["content-type"]) == (200, "text/css")


def test_client_input_is_escaped(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, description=HOSTILE, metadata={"order_id": HOSTILE, HOSTILE: "value"})
    event = client.v1.events.list({"limit": 1}).data[0]
    for path in ("/", f"/?q={HOSTILE}", f"/payments/{intent.id}", "/events", f"/events/{event.id}"):
        page = request_page(sandbox, path.replace(HOSTILE, urlencode({"": HOSTILE})[1:]))
        assert "<script" not in page.text
        assert HOSTILE in unescape(page.text)


def test_no_page_shows_a_client_secret(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, "pm_card_chargeDeclined")
    events = client.v1.events.list({"limit": 5}).data
    for path in (f"/payments/{intent.id}", *(f"/events/{event.id}" for event in events)):
        assert intent.client_secret not in request_page(sandbox, path).text


@pytest.mark.parametrize("path", ["/faults/clear", "/sandbox/faults", "/sandbox/clock"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ],
)
def test_requests_from_other_sites_are_rejected(sandbox: SandboxProcess, path: str, headers: dict[str, str]) -> None:
    sandbox.faults({"action": "latency", "ms": 1})
    assert request_page(sandbox, path, {}, **headers).status == 403
    assert len(sandbox.faults_struck()) == 1


def test_requests_from_the_sandboxs_own_pages_are_accepted(sandbox: SandboxProcess) -> None:
    own = {"Origin": sandbox.base_url, "Sec_Fetch_Site": "same-origin"}
    assert request_page(sandbox, "/faults/clear", {}, **own).status == 303
    assert request_page(sandbox, "/faults/clear", {}, Origin=sandbox.base_url).status == 303


@pytest.mark.parametrize(
    "path", ["/nowhere", "/payments/pi_none", "/events/evt_none", "/payments/", f"/%3Cscript%3E{HOSTILE[-9:]}"]
)
def test_unknown_page_is_404_with_a_link_to_the_payments(sandbox: SandboxProcess, path: str) -> None:
    page = request_page(sandbox, path)
    assert page.status == 404
    assert 'href="/"' in page.text
    assert "<script" not in page.text


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html"])
def test_unknown_api_url_is_a_json_404_for_every_accept_header(sandbox: SandboxProcess, accept: str) -> None:
    page = request_page(sandbox, "/v1/nowhere", Accept=accept, Authorization="Bearer sk_test_pages")
    assert page.status == 404
    assert page.headers["content-type"] == "application/json"


def test_api_client_gets_a_json_404_outside_the_api(sandbox: SandboxProcess) -> None:
    page = request_page(sandbox, "/nowhere", Accept="*/*", Authorization="Bearer sk_test_pages")
    assert (page.status, page.headers["content-type"]) == (404, "application/json")


def test_payments_are_found_by_id_metadata_and_status(sandbox: SandboxProcess, client: Any) -> None:
    sought = pay(client, None, metadata={"basket": "needle-4711"})
    other = pay(client)
    for query in ("q=needle-4711", f"q={sought.id}", "q=NEEDLE", "status=requires_payment_method&q=needle"):
        text = request_page(sandbox, f"/?{query}").text
        assert sought.id in text
        assert other.id not in text
    assert "No payments match" in request_page(sandbox, "/?status=canceled&q=needle-4711").visible_text


def test_paging_shows_every_payment_once(sandbox: SandboxProcess, client: Any) -> None:
    wanted = [pay(client, None, metadata={"order_id": f"paged-{n}"}).id for n in range(60)]
    seen, path = [], "/?q=paged-"
    while True:
        text = request_page(sandbox, path).text
        seen += re.findall(r'href="/payments/(pi_\w+)"', text)
        older = re.search(r'rel="next" href="([^"]*)"', text)
        if older is None:
            break
        path = unescape(older[1])
    assert seen == wanted[::-1]
    newer = re.search(r'rel="prev" href="([^"]*)"', text)
    assert newer is not None
    assert (
        re.findall(r'href="/payments/(pi_\w+)"', request_page(sandbox, unescape(newer[1])).text) == wanted[::-1][25:50]
    )


def test_unknown_cursor_of_a_page_is_rejected(sandbox: SandboxProcess) -> None:
    page = request_page(sandbox, "/?after=pi_nowhere")
    assert page.status == 400
    assert "No such payment_intent" in page.error
