"""The sandbox's pages, driven by a browser with and without JavaScript."""

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

ORDER: Any = {"amount": 1999, "currency": "eur", "metadata": {"order_id": "order-17"}}


@pytest.fixture(params=["page", "plain_page"], ids=["scripts", "no-scripts"])
def window(request: pytest.FixtureRequest, sandbox: SandboxProcess) -> Page:
    """The list of payments, opened at the sandbox's address."""
    window: Page = request.getfixturevalue(request.param)
    window.goto(sandbox.base_url)
    return window


@pytest.fixture
def client(sandbox: SandboxProcess) -> Any:
    return sandbox.client()


def go(window: Page, section: str) -> None:
    """Follow a link in the page's header."""
    window.get_by_role("navigation", name="Sections").get_by_role("link", name=section).click()
    expect(window.get_by_role("link", name=section).first).to_have_attribute("aria-current", "page")


def press(window: Page, name: str) -> None:
    window.get_by_role("button", name=name, exact=True).click()


def run_action(window: Page, action: str) -> None:
    """Press the button of an action on a payment's page."""
    window.locator(f'form[action$="/{action}"] button').click()


def switch_on(window: Page, preset: str) -> None:
    window.locator(f'button[name="preset"][value="{preset}"]').click()


def panel(window: Page, name: str) -> Locator:
    return window.get_by_role("region", name=name, exact=True)


def reload_until(window: Page, locator: Locator, text: str, count: int = 1) -> None:
    """Reload the page until `locator` contains `text` at least `count` times."""

    def found() -> bool:
        window.reload()
        return str(locator.inner_text()).count(text) >= count

    eventually(found)


def status_message(window: Page) -> Locator:
    """The message about the last form that was submitted."""
    return window.get_by_role("status")


def status_of(client: Any, intent: Any) -> str:
    return str(client.v1.payment_intents.retrieve(intent.id).status)


def test_empty_sandbox_explains_how_to_create_a_payment(window: Page) -> None:
    expect(window.get_by_role("heading", name="No payments yet")).to_be_visible()
    expect(window.get_by_text("curl http://")).to_contain_text("/v1/payment_intents")


def test_user_finds_a_payment_and_reads_its_history(window: Page, client: Any) -> None:
    sought = pay(client, "pm_card_chargeDeclinedInsufficientFunds", **ORDER)
    client.v1.payment_intents.confirm(sought.id, {"payment_method": "pm_card_visa"})
    pay(client, None)
    window.reload()
    expect(window.get_by_role("list", name="Payments by status")).to_contain_text(re.compile(r"2\s*all"))

    window.get_by_label("Search by ID").fill("order-17")
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


def test_tiles_and_filter_select_payments_by_status(window: Page, client: Any) -> None:
    open_one, paid = pay(client, None), pay(client)
    window.reload()
    links = panel(window, "Payments").get_by_role("row").get_by_role("link")

    window.get_by_role("list", name="Payments by status").get_by_role("link", name="succeeded").click()
    expect(links).to_have_text([paid.id])
    window.get_by_label("Status", exact=True).select_option("requires_payment_method")
    press(window, "Search")
    expect(links).to_have_text([open_one.id])


def test_payment_can_be_refunded_partially(window: Page, client: Any, sandbox: SandboxProcess) -> None:
    intent = pay(client)
    window.goto(f"{sandbox.base_url}/payments/{intent.id}")
    amount = window.locator("#refund-amount")
    amount.fill("20.00")
    run_action(window, "refund")
    expect(window.get_by_role("alert")).to_be_visible()

    amount.fill("4.01")
    run_action(window, "refund")

    expect(status_message(window)).to_be_visible()
    expect(amount).to_have_value("15.98")
    assert [refund.amount for refund in client.v1.refunds.list({"payment_intent": intent.id}).data] == [401]


@pytest.mark.parametrize(("action", "status"), [("pass", "succeeded"), ("fail", "requires_payment_method")])
def test_three_d_secure_can_be_completed_on_the_payment_page(
    window: Page, client: Any, sandbox: SandboxProcess, action: str, status: str
) -> None:
    intent = pay(client, "pm_card_threeDSecure2Required")
    window.goto(f"{sandbox.base_url}/payments/{intent.id}")

    run_action(window, action)

    expect(status_message(window)).to_be_visible()
    assert status_of(client, intent) == status


def test_customer_is_sent_back_to_the_shop_after_authentication(
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


def test_event_can_be_resent(window: Page, client: Any, sandbox: SandboxProcess, receiver: Receiver) -> None:
    sandbox.set_webhook(receiver.url)
    pay(client, None, **ORDER)
    receiver.wait_for("payment_intent.created")
    go(window, "Events")
    reload_until(window, window.get_by_role("row", name="order-17"), "delivered")
    window.get_by_role("link", name="payment_intent.created").click()

    press(window, "Resend")

    expect(status_message(window)).to_be_visible()
    receiver.wait_for("payment_intent.created", "payment_intent.created")
    deliveries = panel(window, "Deliveries")
    reload_until(window, deliveries, "delivered", 2)
    expect(deliveries.get_by_role("heading", level=3)).to_have_text([f"delivered {receiver.url}"] * 2)
    expect(deliveries.get_by_role("cell", name="200")).to_have_count(2)
    assert len({delivery.event.id for delivery in receiver.deliveries}) == 1


def test_event_shows_the_response_to_each_delivery_attempt(
    window: Page, client: Any, sandbox: SandboxProcess, receiver: Receiver
) -> None:
    receiver.statuses, receiver.response_body = [503], b"no database"
    sandbox.set_webhook(receiver.url)
    pay(client, None, **ORDER)
    receiver.wait_for("payment_intent.created")
    go(window, "Events")
    reload_until(window, window.get_by_role("row", name="order-17"), "delivered 2 attempts")

    window.get_by_role("link", name="payment_intent.created").click()

    expect(panel(window, "Deliveries")).to_contain_text("automatic, 2 attempts")
    expect(panel(window, "Deliveries").get_by_role("row")).to_contain_text(["Sent", "503", "200"])
    expect(panel(window, "Deliveries").get_by_role("row", name="503")).to_contain_text("no database")


def test_delayed_webhooks_arrive_when_the_clock_is_advanced(
    window: Page, client: Any, sandbox: SandboxProcess, receiver: Receiver
) -> None:
    sandbox.set_webhook(receiver.url)
    go(window, "Faults")
    switch_on(window, "webhooks-late")
    pay(client, None, **ORDER)
    go(window, "Clock")
    due = panel(window, "Scheduled").get_by_role("row").nth(1)
    expect(due).to_contain_text(re.compile("59 min|1 h"))
    assert receiver.deliveries == []

    press(window, "Next scheduled action")

    expect(status_message(window)).to_be_visible()
    receiver.wait_for("payment_intent.created")
    window.reload()
    expect(panel(window, "Scheduled")).to_contain_text("Nothing is scheduled")


def test_endpoint_added_on_the_page_receives_verifiable_events(window: Page, client: Any, receiver: Receiver) -> None:
    go(window, "Webhooks")
    window.get_by_label("URL that receives all events").fill("nowhere")
    press(window, "Add")
    expect(window.get_by_role("alert")).to_contain_text("URL")

    window.get_by_label("URL that receives all events").fill(receiver.url)
    press(window, "Add")
    receiver.secret = status_message(window).get_by_text(re.compile("^whsec_")).inner_text()

    pay(client, None)
    receiver.wait_for("payment_intent.created")
    press(window, "Disable")
    expect(window.get_by_role("button", name="Enable", exact=True)).to_be_visible()
    expect(window.get_by_text(receiver.secret)).to_have_count(0)


def test_preset_is_switched_on_applied_and_cleared(window: Page, client: Any) -> None:
    go(window, "Faults")
    switch_on(window, "lost-response")
    expect(status_message(window)).to_be_visible()

    with pytest.raises(stripe.APIConnectionError):
        pay(client, None, **ORDER)

    go(window, "Payments")
    expect(panel(window, "Payments").get_by_role("row", name="order-17")).to_have_count(1)
    go(window, "Faults")
    expect(panel(window, "Active faults").get_by_role("cell").nth(1)).to_have_text("1")
    press(window, "Clear all faults")
    expect(panel(window, "Active faults")).to_contain_text("None")
    assert pay(client, None).status == "requires_payment_method"


def test_mistyped_plan_can_be_corrected_in_the_form(window: Page, client: Any) -> None:
    go(window, "Faults")
    plan = window.get_by_label("JSON body of POST /sandbox/faults")
    plan.fill('{"rules": [{"action": "rate_limitd", "times": 1}]}')
    press(window, "Apply")
    expect(window.get_by_role("alert")).to_contain_text("rules[0].action")

    plan.fill(plan.input_value().replace("limitd", "limited"))
    press(window, "Apply")

    expect(status_message(window)).to_be_visible()
    with pytest.raises(stripe.RateLimitError):
        pay(client, None)


def test_authorization_expires_when_the_clock_is_advanced_by_days(window: Page, client: Any) -> None:
    intent = pay(client, capture_method="manual", **ORDER)
    go(window, "Clock")
    expect(panel(window, "Now")).to_contain_text("Real time.")

    window.get_by_label("How many").fill("8")
    window.get_by_label("Unit").select_option("days")
    press(window, "Advance")

    nearly = "(8 d|7 d 23 h)"  # the scheduled actions take some real time
    expect(panel(window, "Now")).to_contain_text(re.compile(f"{nearly} ahead of real time."))
    expect(window.get_by_role("link", name="Clock")).to_contain_text(re.compile(rf"\+{nearly}"))
    assert status_of(client, intent) == "canceled"
    go(window, "Payments")
    expect(window.get_by_role("row", name="order-17")).to_contain_text("canceled")
