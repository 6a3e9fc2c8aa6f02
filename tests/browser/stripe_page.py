"""Steps on a shop's page that loads the Stripe.js replacement."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import FrameLocator, Page

from tests.support.sandbox import SandboxProcess

KEY = "pk_test_of_the_shop"
MOUNT = """([key, secret, kind]) => new Promise((ready) => {
    window.stripe = Stripe(key);
    window.elements = stripe.elements({clientSecret: secret});
    window.card = elements.create(kind);
    window.events = [];
    for (const name of ["focus", "change", "blur", "escape"]) card.on(name, (event) => events.push([name, event]));
    card.on("ready", () => ready());
    card.mount("#card");
})"""

Intent = Any


def new_intent(sandbox: SandboxProcess, **more: Any) -> Intent:
    client: Any = sandbox.client()
    wanted = {"amount": 1000, "currency": "usd", "metadata": {"order_id": "17"}}
    methods = {} if "automatic_payment_methods" in more else {"payment_method_types": ["card"]}
    return client.v1.payment_intents.create({**wanted, **methods, **more})


def status_of(sandbox: SandboxProcess, intent: Intent) -> str:
    client: Any = sandbox.client()
    return str(client.v1.payment_intents.retrieve(intent.id).status)


def mount(page: Page, intent: Intent, kind: str = "card") -> FrameLocator:
    """Mount an element and return its card form."""
    page.evaluate(MOUNT, [KEY, intent.client_secret, kind])
    return page.frame_locator("#card iframe")


def type_card(form: FrameLocator, number: str = "4242424242424242") -> None:
    form.get_by_label("card number").press_sequentially(number)
    form.get_by_label("expiration").press_sequentially("1234")
    form.get_by_label("CVC").press_sequentially("123")


def confirm_card_payment(page: Page, intent: Intent) -> Any:
    return page.evaluate("(s) => stripe.confirmCardPayment(s, {payment_method: {card}})", intent.client_secret)


def start_call(page: Page, call: str, *arguments: Any) -> None:
    """Start a call that waits for the customer. `result_of` returns its result."""
    page.evaluate(f"(arguments) => {{ window.pending = ({call})(...arguments); }}", list(arguments))


def result_of(page: Page) -> Any:
    return page.evaluate("() => window.pending")


def bank(page: Page) -> FrameLocator:
    return page.frame_locator("dialog iframe")
