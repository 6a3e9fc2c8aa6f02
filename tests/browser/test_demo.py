"""A customer buys and pays on the demo's page: by keyboard, on a phone, declined, with 3-D Secure."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect

from payment_service_demo.embedded.process import free_port
from tests.browser.conftest import opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

COMMAND = Path(sys.executable).with_name("payment-service")
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def shop_url() -> Iterator[str]:
    """Run the demo once, and return the address of its page."""
    with tempfile.TemporaryDirectory(prefix="test-demo-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as `nobody` and must be able to enter it
        env = {"PATH": os.environ["PATH"], "TMPDIR": folder}
        env |= {name: str(free_port()) for name in ("SERVICE_PORT", "METRICS_PORT")}
        demo = subprocess.Popen([COMMAND, "demo"], env=env, stdout=subprocess.PIPE, text=True)
        assert demo.stdout is not None
        try:
            lines = "".join(iter(demo.stdout.readline, "It stays up; Ctrl-C ends it.\n"))
            (url,) = re.findall(r"pay or be declined: +(http://127\.0\.0\.1:\d+/)$", lines, re.MULTILINE)
            yield url
        finally:
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=60)


def buy(page: Page, url: str) -> None:
    """Place an order, and wait until it can be paid."""
    page.goto(url)
    page.get_by_role("button", name="Buy for 74.00 EUR").click()
    expect(pay_button(page)).to_be_enabled()


def pay_button(page: Page) -> Locator:
    return page.get_by_role("button", name="Pay 74.00 EUR")


def card_form(page: Page) -> FrameLocator:
    return page.frame_locator("#payment-element iframe")


def pay_with(page: Page, card: str) -> None:
    card_form(page).get_by_role("button", name=card, exact=True).click()
    pay_button(page).click()


def bank(page: Page) -> FrameLocator:
    return page.frame_locator("dialog iframe")


def expect_records(page: Page, *topics: str) -> None:
    """Expect exactly these records, in this order, on the shop's page."""
    expect(page.locator("#records code")).to_have_text(["orders.created", *topics])


def expect_thanks(page: Page) -> None:
    expect(page.get_by_role("heading", name="Thank you!")).to_be_visible()


def test_a_customer_buys_pays_and_sees_the_records(page: Page, shop_url: str) -> None:
    buy(page, shop_url)
    expect_records(page, "payments.initiated")
    pay_with(page, "Pays")
    expect_thanks(page)
    expect_records(page, "payments.initiated", "payments.succeeded")
    expect(page.get_by_text("74.00 EUR was paid by card.")).to_be_visible()
    page.locator("summary").last.click()
    expect(page.locator("pre").last).to_contain_text('"amount_ordered": "74.00"')


def test_a_declined_customer_pays_by_another_card(page: Page, shop_url: str) -> None:
    buy(page, shop_url)
    pay_with(page, "Declined")
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    expect_records(page, "payments.initiated", "payments.failed")
    pay_with(page, "Pays")
    expect_thanks(page)
    expect_records(page, "payments.initiated", "payments.failed", "payments.succeeded")


def test_3d_secure_completes_the_payment(page: Page, shop_url: str) -> None:
    buy(page, shop_url)
    pay_with(page, "3-D Secure")
    bank(page).get_by_role("button", name="Complete").click()
    expect_thanks(page)
    expect_records(page, "payments.initiated", "payments.succeeded")


def test_after_a_canceled_payment_the_next_one_can_be_paid(page: Page, shop_url: str) -> None:
    buy(page, shop_url)
    page.get_by_role("button", name="Cancel this payment").click()
    expect(page.get_by_role("heading", name="This payment ended unpaid")).to_be_visible()
    page.get_by_role("button", name="Try again").dblclick()
    expect(pay_button(page)).to_be_enabled()
    pay_with(page, "Pays")
    expect_thanks(page)
    ended = ("payments.canceled", "payments.failed")
    expect_records(page, "payments.initiated", *ended, "payments.initiated", "payments.succeeded")
    expect(page.get_by_text("#2 of payment 2")).to_be_visible()


def test_the_page_works_by_keyboard_alone(page: Page, shop_url: str) -> None:
    page.goto(shop_url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Buy for 74.00 EUR")).to_be_focused()
    page.keyboard.press("Enter")
    expect(pay_button(page)).to_be_enabled()
    page.keyboard.press("Tab")
    for label, text in (("card number", "4242424242424242"), ("expiration", "1234"), ("CVC", "123")):
        expect(card_form(page).get_by_label(label)).to_be_focused()  # a full field moves the focus to the next
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    expect_thanks(page)
    expect(page.locator("#outcome")).to_be_focused()


def test_nothing_is_cut_off_on_a_phone(browser: Browser, shop_url: str) -> None:
    with opened(browser, **PHONE) as page:
        buy(page, shop_url)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        pay_with(page, "Pays")
        expect_thanks(page)
        expect_records(page, "payments.initiated", "payments.succeeded")
        page.locator("summary").last.click()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_reloading_the_page_shows_the_current_state_of_the_order(page: Page, shop_url: str) -> None:
    buy(page, shop_url)
    page.reload()
    expect(pay_button(page)).to_be_enabled()
    expect_records(page, "payments.initiated")
    pay_with(page, "Pays")
    expect_thanks(page)
    page.reload()
    expect_thanks(page)
    expect_records(page, "payments.initiated", "payments.succeeded")


def test_orders_of_others_are_not_shown(page: Page, shop_url: str) -> None:
    page.goto(f"{shop_url}?order_id=order-1")
    expect(page.get_by_role("button", name="Buy for 74.00 EUR")).to_be_visible()
    assert page.request.get(f"{shop_url}checkout?order_id=order-1").status == 404
    stranger = page.request.get(f"{shop_url}checkout?order_id=order-1", headers={"Host": "shop.example"})
    assert stranger.status == 400


def test_without_javascript_the_page_shows_a_notice(plain_page: Page, shop_url: str) -> None:
    plain_page.goto(shop_url)
    expect(plain_page.get_by_text("This page needs JavaScript")).to_be_visible()


def test_no_key_or_secret_appears_in_an_address_or_on_the_page(page: Page, shop_url: str) -> None:
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url) if request.url.startswith(shop_url) else None)
    buy(page, shop_url)
    pay_with(page, "Pays")
    expect_thanks(page)
    assert [text for text in [*addresses, page.url, page.content()] if re.search(r"psk_|sk_test|_secret_", text)] == []
