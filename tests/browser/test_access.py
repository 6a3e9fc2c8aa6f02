"""The pages are accessible by keyboard and screen reader, on a phone and in dark mode."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import opened
from tests.sandbox.pages import pay
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.browser

PHONE = {"width": 360, "height": 740}
CONTROLS_WITHOUT_NAME = """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a, iframe")]
    .filter((one) => !(one.ariaLabel || one.title || ("labels" in one && one.labels.length)))
    .filter((one) => !one.matches("button, a") || !one.innerText.trim())
    .map((one) => one.outerHTML)"""
# https://www.w3.org/TR/WCAG22/#contrast-minimum: 4.5 to 1 for text
LOW_CONTRAST_TEXT = """() => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = (color) => rgba(color).slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const ground = (one) => {
        const color = getComputedStyle(one).backgroundColor;
        return rgba(color)[3] === 255 || !one.parentElement ? color : ground(one.parentElement);
    };
    const written = [...document.querySelectorAll("main *, header *, footer *")]
        .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) && !one.disabled);
    return written.filter((one) => {
        const [low, high] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05) < 4.5;
    }).map((one) => one.outerHTML);
}"""


@pytest.fixture
def addresses(sandbox: SandboxProcess) -> list[str]:
    """Return the address of every page of a sandbox with payments, events and faults."""
    client: Any = sandbox.client()
    pay(client, "pm_card_chargeDeclined", metadata={"order_id": "order-16"})
    paid = pay(client, metadata={"order_id": "order-17"}, description="Two wool blankets")
    client.v1.refunds.create({"payment_intent": paid.id, "amount": 500})
    pay(client, "pm_card_createDispute")
    asked = pay(client, "pm_card_threeDSecure2Required")
    sandbox.set_webhook("http://127.0.0.1:9/webhooks")
    sandbox.faults({"match": {"path": "/v1/nothing"}, "action": "rate_limited"}, webhooks={"duplicate": 2})
    event = client.v1.events.list({"limit": 1}).data[0]
    sections = ["/", "/events", "/webhooks", "/faults", "/clock", "/nowhere", f"/checkout/{asked.id}"]
    return [sandbox.base_url + path for path in (*sections, f"/payments/{paid.id}", f"/events/{event.id}")]


def test_every_control_has_an_accessible_name(page: Page, addresses: list[str]) -> None:
    for address in addresses:
        page.goto(address)
        assert page.evaluate(CONTROLS_WITHOUT_NAME) == [], address


def test_no_page_is_wider_than_a_phone(browser: Browser, addresses: list[str]) -> None:
    with opened(browser, viewport=PHONE) as page:
        for address in addresses:
            page.goto(address)
            width = page.evaluate("() => document.documentElement.scrollWidth")
            assert width <= PHONE["width"], address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_sufficient_contrast(browser: Browser, addresses: list[str], scheme: str) -> None:
    with opened(browser, color_scheme=scheme) as page:
        for address in addresses:
            page.goto(address)
            assert page.evaluate(LOW_CONTRAST_TEXT) == [], address


def test_first_tab_stop_skips_the_navigation(page: Page, addresses: list[str]) -> None:
    page.goto(addresses[0])
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    expect(page.get_by_role("list", name="Payments by status").get_by_role("link").first).to_be_focused()


def test_checkout_works_with_the_keyboard_only(page: Page, sandbox: SandboxProcess) -> None:
    client: Any = sandbox.client()
    intent = pay(client, None)
    page.goto(f"{sandbox.base_url}/checkout/{intent.id}")
    expect(page.get_by_role("button", name="Pay 19.99 EUR")).to_be_enabled()
    page.keyboard.press("Tab")
    page.keyboard.type("4000002760003184")
    page.keyboard.type("1234")
    page.keyboard.type("123")
    page.keyboard.press("Enter")
    bank = page.frame_locator("dialog iframe")
    expect(bank.get_by_role("button", name="Complete")).to_be_visible()
    for _ in range(5):
        page.keyboard.press("Tab")
        if bank.locator(":focus").get_attribute("value") == "succeed":
            break
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Payment received")).to_be_visible()
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"
