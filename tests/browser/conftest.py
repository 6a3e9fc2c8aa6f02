"""A sandbox, and a page of the machine's own Chromium that may reach nothing but this machine."""

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

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Response

# Only `make test-browser` installs what drives a browser; the rest of the suite does without these files.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]

TIMEOUT_MS = 15_000
HOSTS = {"127.0.0.1", "localhost"}


@contextmanager
def opened(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page in a window of its own; fails at the end if it told an error or asked a foreign host for anything."""
    context = browser.new_context(**options)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    troubles: list[str] = []
    page.on("request", lambda request: troubles.append(request.url) if _is_foreign(request.url) else None)
    page.on("response", lambda answer: troubles.append(answer.url) if _is_missing(answer) else None)
    page.on("console", lambda message: troubles.append(message.text) if _is_error(message) else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    yield page
    context.close()
    assert troubles == []


def _is_foreign(url: str) -> bool:
    return urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname not in HOSTS


def _is_missing(answer: Response) -> bool:
    """Whether part of a page is not there; a page itself, or a call of the API, may well be refused."""
    return answer.status >= 400 and answer.request.resource_type not in {"document", "fetch"}


def _is_error(message: ConsoleMessage) -> bool:
    """Chromium also writes down each answer of 400 and more, which `_is_missing` judges."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here needs a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once; as root it has no sandbox of its own."""
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415

    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox for this test alone."""
    process = SandboxProcess(tmp_path)
    process.start()
    yield process
    process.clean_up()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page as most people have it."""
    with opened(browser) as page:
        yield page


@pytest.fixture
def plain_page(browser: Browser) -> Iterator[Page]:
    """A page in a browser without JavaScript."""
    with opened(browser, java_script_enabled=False) as page:
        yield page


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who receives webhooks."""
    receiver = Receiver()
    yield receiver
    receiver.close()
