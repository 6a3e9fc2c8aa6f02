"""Request the sandbox's pages without a browser."""

from __future__ import annotations

import contextlib
import http.client
import re
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlencode

import stripe

from tests.support.sandbox import SandboxProcess


@dataclass(frozen=True, slots=True)
class RenderedPage:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def visible_text(self) -> str:
        """The page's text without tags, on one line."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.text)).split())

    @property
    def actions(self) -> list[str]:
        """The actions that the page's forms post to, in order."""
        return re.findall(r'method="post" action="/payments/\w+/([a-z-]+)"', self.text)

    @property
    def error(self) -> str:
        found = re.search(r'role="alert">([^<]*)<', self.text)
        return unescape(found[1]) if found else ""


def request_page(
    sandbox: SandboxProcess, path: str, form: dict[str, str] | None = None, **headers: str
) -> RenderedPage:
    """Request a page, or post a form like the sandbox's own pages. Redirects are not followed."""
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=20)
    sent = {"Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("GET" if form is None else "POST", path, urlencode(form or {}), sent)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.headers.items()}
        return RenderedPage(response.status, found, response.read().decode())
    finally:
        connection.close()


def submit_form(sandbox: SandboxProcess, path: str, **form: str) -> RenderedPage:
    """Post a form, assert that it redirects, and return the target page."""
    response = request_page(sandbox, path, form)
    assert response.status == 303, response.visible_text
    return request_page(sandbox, response.headers["location"])


def pay(client: Any, method: str | None = "pm_card_visa", **params: Any) -> Any:
    """Return an intent, confirmed with `method` unless it is None. Declines raise no error."""
    intent = client.v1.payment_intents.create(
        {"amount": 1999, "currency": "eur", "payment_method_types": ["card"], **params}
    )
    if method is not None:
        with contextlib.suppress(stripe.CardError):
            client.v1.payment_intents.confirm(intent.id, {"payment_method": method})
    return client.v1.payment_intents.retrieve(intent.id)
