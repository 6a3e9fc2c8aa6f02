"""The built documentation site works in Chromium and needs nothing from another host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import opened
from tests.site.conftest import SITE
from tests.support.eventually import eventually

pytestmark = pytest.mark.site

FILES: Final = sorted(path for path in SITE.rglob("*.html") if path.is_file())
PAGES: Final = ("", "tutorial/tutorial/", "how-to/taking-payments/", "reference/call-refund-payment/", "reference/topics-written/", "reference/metrics/", "explanation/how-it-works/")  # fmt: skip
# These attributes make a browser load something. `href` does so in a link element alone.
LOADING: Final = {"src", "srcset", "poster", "data", "action"}
# A page of the reference is short enough to read. Long lists are read by their anchors.
HEIGHT_MAX_PX: Final = 22_000
LONG: Final = {"reference/cli-json/", "reference/schema/"}


class References(HTMLParser):
    """Collects what a page loads, and where it leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in LOADING or (name, tag) == ("href", "link"):
                self.loaded.append(value or "")
            elif name == "href":
                self.linked.append(value or "")


def is_foreign(address: str) -> bool:
    return bool(urlsplit(address).netloc)


def test_no_page_and_no_style_loads_from_another_host() -> None:
    assert len(FILES) > 60
    loaded = {address for path in FILES for address in References(path.read_text()).loaded}
    styles = "".join(path.read_text() for path in SITE.rglob("*.css"))
    loaded |= set(re.findall(r"url\(['\"]?([^'\")]+)", styles))
    assert [address for address in loaded if is_foreign(address)] == []


def test_every_link_within_the_site_leads_to_a_file() -> None:
    missing = [f"{path.relative_to(SITE)}: {link}" for path in FILES for link in broken(path)]
    assert missing == []


def broken(path: Path) -> Iterator[str]:
    for link in References(path.read_text()).linked:
        parts = urlsplit(link)
        target = (SITE if parts.path.startswith("/") else path.parent) / unquote(parts.path).lstrip("/")
        if not parts.netloc and not parts.scheme and path.name != "404.html" and not target.exists():
            yield link


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_the_screen_and_load_nothing_from_elsewhere(
    browser: Browser, site: str, width: int, scheme: str
) -> None:
    """`opened` fails at the end if a page contacted another host or logged an error."""
    with opened(browser, viewport={"width": width, "height": 844}, color_scheme=scheme) as page:
        for address in PAGES:
            page.goto(f"{site}/{address}")
            expect(page.locator("article h1")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
            color = page.evaluate("document.body.getAttribute('data-md-color-scheme')")
            assert color == ("slate" if scheme == "dark" else "default")


def test_no_page_of_the_reference_is_endless(browser: Browser, site: str) -> None:
    with opened(browser, viewport={"width": 1280, "height": 900}) as page:
        for path in FILES:
            address = str(path.relative_to(SITE)).removesuffix("index.html")
            if not address.startswith("reference/") or address in LONG:
                continue
            page.goto(f"{site}/{address}", wait_until="commit")
            height = page.evaluate("document.documentElement.scrollHeight")
            assert height <= HEIGHT_MAX_PX, address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with opened(browser, viewport={"width": 1280, "height": 900}) as page:
        yield page


def test_search_finds_a_setting_and_leads_to_its_page(page: Page, site: str) -> None:
    page.goto(site)
    search = page.get_by_role("combobox")

    def opened_search() -> bool:
        page.keyboard.press("Control+k")  # the script takes keys some time after the page is loaded
        page.wait_for_timeout(200)
        return bool(search.is_visible())

    eventually(opened_search)
    search.fill("PROVIDER_RATE_PER_SECOND")
    page.get_by_role("option").filter(has_text="Configuration").first.click()
    expect(page.locator("article h1")).to_contain_text("Configuration")


def test_a_reader_switches_to_dark_mode_and_keeps_it(page: Page, site: str) -> None:
    page.goto(site)
    page.get_by_title("Dark mode").click()
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
    page.goto(f"{site}/tutorial/tutorial/")
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
