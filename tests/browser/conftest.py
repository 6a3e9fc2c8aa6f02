"""Fixtures: a sandbox, and a page in the installed Chromium that can only reach this machine."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox.conftest import Receiver
from tests.support.sandbox import SandboxProcess
from tests.support.shop_page import ShopPages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Response

# Only `make test-browser` installs Playwright. Without it, these files cannot be imported.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]

TIMEOUT_MS = 15_000
HOSTS = {"127.0.0.1", "localhost"}
BLANK_PAGE = '<!doctype html><title>Shop</title><form><div id="card"></div></form><script src="{base}/v3/"></script>'


@contextmanager
def opened(browser: Browser, **options: Any) -> Iterator[Page]:
    """Open a page in its own context. Fail at the end if it logged an error or contacted another host."""
    context = browser.new_context(**options)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("request", lambda request: problems.append(request.url) if _is_foreign(request.url) else None)
    page.on("response", lambda answer: problems.append(answer.url) if _is_missing(answer) else None)
    page.on("console", lambda message: problems.append(message.text) if _is_error(message) else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []


def _is_foreign(url: str) -> bool:
    return urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname not in HOSTS


def _is_missing(answer: Response) -> bool:
    """Return whether a resource of a page failed to load. Pages and API calls may return errors."""
    return answer.status >= 400 and answer.request.resource_type not in {"document", "fetch"}


def _is_error(message: ConsoleMessage) -> bool:
    """Return whether a message is an error. Leave failed responses, which Chromium also logs, to `_is_missing`."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test in this folder with `browser`."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium once, without its own sandbox, which does not work as root."""
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415

    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox for one test."""
    process = SandboxProcess(tmp_path)
    process.start()
    yield process
    process.clean_up()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with JavaScript."""
    with opened(browser) as page:
        yield page


@pytest.fixture
def plain_page(browser: Browser) -> Iterator[Page]:
    """A page without JavaScript."""
    with opened(browser, java_script_enabled=False) as page:
        yield page


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook receiver."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def shop_pages() -> Iterator[ShopPages]:
    """A shop's web server."""
    pages = ShopPages()
    yield pages
    pages.close()


@pytest.fixture
def shop_page(shop_pages: ShopPages, page: Page, sandbox: SandboxProcess) -> Page:
    """A page of the shop that contains only a form and the sandbox's script."""
    page.goto(shop_pages.put("/checkout", BLANK_PAGE.format(base=sandbox.base_url)))
    return page
