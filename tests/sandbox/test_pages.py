"""What holds of all pages for people, and their lists of payments."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.sandbox.pages import look, pay
from tests.support.sandbox import SandboxProcess

PAGES = ("/", "/events", "/webhooks", "/faults", "/clock")
HOSTILE = "<script>alert('paid')</script>"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_shown_and_may_run_no_script(sandbox: SandboxProcess, path: str) -> None:
    shown = look(sandbox, path)
    assert shown.status == 200
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "<script" not in shown.text
    assert 'aria-current="page"' in shown.text


def test_the_checkout_runs_the_sandboxs_own_scripts_alone_and_says_that_it_needs_them(
    sandbox: SandboxProcess, client: Any
) -> None:
    shown = look(sandbox, f"/checkout/{pay(client, None).id}")
    directives = shown.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-src 'self'", "connect-src 'self'"} <= set(directives)
    assert "needs JavaScript" in shown.text.partition("<noscript>")[2].partition("</noscript>")[0]


def test_the_style_sheets_of_a_page_are_served(sandbox: SandboxProcess) -> None:
    sheets = re.findall(r'rel="stylesheet" href="([^"]+)"', look(sandbox, "/").text)
    assert len(sheets) == 3
    for sheet in sheets:
        shown = look(sandbox, sheet)
        assert (shown.status, shown.headers["content-type"]) == (200, "text/css")


def test_what_clients_write_is_shown_as_text(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, description=HOSTILE, metadata={"order_id": HOSTILE, HOSTILE: "value"})
    event = client.v1.events.list({"limit": 1}).data[0]
    for path in ("/", f"/?q={HOSTILE}", f"/payments/{intent.id}", "/events", f"/events/{event.id}"):
        shown = look(sandbox, path.replace(HOSTILE, urlencode({"": HOSTILE})[1:]))
        assert "<script" not in shown.text
        assert HOSTILE in unescape(shown.text)


def test_no_page_tells_a_client_secret(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, "pm_card_chargeDeclined")
    events = client.v1.events.list({"limit": 5}).data
    for path in (f"/payments/{intent.id}", *(f"/events/{event.id}" for event in events)):
        assert intent.client_secret not in look(sandbox, path).text


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
def test_a_page_of_another_site_may_not_drive_the_sandbox(
    sandbox: SandboxProcess, path: str, headers: dict[str, str]
) -> None:
    sandbox.faults({"action": "latency", "ms": 1})
    assert look(sandbox, path, {}, **headers).status == 403
    assert len(sandbox.faults_struck()) == 1


def test_the_sandboxs_own_pages_may_drive_it(sandbox: SandboxProcess) -> None:
    own = {"Origin": sandbox.base_url, "Sec_Fetch_Site": "same-origin"}
    assert look(sandbox, "/faults/clear", {}, **own).status == 303
    assert look(sandbox, "/faults/clear", {}, Origin=sandbox.base_url).status == 303


@pytest.mark.parametrize(
    "path", ["/nowhere", "/payments/pi_none", "/events/evt_none", "/payments/", f"/%3Cscript%3E{HOSTILE[-9:]}"]
)
def test_an_address_without_a_page_gets_a_page_that_leads_back(sandbox: SandboxProcess, path: str) -> None:
    shown = look(sandbox, path)
    assert shown.status == 404
    assert 'href="/"' in shown.text
    assert "<script" not in shown.text


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html"])
def test_the_api_answers_an_unknown_address_as_stripe_does(sandbox: SandboxProcess, accept: str) -> None:
    shown = look(sandbox, "/v1/nowhere", Accept=accept, Authorization="Bearer sk_test_pages")
    assert shown.status == 404
    assert shown.headers["content-type"] == "application/json"


def test_a_client_that_does_not_browse_gets_no_page_for_an_unknown_address(sandbox: SandboxProcess) -> None:
    shown = look(sandbox, "/nowhere", Accept="*/*", Authorization="Bearer sk_test_pages")
    assert (shown.status, shown.headers["content-type"]) == (404, "application/json")


def test_payments_are_found_by_id_metadata_and_status(sandbox: SandboxProcess, client: Any) -> None:
    sought = pay(client, None, metadata={"basket": "needle-4711"})
    other = pay(client)
    for query in ("q=needle-4711", f"q={sought.id}", "q=NEEDLE", "status=requires_payment_method&q=needle"):
        text = look(sandbox, f"/?{query}").text
        assert sought.id in text
        assert other.id not in text
    assert "No payment fits" in look(sandbox, "/?status=canceled&q=needle-4711").words


def test_paging_shows_every_payment_once(sandbox: SandboxProcess, client: Any) -> None:
    wanted = [pay(client, None, metadata={"order_id": f"paged-{n}"}).id for n in range(60)]
    seen, path = [], "/?q=paged-"
    while True:
        text = look(sandbox, path).text
        seen += re.findall(r'href="/payments/(pi_\w+)"', text)
        older = re.search(r'rel="next" href="([^"]*)"', text)
        if older is None:
            break
        path = unescape(older[1])
    assert seen == wanted[::-1]
    newer = re.search(r'rel="prev" href="([^"]*)"', text)
    assert newer is not None
    assert re.findall(r'href="/payments/(pi_\w+)"', look(sandbox, unescape(newer[1])).text) == wanted[::-1][25:50]


def test_a_cursor_that_is_none_is_refused_on_a_page(sandbox: SandboxProcess) -> None:
    shown = look(sandbox, "/?after=pi_nowhere")
    assert shown.status == 400
    assert "No such payment_intent" in shown.problem
