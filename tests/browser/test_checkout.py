"""The checkout page, driven by a browser."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.browser

Intent = Any


@pytest.fixture
def intent(sandbox: SandboxProcess) -> Intent:
    """An unpaid intent for an order of two blankets."""
    client: Any = sandbox.client()
    wanted = {
        "amount": 4999,
        "currency": "eur",
        "payment_method_types": ["card"],
        "description": "Two wool blankets",
        "metadata": {"order_id": "order-1042"},
    }
    return client.v1.payment_intents.create(wanted)


@pytest.fixture
def checkout(sandbox: SandboxProcess, page: Page, intent: Intent) -> Page:
    """The intent's checkout page with a loaded card form."""
    page.goto(f"{sandbox.base_url}/checkout/{intent.id}")
    expect(pay_button(page)).to_be_enabled()
    return page


def pay_button(page: Page) -> Any:
    return page.get_by_role("button", name="Pay 49.99 EUR")


def card_form(page: Page) -> FrameLocator:
    return page.frame_locator("#payment-element iframe")


def pay_with(page: Page, card: str) -> None:
    """Click one of the form's test cards, then Pay."""
    card_form(page).get_by_role("button", name=card, exact=True).click()
    pay_button(page).click()


def bank(page: Page) -> FrameLocator:
    return page.frame_locator("dialog iframe")


def captures(sandbox: SandboxProcess) -> int:
    return len(sandbox.captured("order-1042"))


def status_of(sandbox: SandboxProcess, intent: Intent) -> str:
    client: Any = sandbox.client()
    return str(client.v1.payment_intents.retrieve(intent.id).status)


def test_customer_types_a_card_and_pays(checkout: Page, sandbox: SandboxProcess, intent: Intent) -> None:
    form = card_form(checkout)
    form.get_by_label("card number").press_sequentially("4242424242424242")
    form.get_by_label("expiration").press_sequentially("1234")
    form.get_by_label("CVC").press_sequentially("123")
    checkout.keyboard.press("Enter")

    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()
    assert status_of(sandbox, intent) == "succeeded"


def test_declined_customer_pays_the_same_intent_with_another_card(
    checkout: Page, sandbox: SandboxProcess, intent: Intent
) -> None:
    before = captures(sandbox)
    pay_with(checkout, "Declined")
    expect(checkout.get_by_role("alert")).to_have_text("Your card was declined.")
    pay_with(checkout, "Insufficient funds")
    expect(checkout.get_by_role("alert")).to_have_text("Your card has insufficient funds.")
    assert captures(sandbox) == before

    pay_with(checkout, "Pays")

    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()
    assert status_of(sandbox, intent) == "succeeded"
    assert captures(sandbox) == before + 1


def test_payment_succeeds_after_authentication(checkout: Page, sandbox: SandboxProcess, intent: Intent) -> None:
    pay_with(checkout, "3-D Secure")
    expect(bank(checkout).get_by_text("49.99 EUR")).to_be_visible()
    assert status_of(sandbox, intent) == "requires_action"

    bank(checkout).get_by_role("button", name="Complete").click()

    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()
    assert status_of(sandbox, intent) == "succeeded"


@pytest.mark.parametrize("how", ["fails", "closes", "escapes"])
def test_customer_can_retry_after_failed_authentication(
    checkout: Page, sandbox: SandboxProcess, intent: Intent, how: str
) -> None:
    pay_with(checkout, "3-D Secure")
    expect(bank(checkout).get_by_role("button", name="Fail")).to_be_visible()
    if how == "fails":
        bank(checkout).get_by_role("button", name="Fail").click()
    elif how == "closes":
        checkout.get_by_role("button", name="Cancel authentication").click()
    else:
        checkout.get_by_role("button", name="Cancel authentication").press("Escape")

    expect(checkout.get_by_role("alert")).to_contain_text("unable to authenticate")
    assert status_of(sandbox, intent) == "requires_payment_method"
    pay_with(checkout, "Pays")
    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()


def test_card_can_be_declined_after_authentication(checkout: Page) -> None:
    pay_with(checkout, "3-D Secure, then declined")
    bank(checkout).get_by_role("button", name="Complete").click()

    expect(checkout.get_by_role("alert")).to_have_text("Your card was declined.")


def test_double_click_pays_once(checkout: Page, sandbox: SandboxProcess) -> None:
    before = captures(sandbox)
    card_form(checkout).get_by_role("button", name="Pays", exact=True).click()
    pay_button(checkout).dblclick()

    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()
    assert captures(sandbox) == before + 1


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("4242", "Your card number is incomplete."),
        ("4242424242424241", "Your card number is invalid."),
        ("", "Your card number is incomplete."),
    ],
)
def test_invalid_card_number_is_not_sent(
    checkout: Page, sandbox: SandboxProcess, intent: Intent, number: str, message: str
) -> None:
    sent: list[str] = []
    checkout.on("request", lambda request: sent.append(request.method))
    card_form(checkout).get_by_label("card number").press_sequentially(number)
    pay_button(checkout).click()

    expect(card_form(checkout).get_by_text(message)).to_be_visible()
    assert "POST" not in sent


def test_expired_card_is_a_validation_error(checkout: Page) -> None:
    form = card_form(checkout)
    form.get_by_role("button", name="Pays", exact=True).click()
    form.get_by_label("expiration").fill("01 / 20")
    pay_button(checkout).click()

    expect(form.get_by_text("Your card's expiration year is in the past.")).to_be_visible()


def test_real_card_number_is_rejected(checkout: Page, sandbox: SandboxProcess, intent: Intent) -> None:
    form = card_form(checkout)
    form.get_by_role("button", name="Pays", exact=True).click()
    form.get_by_label("card number").fill("4012 8888 8888 1881")
    pay_button(checkout).click()

    expect(checkout.get_by_role("alert")).to_contain_text("non test card")
    assert status_of(sandbox, intent) == "requires_payment_method"


def test_card_numbers_are_not_stored(checkout: Page, sandbox: SandboxProcess) -> None:
    pay_with(checkout, "Declined")
    expect(checkout.get_by_role("alert")).to_have_text("Your card was declined.")
    pay_with(checkout, "Pays")
    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()

    assert sandbox.state is not None
    stored = sandbox.state.read_text() + sandbox.log.read_text() + str(sandbox.ledger())
    assert "order-1042" in stored
    assert "4242424242424242" not in stored
    assert "4000000000000002" not in stored


def test_completed_payment_shows_no_card_form(sandbox: SandboxProcess, page: Page, intent: Intent) -> None:
    client: Any = sandbox.client()
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    page.goto(f"{sandbox.base_url}/checkout/{intent.id}")

    expect(page.get_by_role("heading", name="Payment received")).to_be_visible()
    expect(page.locator("#payment-element")).to_be_hidden()


def test_checkout_of_an_unknown_payment_is_404(sandbox: SandboxProcess, page: Page) -> None:
    response = page.goto(f"{sandbox.base_url}/checkout/pi_nothing")

    assert response is not None
    assert response.status == 404
    expect(page.get_by_role("main")).to_contain_text("pi_nothing")
