"""docs/tutorial.md is true: its commands are typed into terminals, and its programs run, against the real service."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from payment_service_demo.embedded.process import free_port
from tests.support.eventually import eventually
from tests.support.terminal import Terminal

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "tutorial.md").read_text()
BLOCK: Final = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
SHOP: Final = "http://localhost:8000"
KEEPS_RUNNING: Final = ("payment-service demo", "payment-service serve", "python ")
# A command takes seconds on a busy machine, and the servers start within a minute.
TIMEOUT_S: Final = 90

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of the page: its language, its title, its text."""

    language: str
    title: str
    text: str


class Customer:
    """A customer's browser: it has one cookie, and pays at the sandbox as Stripe.js does."""

    def __init__(self, shop: str, settings: dict[str, str]) -> None:
        self._shop = shop
        self._stripe = settings["STRIPE_API_BASE"]
        self._key = settings["STRIPE_PUBLISHABLE_KEY"]
        self._cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(self._cookies)

    def buy(self) -> None:
        with self._opener.open(f"{self._shop}/buy", data=b"") as page:
            assert b"payment-element" in page.read()

    def pay(self, card: str) -> None:
        """Pay as soon as the shop lets the customer pay."""
        secret = eventually(self._secret, timeout_s=TIMEOUT_S, interval_s=0.5)
        form = {
            "payment_method": card,
            "client_secret": secret,
            "key": self._key,
            "return_url": f"{self._shop}/checkout",
        }
        intent = secret.partition("_secret_")[0]
        data = urllib.parse.urlencode(form).encode()
        with suppress(urllib.error.HTTPError):  # a decline is 402
            self._opener.open(f"{self._stripe}/v1/payment_intents/{intent}/confirm", data=data).close()

    def _secret(self) -> str:
        """Return the secret that the payment page gets; empty while the order is on its way."""
        try:
            with self._opener.open(f"{self._shop}/order-to-pay") as answer:
                pay: dict[str, Any] = json.load(answer)["pay"] or {}
        except urllib.error.HTTPError:
            return ""
        return str(pay.get("client_secret", ""))


class Reader:
    """Somebody who follows the page. Their home and the shop's port are those of the test."""

    def __init__(self, home: Path) -> None:
        self.port = str(free_port())
        self.folder = home / "shop"
        self.while_stopped: Callable[[], None] = lambda: None
        self._terminals: dict[str, Terminal] = {}
        self._seen: dict[str, int] = {}
        ports = {name: str(free_port()) for name in ("SERVICE_PORT", "METRICS_PORT")}
        self._env = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "TERM": "dumb", **ports}
        self._env["VIRTUAL_ENV_DISABLE_PROMPT"] = "1"

    def follow(self, block: Block, shown: Block | None) -> None:
        """Type a block, or save it as a file. `shown` is the output that the page shows below it."""
        text = block.text.replace(SHOP, self.shop).replace('("127.0.0.1", 8000)', f'("127.0.0.1", {self.port})')
        if block.language == "python":
            (self.folder / block.title).write_text(text)
        elif block.language == "sh":
            self._type(block.title, text)
            if shown is not None:
                self.read(block.title, shown.text)
        else:
            self.read(block.title, block.text)

    def _type(self, title: str, text: str) -> None:
        name, _, after = title.partition(",")
        terminal = self._terminals.get(name) or Terminal(self._env, ROOT)
        self._terminals[name] = terminal
        if after:
            terminal.interrupt(timeout_s=TIMEOUT_S)
            self.while_stopped()
        self._seen[title] = len(terminal.screen)
        *lines, last = text.splitlines()
        if not last.startswith(KEEPS_RUNNING):
            lines.append(last)
        if lines:
            terminal.run("\n".join(lines), timeout_s=TIMEOUT_S)
        if last.startswith(KEEPS_RUNNING):
            terminal.type(f"{last}\n")

    def read(self, title: str, text: str) -> None:
        """Wait until a terminal shows these lines, in any order, after those that it showed before."""
        begin = self._seen.get(title, 0)
        ends = [begin]
        for line in text.replace(SHOP, self.shop).splitlines():
            pattern = re.compile(re.escape(line).replace("…", ".*?"), re.DOTALL)
            found = eventually(partial(self._search, pattern, title, begin), timeout_s=TIMEOUT_S)
            assert found is not None
            ends.append(found.end())
        self._seen[title] = max(ends)

    def _search(self, pattern: re.Pattern[str], title: str, begin: int) -> re.Match[str] | None:
        return pattern.search(self._terminals[title.partition(",")[0]].screen, begin)

    @property
    def shop(self) -> str:
        return SHOP.replace("8000", self.port)

    def customer(self) -> Customer:
        lines = (self.folder / "shop.env").read_text()
        return Customer(self.shop, dict(re.findall(r"^export (\w+)=(.*)$", lines, re.MULTILINE)))

    def screens(self) -> str:
        return "\n".join(f"--- {name}\n{terminal.screen}" for name, terminal in self._terminals.items())

    def leave(self) -> None:
        for terminal in reversed(self._terminals.values()):
            terminal.close(timeout_s=20)


@pytest.fixture
def reader() -> Iterator[Reader]:
    home = Path(tempfile.mkdtemp(prefix="test-tutorial-"))
    home.chmod(0o755)  # as root, PostgreSQL runs as `nobody` and must be able to enter the folder
    found = Reader(home)
    yield found
    sys.stdout.write(found.screens())  # pytest shows it when the test fails
    found.leave()
    shutil.rmtree(home, ignore_errors=True)


def parts() -> list[tuple[str, list[Block]]]:
    """Return the headings of the page with their blocks."""
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    return [(text.partition("\n")[0], [Block(*found) for found in BLOCK.findall(text)]) for text in sections]


def test_following_the_tutorial_leads_to_a_paying_shop(reader: Reader) -> None:
    """Everything is as on the page, except that the customer has no browser: `make test-browser` drives the payment page in one."""
    for heading, blocks in parts():
        if heading == "Buy a teapot":
            customer = reader.customer()
            reader.while_stopped = customer.buy
            customer.buy()
            customer.pay("pm_card_chargeDeclined")
            customer.pay("pm_card_visa")
        for block, after in pairwise([*blocks, None]):
            assert block is not None
            if block.language == "text" and not block.title:
                continue  # the output of the block before
            if heading.startswith("Stop the service") and block.title == "Terminal 4":
                customer.pay("pm_card_visa")
            reader.follow(block, after if after and after.language == "text" and not after.title else None)
