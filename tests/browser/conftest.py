"""A sandbox, and a page of the machine's own Chromium that may reach nothing but this machine."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.sandbox import SandboxProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Only `make test-browser` installs what drives a browser; the rest of the suite does without these files.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]

TIMEOUT_MS = 15_000
HOSTS = {"127.0.0.1", "localhost"}


@contextmanager
def watched(page: Page) -> Iterator[None]:
    """Collect what must not happen on a page, and fail at the end if it did."""
    foreign: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if _is_foreign(request.url) else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield
    assert (foreign, errors) == ([], [])


def _is_foreign(url: str) -> bool:
    return urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname not in HOSTS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here needs a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once; as root it has no sandbox of its own."""
    from playwright.sync_api import sync_playwright

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
    """A page; the test fails when its console tells an error, or when it asks a foreign host for anything."""
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    with watched(page):
        yield page
    context.close()


@pytest.fixture
def plain_page(browser: Browser) -> Iterator[Page]:
    """A page in a browser without JavaScript."""
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    with watched(page):
        yield page
    context.close()
