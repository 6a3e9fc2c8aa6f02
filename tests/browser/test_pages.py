"""A person drives the pages of the sandbox with a browser, with JavaScript and without, as the pages promise."""

from __future__ import annotations

import re
from typing import Any

import pytest
import stripe
from playwright.sync_api import Locator, Page, expect

from tests.sandbox.conftest import Receiver
from tests.sandbox.pages import pay
from tests.support.eventually import eventually
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.browser

TELLING: Any = {"amount": 1999, "currency": "eur", "metadata": {"order_id": "order-17"}}


@pytest.fixture(params=["page", "plain_page"], ids=["scripts", "no-scripts"])
def window(request: pytest.FixtureRequest, sandbox: SandboxProcess) -> Page:
    """The payments, as somebody sees them who opens the sandbox's address."""
    window: Page = request.getfixturevalue(request.param)
    window.goto(sandbox.base_url)
    return window


@pytest.fixture
def client(sandbox: SandboxProcess) -> Any:
    return sandbox.client()


def go(window: Page, section: str) -> None:
    """Follow a link in the head of the page."""
    window.get_by_role("navigation", name="Sections").get_by_role("link", name=section).click()
    expect(window.get_by_role("link", name=section).first).to_have_attribute("aria-current", "page")


def press(window: Page, name: str) -> None:
    window.get_by_role("button", name=name, exact=True).click()


def switch_on(window: Page, fault: str) -> None:
    window.get_by_role("listitem").filter(has_text=fault).get_by_role("button").click()


def panel(window: Page, name: str) -> Locator:
    return window.get_by_role("region", name=name, exact=True)


def reload_until(window: Page, locator: Locator, text: str, count: int = 1) -> None:
    """Look again until the page tells what has come of a delivery, `count` times."""

    def told() -> bool:
        window.reload()
        return str(locator.inner_text()).count(text) >= count

    eventually(told)


def said(window: Page) -> Locator:
    """What the page tells of the last click."""
    return window.get_by_role("status")


def status_of(client: Any, intent: Any) -> str:
    return str(client.v1.payment_intents.retrieve(intent.id).status)


def test_who_begins_is_told_how_to_make_a_payment(window: Page) -> None:
    expect(window.get_by_role("heading", name="Nothing has been paid yet")).to_be_visible()
    expect(window.get_by_text("curl http://")).to_contain_text("/v1/payment_intents")


def test_a_person_finds_a_payment_and_reads_what_happened_to_it(window: Page, client: Any) -> None:
    sought = pay(client, "pm_card_chargeDeclinedInsufficientFunds", **TELLING)
    client.v1.payment_intents.confirm(sought.id, {"payment_method": "pm_card_visa"})
    pay(client, None)
    window.reload()
    expect(window.get_by_role("list", name="Payments by status")).to_contain_text(re.compile(r"2\s*all"))

    window.get_by_label("Find by id").fill("order-17")
    window.keyboard.press("Enter")
    window.get_by_role("row").nth(1).get_by_role("link").click()

    expect(window.get_by_role("heading", level=1)).to_have_text("19.99 EUR")
    expect(panel(window, "Attempts").get_by_role("row")).to_contain_text(
        ["Charge", "insufficient_funds", "captured 19.99 EUR"]
    )
    expect(panel(window, "Ledger").get_by_role("row")).to_contain_text(["Effect", "charge.captured"])
    expect(panel(window, "Events").get_by_role("link")).to_have_text(
        [
            "payment_intent.created",
            "charge.failed",
            "payment_intent.payment_failed",
            "charge.succeeded",
            "payment_intent.succeeded",
        ]
    )
    expect(panel(window, "Metadata")).to_contain_text("order-17")


def test_the_tiles_and_the_filter_show_the_payments_of_a_status(window: Page, client: Any) -> None:
    open_one, paid = pay(client, None), pay(client)
    window.reload()
    links = panel(window, "Payments").get_by_role("row").get_by_role("link")

    window.get_by_role("list", name="Payments by status").get_by_role("link", name="succeeded").click()
    expect(links).to_have_text([paid.id])
    window.get_by_label("Status", exact=True).select_option("requires_payment_method")
    press(window, "Find")
    expect(links).to_have_text([open_one.id])


def test_a_part_of_a_payment_is_refunded_with_a_click(window: Page, client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client)
    window.goto(f"{sandbox.base_url}/payments/{intent.id}")
    window.get_by_label("Refund, EUR").fill("20.00")
    press(window, "Refund")
    expect(window.get_by_role("alert")).to_contain_text("greater than")

    window.get_by_label("Refund, EUR").fill("4.01")
    press(window, "Refund")

    expect(said(window)).to_have_text("The refund was created.")
    expect(window.get_by_label("Refund, EUR")).to_have_value("15.98")
    assert [refund.amount for refund in client.v1.refunds.list({"payment_intent": intent.id}).data] == [401]


@pytest.mark.parametrize(("button", "status"), [("Pass", "succeeded"), ("Fail", "requires_payment_method")])
def test_three_d_secure_is_decided_on_the_page_of_the_payment(
    window: Page, client: Any, sandbox: SandboxProcess, button: str, status: str
) -> None:
    intent = pay(client, "pm_card_threeDSecure2Required")
    window.goto(f"{sandbox.base_url}/payments/{intent.id}")

    press(window, f"{button} 3-D Secure")

    expect(said(window)).to_contain_text(f"{button.lower()}ed 3-D Secure")
    assert status_of(client, intent) == status


def test_who_comes_from_a_shop_authenticates_and_is_sent_back(
    window: Page, client: Any, sandbox: SandboxProcess
) -> None:
    back = f"{sandbox.base_url}/?q=back-in-the-shop"
    intent = pay(client, None)
    methods = {"payment_method": "pm_card_threeDSecure2Required", "return_url": back}
    action = client.v1.payment_intents.confirm(intent.id, methods).next_action
    window.goto(action.redirect_to_url.url)

    press(window, "Complete authentication")

    window.wait_for_url("**/?q=back-in-the-shop&*redirect_status=succeeded")
    assert status_of(client, intent) == "succeeded"


def test_an_event_is_resent_with_a_click(
    window: Page, client: Any, sandbox: SandboxProcess, receiver: Receiver
) -> None:
    sandbox.set_webhook(receiver.url)
    pay(client, None, **TELLING)
    receiver.wait_for("payment_intent.created")
    go(window, "Events")
    reload_until(window, window.get_by_role("row", name="order-17"), "delivered")
    window.get_by_role("link", name="payment_intent.created").click()

    press(window, "Resend")

    expect(said(window)).to_have_text("Sent again to each subscribed endpoint.")
    receiver.wait_for("payment_intent.created", "payment_intent.created")
    deliveries = panel(window, "Deliveries")
    reload_until(window, deliveries, "delivered", 2)
    expect(deliveries.get_by_role("heading", level=3)).to_have_text([f"delivered {receiver.url}"] * 2)
    expect(deliveries.get_by_role("cell", name="200")).to_have_count(2)
    assert len({delivery.event.id for delivery in receiver.deliveries}) == 1


def test_an_event_shows_how_each_attempt_to_deliver_it_was_answered(
    window: Page, client: Any, sandbox: SandboxProcess, receiver: Receiver
) -> None:
    receiver.script, receiver.answer_body = [503], b"no database"
    sandbox.set_webhook(receiver.url)
    pay(client, None, **TELLING)
    receiver.wait_for("payment_intent.created")
    go(window, "Events")
    reload_until(window, window.get_by_role("row", name="order-17"), "delivered 2 attempts")

    window.get_by_role("link", name="payment_intent.created").click()

    expect(panel(window, "Deliveries")).to_contain_text("automatic, 2 attempts")
    expect(panel(window, "Deliveries").get_by_role("row")).to_contain_text(["At", "503", "200"])
    expect(panel(window, "Deliveries").get_by_role("row", name="503")).to_contain_text("no database")


def test_webhooks_that_come_late_come_once_the_clock_is_moved(
    window: Page, client: Any, sandbox: SandboxProcess, receiver: Receiver
) -> None:
    sandbox.set_webhook(receiver.url)
    go(window, "Faults")
    switch_on(window, "Webhooks late")
    pay(client, None, **TELLING)
    go(window, "Clock")
    due = panel(window, "Falls due by itself").get_by_role("row", name="webhook: attempt 1")
    expect(due).to_contain_text(re.compile("59 min|1 h"))
    assert receiver.deliveries == []

    press(window, "To what happens next")

    expect(said(window)).to_have_text("The clock was advanced.")
    receiver.wait_for("payment_intent.created")
    window.reload()
    expect(panel(window, "Falls due by itself")).to_contain_text("Nothing is waiting")


def test_an_endpoint_added_on_the_page_gets_events_that_its_secret_verifies(
    window: Page, client: Any, receiver: Receiver
) -> None:
    go(window, "Webhooks")
    window.get_by_label("Address that receives all events").fill("nowhere")
    press(window, "Add")
    expect(window.get_by_role("alert")).to_contain_text("Invalid URL")

    window.get_by_label("Address that receives all events").fill(receiver.url)
    press(window, "Add")
    receiver.secret = said(window).get_by_text(re.compile("^whsec_")).inner_text()

    pay(client, None)
    receiver.wait_for("payment_intent.created")
    press(window, "Disable")
    expect(said(window)).to_have_text("The endpoint is disabled and receives no events.")
    expect(window.get_by_text(receiver.secret)).to_have_count(0)


def test_a_fault_is_switched_on_with_a_click_strikes_and_is_cleared(window: Page, client: Any) -> None:
    go(window, "Faults")
    switch_on(window, "Responses lost after the work")
    expect(said(window)).to_have_text("These faults are now in force. They replace all earlier ones.")

    with pytest.raises(stripe.APIConnectionError):
        pay(client, None, **TELLING)

    go(window, "Payments")
    expect(panel(window, "Payments").get_by_role("row", name="order-17")).to_have_count(1)
    go(window, "Faults")
    expect(panel(window, "In force").get_by_role("row", name="Drop after the work")).to_contain_text("1 2 more")
    press(window, "Clear all faults")
    expect(panel(window, "In force")).to_contain_text("None")
    assert pay(client, None).status == "requires_payment_method"


def test_a_plan_that_was_mistyped_is_mended_where_it_was_written(window: Page, client: Any) -> None:
    go(window, "Faults")
    plan = window.get_by_label("What POST /sandbox/faults takes")
    plan.fill('{"rules": [{"action": "rate_limitd", "times": 1}]}')
    press(window, "Put in force")
    expect(window.get_by_role("alert")).to_contain_text("rules[0].action")

    plan.fill(plan.input_value().replace("limitd", "limited"))
    press(window, "Put in force")

    expect(said(window)).to_contain_text("in force now")
    with pytest.raises(stripe.RateLimitError):
        pay(client, None)


def test_the_clock_is_moved_by_a_week_and_an_authorization_lapses(window: Page, client: Any) -> None:
    intent = pay(client, capture_method="manual", **TELLING)
    go(window, "Clock")
    expect(panel(window, "Now")).to_contain_text("The real time.")

    window.get_by_label("How many").fill("8")
    window.get_by_label("Unit").select_option("days")
    press(window, "Move")

    nearly = "(8 d|7 d 23 h)"  # what happened on the way has taken its time
    expect(panel(window, "Now")).to_contain_text(re.compile(f"{nearly} ahead of the real time."))
    expect(window.get_by_role("link", name="Clock")).to_contain_text(re.compile(rf"\+{nearly}"))
    assert status_of(client, intent) == "canceled"
    go(window, "Payments")
    expect(window.get_by_role("row", name="order-17")).to_contain_text("canceled")
