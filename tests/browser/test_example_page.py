"""The documented checkout page, driven against the service: every answer of `/v1/checkout` has its place on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import opened
from tests.support.shop import Shop
from tests.support.shop_page import ShopPages

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "checkout.html"
THANKS = "Thank you for your order!"


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    """Serve the page and what the shop's server forwards for the order o-1. Return its address."""
    shop.serve(STRIPE_PUBLISHABLE_KEY="pk_test_of_the_shop")
    pages = ShopPages()
    pages.answers["/order-to-pay"] = lambda: shop.checkout("o-1")
    pages.answers["/new-payment"] = lambda: (shop.open_payment("o-1", "again-1"), "{}")
    yield pages.put("/", EXAMPLE.read_text().replace("http://127.0.0.1:12111", shop.sandbox.base_url))
    pages.close()


def pay_with(page: Page, card: str) -> None:
    page.frame_locator("#payment-element iframe").get_by_role("button", name=card, exact=True).click()
    page.get_by_role("button", name="Pay", exact=True).click()


def test_a_customer_pays_after_a_decline(page: Page, shop: Shop, address: str) -> None:
    shop.order("o-1")
    page.goto(address)
    pay_with(page, "Declined")
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    pay_with(page, "Pays")
    expect(page.get_by_role("alert")).to_have_text(THANKS)
    expect(page.get_by_role("button", name="Pay")).to_be_disabled()
    shop.wait_status("succeeded")
    page.goto(address)
    expect(page.get_by_role("alert")).to_have_text(THANKS)


def test_a_page_that_is_open_before_the_order_waits_for_it(page: Page, shop: Shop, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("alert")).to_have_text("We are preparing your payment …")
    shop.order("o-1")
    pay_with(page, "Pays")
    expect(page.get_by_role("alert")).to_have_text(THANKS)


@pytest.mark.parametrize("path", ["order-to-pay", "new-payment"])
def test_a_page_goes_on_after_a_lost_connection(page: Page, shop: Shop, address: str, path: str) -> None:
    shop.order("o-1")
    stripe: Any = shop.sandbox.client()
    stripe.v1.payment_intents.cancel(shop.intent_of("o-1"))
    shop.wait_status("canceled")
    page.route(f"**/{path}", lambda route: route.abort("connectionreset"), times=1)
    page.goto(address)
    again = page.get_by_role("button", name="Start again")
    again.click()
    if path == "new-payment":
        again.click()  # the first request was lost, and the page offers it again
    pay_with(page, "Pays")
    expect(page.get_by_role("alert")).to_have_text(THANKS)


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ("Complete", THANKS),
        (
            "Fail",
            "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
        ),
    ],
)
def test_a_customer_confirms_with_the_bank(page: Page, shop: Shop, address: str, choice: str, text: str) -> None:
    shop.order("o-1")
    page.goto(address)
    pay_with(page, "3-D Secure")
    page.frame_locator("dialog iframe").get_by_role("button", name=choice).click()
    expect(page.get_by_role("alert")).to_have_text(text)
    assert ("redirect_status=succeeded" in page.url) == (choice == "Complete")


@pytest.mark.parametrize(
    ("choice", "status", "text"),
    [
        ("Complete", "succeeded", THANKS),
        ("Fail", "failed", "Your bank did not confirm the payment. Try again, or use another card."),
    ],
)
def test_a_bank_redirects_the_customer_back_to_the_page(
    page: Page, shop: Shop, address: str, choice: str, status: str, text: str
) -> None:
    """A bank on a page of its own, as in an app's browser."""
    shop.order("o-1")
    stripe: Any = shop.sandbox.client()
    confirmed = {"payment_method": "pm_card_authenticationRequired", "return_url": address}
    intent = stripe.v1.payment_intents.confirm(shop.intent_of("o-1"), confirmed)
    page.goto(intent.next_action.redirect_to_url.url)
    page.get_by_role("button", name=choice).click()
    page.wait_for_url(f"{address}?**redirect_status={status}")
    expect(page.get_by_role("alert")).to_have_text(text)
    if status == "failed":
        pay_with(page, "Pays")
        expect(page.get_by_role("alert")).to_have_text(THANKS)


def test_a_customer_comes_back_from_a_bank_that_did_not_confirm(page: Page, shop: Shop, address: str) -> None:
    shop.order("o-1")
    shop.intent_of("o-1")
    page.goto(f"{address}?redirect_status=failed")
    expect(page.get_by_role("alert")).to_have_text(
        "Your bank did not confirm the payment. Try again, or use another card."
    )
    pay_with(page, "Pays")
    expect(page.get_by_role("alert")).to_have_text(THANKS)


def test_a_payment_that_ended_is_started_again(page: Page, shop: Shop, address: str) -> None:
    shop.order("o-1")
    stripe: Any = shop.sandbox.client()
    stripe.v1.payment_intents.cancel(shop.intent_of("o-1"))
    shop.wait_status("canceled")
    page.goto(address)
    expect(page.get_by_role("alert")).to_have_text("This payment has ended. Start again to pay your order.")
    page.get_by_role("button", name="Start again").click()
    pay_with(page, "Pays")
    expect(page.get_by_role("alert")).to_have_text(THANKS)


def test_a_payment_that_a_bank_processes_is_waited_for(page: Page, shop: Shop, address: str) -> None:
    shop.order("o-1")
    shop.wait_status("pending")
    shop.wait_quiet()  # a late event would change the status back
    shop.execute("UPDATE payments SET status = 'processing'")
    page.goto(address)
    expect(page.get_by_role("alert")).to_have_text("Your payment is being processed.")
    shop.pay("o-1")
    expect(page.get_by_role("alert")).to_have_text(THANKS)


def test_a_payment_that_expires_on_the_open_page_is_started_again(page: Page, shop: Shop, address: str) -> None:
    shop.order("o-1")
    page.goto(address)
    expect(page.get_by_role("button", name="Pay", exact=True)).to_be_enabled()
    shop.execute("UPDATE payments SET expires_at = now(), expiry_due_at = now()")
    shop.wait_status("canceled")
    pay_with(page, "Pays")
    expect(page.get_by_role("alert")).to_have_text("This payment has ended. Start again to pay your order.")
    expect(page.locator("#payment-element > *")).to_have_count(0)
    page.get_by_role("button", name="Start again").click()
    pay_with(page, "Pays")
    expect(page.get_by_role("alert")).to_have_text(THANKS)


def test_a_payment_that_was_paid_in_another_tab_is_not_paid_again(page: Page, shop: Shop, address: str) -> None:
    shop.order("o-1")
    page.goto(address)
    expect(page.get_by_role("button", name="Pay", exact=True)).to_be_enabled()
    shop.pay("o-1")
    shop.wait_status("succeeded")
    pay_with(page, "Pays")
    expect(page.get_by_role("alert")).to_have_text(THANKS)
    expect(page.get_by_role("button", name="Pay")).to_be_disabled()
    assert [entry["effect"] for entry in shop.sandbox.ledger()].count("charge.captured") == 1


def test_an_incomplete_card_is_corrected_on_the_page(page: Page, shop: Shop, address: str) -> None:
    shop.order("o-1")
    page.goto(address)
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Your card number is incomplete.")
    pay_with(page, "Pays")
    expect(page.get_by_role("alert")).to_have_text(THANKS)


def test_the_page_fits_a_phone(browser: Browser, shop: Shop, address: str) -> None:
    shop.order("o-1")
    with opened(browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        page.goto(address)
        pay_with(page, "3-D Secure")
        page.frame_locator("dialog iframe").get_by_role("button", name="Complete").click()
        expect(page.get_by_role("alert")).to_have_text(THANKS)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
