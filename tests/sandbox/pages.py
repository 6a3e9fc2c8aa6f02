"""A page of the sandbox, asked for without a browser."""

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
class Shown:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def words(self) -> str:
        """What a person reads, in one line."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.text)).split())

    @property
    def buttons(self) -> list[str]:
        main = self.text.partition("<main")[2]
        return [text.strip() for text in re.findall(r"<button[^>]*>([^<]*)</button>", main)]

    @property
    def problem(self) -> str:
        found = re.search(r'role="alert">([^<]*)<', self.text)
        return unescape(found[1]) if found else ""


def look(sandbox: SandboxProcess, path: str, form: dict[str, str] | None = None, **headers: str) -> Shown:
    """Open a page, or post a form as a page of the sandbox would; redirects are not followed."""
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=20)
    sent = {"Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("GET" if form is None else "POST", path, urlencode(form or {}), sent)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.headers.items()}
        return Shown(response.status, found, response.read().decode())
    finally:
        connection.close()


def press(sandbox: SandboxProcess, path: str, **form: str) -> Shown:
    """Post a form, assert that it was done, and give the page that it leads to."""
    answer = look(sandbox, path, form)
    assert answer.status == 303, answer.words
    return look(sandbox, answer.headers["location"])


def pay(client: Any, method: str | None = "pm_card_visa", **params: Any) -> Any:
    """An intent, confirmed with `method`; a decline is an outcome like any other."""
    intent = client.v1.payment_intents.create(
        {"amount": 1999, "currency": "eur", "payment_method_types": ["card"], **params}
    )
    if method is not None:
        with contextlib.suppress(stripe.CardError):
            client.v1.payment_intents.confirm(intent.id, {"payment_method": method})
    return client.v1.payment_intents.retrieve(intent.id)
