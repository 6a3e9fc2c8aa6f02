"""Support, finance and operations at work on their pages, on a desktop with scripts and on a phone without."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from payment_service_demo.embedded.process import free_port
from tests.browser.conftest import opened
from tests.support.eventually import eventually

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

COMMAND = Path(sys.executable).with_name("payment-service")
DESKTOP: dict[str, Any] = {"viewport": {"width": 1_280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "java_script_enabled": False}
# https://www.w3.org/TR/WCAG22/, levels A and AA, as axe-core checks them.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@dataclass
class Pages:
    """The demo's pages, and links into them."""

    lines: str
    env: dict[str, str]
    browser: Browser
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def base(self) -> str:
        """The address of the pages."""
        return f"http://localhost:{self.env['ADMIN_PORT']}"

    def log_in(self, person: str, *roles: str, **options: Any) -> Page:
        """Open a browser in which a person is logged in by a one-time link."""
        words = [word for role in roles for word in ("--role", role)]
        command = [str(COMMAND), "pages", "login", "--person", person, *words]
        link = subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout.strip()
        page = self.stack.enter_context(opened(self.browser, **options))
        page.goto(link)
        page.get_by_role("button", name=f"Log in as {person}").click()
        expect(page.get_by_role("heading", name="Today", exact=True)).to_be_visible()
        return page


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[str, dict[str, str]]]:
    """Run the demo once; yield what it prints, and the environment of commands on it."""
    with tempfile.TemporaryDirectory(prefix="test-pages-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as `nobody` and must be able to enter it
        env = {"PATH": os.environ["PATH"], "TMPDIR": folder}
        env |= {name: str(free_port()) for name in ("SERVICE_PORT", "METRICS_PORT", "ADMIN_PORT")}
        process = subprocess.Popen([COMMAND, "demo"], env=env, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            lines = "".join(iter(process.stdout.readline, "It stays up; Ctrl-C ends it.\n"))
            (dsn,) = re.findall(r"^PostgreSQL +(\S+)$", lines, re.MULTILINE)
            yield lines, {**env, "DB_DSN": dsn, "DEPLOYMENT": "demo", "PAYMENT_SERVICE_AS": "suite"}
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


@pytest.fixture
def pages(demo: tuple[str, dict[str, str]], browser: Browser) -> Iterator[Pages]:
    """The pages of the demo. Browsers are closed after the test."""
    pages = Pages(*demo, browser)
    with pages.stack:
        yield pages


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone-no-scripts"])
def screen(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The kind of browser."""
    options: dict[str, Any] = request.param
    return options


def go(page: Page, section: str) -> None:
    """Open a section by its link in the header."""
    link = page.get_by_role("navigation", name="Sections").get_by_role("link", name=section, exact=True)
    with page.expect_navigation():  # the page before may look the same
        link.click()
    expect(link).to_have_attribute("aria-current", "page")


def find(page: Page, words: str) -> None:
    """Search in the one box."""
    go(page, "Payments")
    page.get_by_role("searchbox").first.fill(words)
    page.get_by_role("button", name="Search").click()


def fill(page: Page, label: str, text: str) -> None:
    page.get_by_label(label).fill(text)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def follow(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()


def done(page: Page, text: str) -> None:
    expect(page.get_by_role("status")).to_contain_text(text)


def test_demo_ends_with_a_link_that_logs_in(pages: Pages) -> None:
    (link,) = re.findall(r"support, finance and operations.*: +(\S+)$", pages.lines, re.MULTILINE)
    with opened(pages.browser, **DESKTOP) as page:
        page.goto(link)
        press(page, "Log in as demo")
        expect(page.get_by_text("viewer, support, finance, operator")).to_be_visible()


def test_support_finds_a_payment_by_order_and_by_the_id_at_stripe(pages: Pages, screen: dict[str, Any]) -> None:
    page = pages.log_in("ada", "support", **screen)
    find(page, "order-1")
    expect(page.get_by_role("heading", level=1)).to_have_text("49.90 EUR")
    intent = page.get_by_text(re.compile(r"^pi_\w+$")).first.inner_text()
    find(page, intent)
    expect(page.get_by_role("heading", level=1)).to_have_text("49.90 EUR")


def test_support_sees_why_a_card_was_declined(pages: Pages, screen: dict[str, Any]) -> None:
    page = pages.log_in("ada", "support", **screen)
    find(page, "order-5")
    expect(page.get_by_role("region", name="What happened")).to_contain_text("it was declined")
    expect(page.get_by_role("region", name="Attempts to pay")).to_contain_text("declined")


def test_support_refunds_a_part(pages: Pages, screen: dict[str, Any]) -> None:
    page = pages.log_in("ada", "support", **screen)
    find(page, "order-1")
    follow(page, "Refund")
    expect(page.get_by_text("This cannot be undone.")).to_be_visible()
    fill(page, "Amount to refund, in EUR", "5.00")
    fill(page, "Reason, shown in the audit and published to the shop", "late parcel")
    press(page, "Refund")
    done(page, "The refund is requested")
    story = page.get_by_role("region", name="What happened")
    expect(story).to_contain_text("ada asked for a refund of 5.00, because: late parcel.")

    def sent() -> bool:
        page.reload()
        return "The provider has sent it" in story.inner_text()

    eventually(sent)


def test_refund_above_the_limit_needs_a_second_person(pages: Pages, screen: dict[str, Any]) -> None:
    ada = pages.log_in("ada", "support", **screen)
    find(ada, "order-2")
    follow(ada, "Refund")
    fill(ada, "Amount to refund, in USD", "500.00")
    fill(ada, "Reason, shown in the audit and published to the shop", "damaged")
    press(ada, "Refund")
    done(ada, "A second person must approve")
    go(ada, "Approvals")
    ada.get_by_role("link", name="order-2").first.click()
    expect(ada.get_by_role("button", name="Approve the refund")).to_have_count(0)

    bob = pages.log_in("bob", "support", **screen)
    go(bob, "Approvals")
    bob.get_by_role("link", name="order-2").first.click()
    expect(bob.get_by_role("region", name="The request")).to_contain_text("ada")
    press(bob, "Approve the refund")
    done(bob, "You approved the refund")
    expect(bob.get_by_role("region", name="Requests for approval")).to_contain_text("approved by bob")


def test_support_writes_a_note_that_a_viewer_does_not_see(pages: Pages, screen: dict[str, Any]) -> None:
    page = pages.log_in("ada", "support", **screen)
    find(page, "order-6")
    fill(page, "Note for colleagues", "Customer called about the color")
    press(page, "Add note")
    done(page, "The note is stored")
    expect(page.get_by_text("ada: Customer called about the color").first).to_be_visible()

    viewer = pages.log_in("vera", "viewer", **screen)
    find(viewer, "order-6")
    expect(viewer.get_by_role("heading", level=1)).to_have_text("18.50 EUR")
    expect(viewer.get_by_text("Customer called")).to_have_count(0)
    expect(viewer.get_by_text("customer-of-order-6")).to_have_count(0)
    expect(viewer.get_by_role("link", name="Refund", exact=True)).to_have_count(0)


def test_support_cancels_an_unpaid_payment(pages: Pages) -> None:
    page = pages.log_in("ada", "support", **PHONE)
    find(page, "order-5")
    follow(page, "Cancel")
    fill(page, "Reason, shown in the audit", "the customer gave up")
    press(page, "Cancel")
    done(page, "The cancellation is requested")

    def canceled() -> bool:
        page.reload()
        return "The payment is canceled" in page.get_by_role("region", name="What happened").inner_text()

    eventually(canceled)


def test_operator_closes_a_quarantined_order(pages: Pages) -> None:
    page = pages.log_in("olga", "operator", **PHONE)
    go(page, "Needs attention")
    follow(page, "A record or webhook that the service cannot accept")
    expect(page.get_by_role("region", name="Runbook")).to_contain_text("The sender corrects")
    expect(page.get_by_role("region", name="Its content")).to_contain_text("order-9")
    fill(page, "How you know", "the shop sent it again")
    press(page, "Close it")
    done(page, "Your decision is stored")
    expect(page.get_by_text("Nothing needs attention.")).to_be_visible()


def test_operator_publishes_again(pages: Pages) -> None:
    page = pages.log_in("olga", "operator", **DESKTOP)
    find(page, "order-8")
    follow(page, "Publish again")
    fill(page, "Reason, shown in the audit", "the warehouse lost them")
    press(page, "Publish again")
    done(page, "will be published again")


def test_finance_filters_and_exports(pages: Pages) -> None:
    page = pages.log_in("fay", "finance", **DESKTOP)
    go(page, "Payments")
    page.get_by_label("Currency").select_option("jpy")
    press(page, "Filter")
    expect(page.get_by_role("row")).to_have_count(2)
    with page.expect_download() as download:
        follow(page, "Download as CSV")
    rows = download.value.path().read_text().splitlines()
    assert len(rows) == 2
    assert "order-3" in rows[1]
    go(page, "Exports")
    page.get_by_role("region", name="Refunds").get_by_label("To").fill("2099-01-01")
    with page.expect_download() as download:
        press(page, "Download refunds.csv")
    assert download.value.path().read_text().startswith("id,payment_id,order_id")


def test_audit_names_the_person_and_the_reason(pages: Pages, screen: dict[str, Any]) -> None:
    support = pages.log_in("carl", "support", **screen)
    find(support, "order-4")
    fill(support, "Note for colleagues", "Paid by his sister")
    press(support, "Add note")
    page = pages.log_in("fay", "finance", **screen)
    go(page, "Audit")
    fill(page, "Exact value", "pages:carl")
    press(page, "Filter")
    row = page.get_by_role("row").filter(has_text="pages:carl").first
    expect(row).to_contain_text("note")
    expect(row).to_contain_text("Paid by his sister")


def test_operator_creates_and_revokes_a_key(pages: Pages, screen: dict[str, Any]) -> None:
    page = pages.log_in("olga", "operator", **screen)
    go(page, "Keys")
    fill(page, "Client that will own it", "warehouse")
    page.get_by_label("read: reads payments").check()
    press(page, "Create the key")
    key = page.get_by_text(re.compile(r"^psk_\S+$")).first.inner_text()
    page.get_by_text(f"Revoke {key[:8]}").click()
    press(page, "Revoke the key")
    done(page, "The key is revoked")
    expect(page.get_by_text(f"Revoke {key[:8]}")).to_have_count(0)


def test_finance_imports_a_statement_and_closes_what_names_no_payment(pages: Pages, screen: dict[str, Any]) -> None:
    page = pages.log_in("fay", "finance", **screen)
    name = f"t-{screen['viewport']['width']}"
    text = f"booking_date,amount,currency,reference,transaction_id\n2026-11-30,12.50,EUR,a gift,{name}\n"
    go(page, "Bank")
    page.get_by_label("Statement as CSV").set_input_files(
        {"name": "a.csv", "mimeType": "text/csv", "buffer": text.encode()}
    )
    press(page, "Preview")
    expect(page.get_by_role("heading", level=1)).to_contain_text("nothing is stored yet")
    press(page, "Import")
    expect(page.get_by_role("heading", level=1)).to_have_text("Imported statement")
    go(page, "Bank")
    follow(page, name)
    fill(page, "Order, payment or reference", "order-1")
    press(page, "Continue")
    expect(page.get_by_role("alert")).to_contain_text("No payment by bank transfer has this order")
    fill(page, "What became of the money", "transferred back")
    press(page, "Close it")
    done(page, "The transfer is closed.")
    expect(page.get_by_text("Every transfer belongs to a payment.")).to_be_visible()


def test_keyboard_finds_and_opens_a_payment(pages: Pages) -> None:
    page = pages.log_in("ada", "support", **DESKTOP)
    go(page, "Payments")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    for key in ("j", "j", "k", "j"):
        page.keyboard.press(key)
    second = page.get_by_role("row").nth(2).get_by_role("link")
    expect(second).to_be_focused()
    order = second.inner_text()
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"Order {order}").first).to_be_visible()
    go(page, "Payments")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("order-3")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("5,400 JPY")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1_280, 390])
def test_pages_are_accessible_and_fit_the_screen(pages: Pages, scheme: str, width: int) -> None:
    everything = ("viewer", "support", "finance", "operator")
    # The script of axe-core is ours here, and not one of the page's: only this browser bypasses the policy.
    options: dict[str, Any] = {
        "viewport": {"width": width, "height": 800},
        "color_scheme": scheme,
        "bypass_csp": True,
    }
    page = pages.log_in("wanda", *everything, **options)
    find(page, "order-2")
    payment = page.url.partition("?")[0]
    sections = page.get_by_role("navigation", name="Sections").get_by_role("link").all()
    paths = [pages.base + (link.get_attribute("href") or "") for link in sections]
    go(page, "Needs attention")
    items = page.get_by_role("row").get_by_role("link").all()  # another test may have closed them
    paths += [pages.base + (link.get_attribute("href") or "") for link in items]
    for address in (
        *paths,
        payment,
        f"{payment}/refund",
        f"{payment}/republish",
        f"{pages.base}/nowhere",
        f"{pages.base}/payments?q=x",
    ):
        page.goto(address)
        for summary in page.locator("summary").all():
            summary.click()
        page.add_script_tag(path=os.environ["AXE"])
        found = page.evaluate("(tags) => axe.run({runOnly: tags})", RULES)
        problems = [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found["violations"]]
        assert problems == [], address
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, address
