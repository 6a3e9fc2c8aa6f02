"""A person pays on the checkout page, with a browser."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.browser

Intent = Any


@pytest.fixture
def intent(sandbox: SandboxProcess) -> Intent:
    """An order of two blankets, not paid yet."""
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
    """The checkout of that order, ready for the card."""
    page.goto(f"{sandbox.base_url}/checkout/{intent.id}")
    expect(pay_button(page)).to_be_enabled()
    return page


def pay_button(page: Page) -> Any:
    return page.get_by_role("button", name="Pay 49.99 EUR")


def card_form(page: Page) -> FrameLocator:
    return page.frame_locator("#payment-element iframe")


def pay_with(page: Page, card: str) -> None:
    """Click one of the test cards that the form offers, then Pay."""
    card_form(page).get_by_role("button", name=card, exact=True).click()
    pay_button(page).click()


def bank(page: Page) -> FrameLocator:
    return page.frame_locator("dialog iframe")


def paid(sandbox: SandboxProcess) -> int:
    return len(sandbox.captured("order-1042"))


def status_of(sandbox: SandboxProcess, intent: Intent) -> str:
    client: Any = sandbox.client()
    return str(client.v1.payment_intents.retrieve(intent.id).status)


def test_a_person_types_a_card_and_pays(checkout: Page, sandbox: SandboxProcess, intent: Intent) -> None:
    form = card_form(checkout)
    form.get_by_label("card number").press_sequentially("4242424242424242")
    form.get_by_label("expiration").press_sequentially("1234")
    form.get_by_label("CVC").press_sequentially("123")
    checkout.keyboard.press("Enter")

    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()
    assert status_of(sandbox, intent) == "succeeded"


def test_who_is_declined_pays_the_same_intent_with_another_card(
    checkout: Page, sandbox: SandboxProcess, intent: Intent
) -> None:
    before = paid(sandbox)
    pay_with(checkout, "Declined")
    expect(checkout.get_by_role("alert")).to_have_text("Your card was declined.")
    pay_with(checkout, "Insufficient funds")
    expect(checkout.get_by_role("alert")).to_have_text("Your card has insufficient funds.")
    assert paid(sandbox) == before

    pay_with(checkout, "Pays")

    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()
    assert status_of(sandbox, intent) == "succeeded"
    assert paid(sandbox) == before + 1


def test_who_authenticates_has_paid(checkout: Page, sandbox: SandboxProcess, intent: Intent) -> None:
    pay_with(checkout, "3-D Secure")
    expect(bank(checkout).get_by_text("49.99 EUR")).to_be_visible()
    assert status_of(sandbox, intent) == "requires_action"

    bank(checkout).get_by_role("button", name="Complete").click()

    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()
    assert status_of(sandbox, intent) == "succeeded"


@pytest.mark.parametrize("how", ["fails", "closes", "escapes"])
def test_who_does_not_authenticate_may_try_again(
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


def test_a_card_may_be_declined_after_its_holder_authenticated(checkout: Page) -> None:
    pay_with(checkout, "3-D Secure, then declined")
    bank(checkout).get_by_role("button", name="Complete").click()

    expect(checkout.get_by_role("alert")).to_have_text("Your card was declined.")


def test_a_double_click_pays_once(checkout: Page, sandbox: SandboxProcess) -> None:
    before = paid(sandbox)
    card_form(checkout).get_by_role("button", name="Pays", exact=True).click()
    pay_button(checkout).dblclick()

    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()
    assert paid(sandbox) == before + 1


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("4242", "Your card number is incomplete."),
        ("4242424242424241", "Your card number is invalid."),
        ("", "Your card number is incomplete."),
    ],
)
def test_a_number_that_cannot_be_one_is_never_sent(
    checkout: Page, sandbox: SandboxProcess, intent: Intent, number: str, said: str
) -> None:
    sent: list[str] = []
    checkout.on("request", lambda request: sent.append(request.method))
    card_form(checkout).get_by_label("card number").press_sequentially(number)
    pay_button(checkout).click()

    expect(card_form(checkout).get_by_text(said)).to_be_visible()
    assert "POST" not in sent


def test_a_card_that_has_expired_is_never_sent(checkout: Page) -> None:
    form = card_form(checkout)
    form.get_by_role("button", name="Pays", exact=True).click()
    form.get_by_label("expiration").fill("01 / 20")
    pay_button(checkout).click()

    expect(form.get_by_text("Your card's expiration year is in the past.")).to_be_visible()


def test_a_card_that_is_no_test_card_is_refused(checkout: Page, sandbox: SandboxProcess, intent: Intent) -> None:
    form = card_form(checkout)
    form.get_by_role("button", name="Pays", exact=True).click()
    form.get_by_label("card number").fill("4012 8888 8888 1881")
    pay_button(checkout).click()

    expect(checkout.get_by_role("alert")).to_contain_text("non test card")
    assert status_of(sandbox, intent) == "requires_payment_method"


def test_no_card_number_is_kept_anywhere(checkout: Page, sandbox: SandboxProcess) -> None:
    pay_with(checkout, "Declined")
    expect(checkout.get_by_role("alert")).to_have_text("Your card was declined.")
    pay_with(checkout, "Pays")
    expect(checkout.get_by_role("heading", name="Payment received")).to_be_visible()

    assert sandbox.state is not None
    kept = sandbox.state.read_text() + sandbox.log.read_text() + str(sandbox.ledger())
    assert "order-1042" in kept
    assert "4242424242424242" not in kept
    assert "4000000000000002" not in kept


def test_a_payment_that_is_over_asks_for_no_card(sandbox: SandboxProcess, page: Page, intent: Intent) -> None:
    client: Any = sandbox.client()
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    page.goto(f"{sandbox.base_url}/checkout/{intent.id}")

    expect(page.get_by_role("heading", name="Payment received")).to_be_visible()
    expect(page.locator("#payment-element")).to_be_hidden()


def test_the_checkout_of_no_payment_is_a_page_that_says_so(sandbox: SandboxProcess, page: Page) -> None:
    answer = page.goto(f"{sandbox.base_url}/checkout/pi_nothing")

    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("main")).to_contain_text("pi_nothing")
