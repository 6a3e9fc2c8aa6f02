"""The Stripe.js replacement on a shop's page of another origin, with a publishable key."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe
from playwright.sync_api import Error, Page, expect

from tests.browser.conftest import BLANK_PAGE
from tests.browser.stripe_page import (
    KEY,
    bank,
    confirm_card_payment,
    mount,
    new_intent,
    result_of,
    start_call,
    status_of,
    type_card,
)
from tests.support.sandbox import API_KEY, SandboxProcess
from tests.support.shop_page import ShopPages

pytestmark = pytest.mark.browser


def test_page_of_another_origin_pays_with_confirm_card_payment(shop_page: Page, sandbox: SandboxProcess) -> None:
    intent = new_intent(sandbox)
    type_card(mount(shop_page, intent))

    result = confirm_card_payment(shop_page, intent)

    assert result["paymentIntent"]["status"] == "succeeded"
    assert "metadata" not in result["paymentIntent"]
    assert status_of(sandbox, intent) == "succeeded"


def test_page_of_another_origin_pays_with_confirm_payment(shop_page: Page, sandbox: SandboxProcess) -> None:
    intent = new_intent(sandbox)
    type_card(mount(shop_page, intent, "payment"))

    result = shop_page.evaluate("() => stripe.confirmPayment({elements, redirect: 'if_required'})")

    assert result["paymentIntent"]["id"] == intent.id
    assert status_of(sandbox, intent) == "succeeded"


def test_customer_is_redirected_to_the_return_url_after_payment(
    shop_page: Page, sandbox: SandboxProcess, shop_pages: ShopPages
) -> None:
    intent = new_intent(sandbox, automatic_payment_methods={"enabled": True})
    type_card(mount(shop_page, intent, "payment"))
    target = f"{shop_pages.url}/thanks?order=17"

    start_call(shop_page, "(url) => stripe.confirmPayment({elements, confirmParams: {return_url: url}})", target)
    shop_page.wait_for_url("**/thanks?**")

    assert parse_qs(urlsplit(shop_page.url).query) == {
        "order": ["17"],
        "payment_intent": [intent.id],
        "payment_intent_client_secret": [intent.client_secret],
        "redirect_status": ["succeeded"],
    }


def test_decline_is_a_result_with_its_reason(shop_page: Page, sandbox: SandboxProcess) -> None:
    intent = new_intent(sandbox)
    form = mount(shop_page, intent)
    type_card(form, "4000000000009995")

    error = confirm_card_payment(shop_page, intent)["error"]

    assert (error["type"], error["code"], error["decline_code"]) == (
        "card_error",
        "card_declined",
        "insufficient_funds",
    )
    assert error["payment_intent"]["status"] == "requires_payment_method"
    form.get_by_label("card number").fill("4242 4242 4242 4242")
    assert confirm_card_payment(shop_page, intent)["paymentIntent"]["status"] == "succeeded"


@pytest.mark.parametrize(("button", "status"), [("Complete", "succeeded"), ("Fail", "requires_payment_method")])
def test_three_d_secure_opens_in_a_dialog(shop_page: Page, sandbox: SandboxProcess, button: str, status: str) -> None:
    intent = new_intent(sandbox)
    type_card(mount(shop_page, intent), "4000002760003184")

    start_call(shop_page, "(s) => stripe.confirmCardPayment(s, {payment_method: {card}})", intent.client_secret)
    bank(shop_page).get_by_role("button", name=button).click()
    result = result_of(shop_page)

    assert (result.get("paymentIntent") or result["error"]["payment_intent"])["status"] == status
    assert status_of(sandbox, intent) == status
    expect(shop_page.locator("dialog")).to_have_count(0)


def test_failed_authentication_has_its_own_code(shop_page: Page, sandbox: SandboxProcess) -> None:
    intent = new_intent(sandbox)
    type_card(mount(shop_page, intent, "payment"), "4000002760003184")

    start_call(shop_page, "() => stripe.confirmPayment({elements, redirect: 'if_required'})")
    shop_page.get_by_role("button", name="Cancel authentication").click()

    assert result_of(shop_page)["error"]["code"] == "payment_intent_authentication_failure"


def test_page_completes_an_intent_confirmed_by_the_server(shop_page: Page, sandbox: SandboxProcess) -> None:
    intent = new_intent(sandbox, payment_method="pm_card_authenticationRequired", confirm=True)
    shop_page.evaluate("(key) => { window.stripe = Stripe(key); }", KEY)

    start_call(shop_page, "(s) => stripe.handleNextAction({clientSecret: s})", intent.client_secret)
    bank(shop_page).get_by_role("button", name="Complete").click()

    assert result_of(shop_page)["paymentIntent"]["status"] == "succeeded"


def test_server_and_page_can_use_different_host_names(shop_page: Page, sandbox: SandboxProcess) -> None:
    """For example, when the server runs in a container."""
    elsewhere = sandbox.base_url.replace("127.0.0.1", "localhost")
    client: Any = stripe.StripeClient(API_KEY, base_addresses={"api": elsewhere})
    intent = new_intent(sandbox)
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_authenticationRequired"})
    shop_page.evaluate("(key) => { window.stripe = Stripe(key); }", KEY)

    start_call(shop_page, "(s) => stripe.handleNextAction({clientSecret: s})", intent.client_secret)
    bank(shop_page).get_by_role("button", name="Complete").click()

    assert result_of(shop_page)["paymentIntent"]["status"] == "succeeded"


def test_page_with_stripes_recommended_csp_can_pay(shop_pages: ShopPages, page: Page, sandbox: SandboxProcess) -> None:
    """https://docs.stripe.com/security/guide#content-security-policy, with the sandbox in Stripe's place."""
    sources = "; ".join(f"{what}-src {sandbox.base_url}" for what in ("script", "frame", "connect"))
    policy = f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; {sources}">'
    page.goto(
        shop_pages.put("/strict", BLANK_PAGE.format(base=sandbox.base_url).replace("<title>", policy + "<title>"))
    )
    intent = new_intent(sandbox)
    type_card(mount(page, intent), "4000002760003184")

    start_call(page, "(s) => stripe.confirmCardPayment(s, {payment_method: {card}})", intent.client_secret)
    bank(page).get_by_role("button", name="Complete").click()

    assert result_of(page)["paymentIntent"]["status"] == "succeeded"


def test_manual_confirmation_returns_to_the_server(shop_page: Page, sandbox: SandboxProcess) -> None:
    more = {"payment_method": "pm_card_authenticationRequired", "confirm": True, "confirmation_method": "manual"}
    intent = new_intent(sandbox, **more)
    shop_page.evaluate("(key) => { window.stripe = Stripe(key); }", KEY)

    start_call(shop_page, "(s) => stripe.handleCardAction(s)", intent.client_secret)
    bank(shop_page).get_by_role("button", name="Complete").click()

    assert result_of(shop_page)["paymentIntent"]["status"] == "requires_confirmation"
    client: Any = sandbox.client()
    assert client.v1.payment_intents.confirm(intent.id).status == "succeeded"


@pytest.mark.parametrize(("button", "redirect_status"), [("Complete", "succeeded"), ("Fail", "failed")])
def test_return_url_opens_three_d_secure_by_redirect(
    shop_page: Page, sandbox: SandboxProcess, shop_pages: ShopPages, button: str, redirect_status: str
) -> None:
    more = {"payment_method": "pm_card_authenticationRequired", "confirm": True}
    intent = new_intent(sandbox, return_url=f"{shop_pages.url}/back?order=17", **more)
    shop_page.evaluate("(key) => { window.stripe = Stripe(key); }", KEY)

    start_call(shop_page, "(s) => stripe.handleNextAction({clientSecret: s})", intent.client_secret)
    shop_page.get_by_role("button", name=button).click()
    shop_page.wait_for_url("**/back?**")

    query = parse_qs(urlsplit(shop_page.url).query)
    assert (query["order"], query["payment_intent"], query["redirect_status"]) == (
        ["17"],
        [intent.id],
        [redirect_status],
    )


def test_wrong_client_secret_is_a_result_and_a_malformed_one_throws(shop_page: Page, sandbox: SandboxProcess) -> None:
    intent, other = new_intent(sandbox), new_intent(sandbox)
    shop_page.evaluate("(key) => { window.stripe = Stripe(key); }", KEY)
    wrong = intent.id + other.client_secret[len(other.id) :]

    result = shop_page.evaluate("(s) => stripe.confirmCardPayment(s, {payment_method: 'pm_card_visa'})", wrong)

    assert result["error"]["type"] == "invalid_request_error"
    assert status_of(sandbox, intent) == "requires_payment_method"
    with pytest.raises(Error, match="client_secret"):
        shop_page.evaluate("() => stripe.retrievePaymentIntent('nonsense')")


def test_concurrent_confirmations_pay_once(shop_page: Page, sandbox: SandboxProcess) -> None:
    intent = new_intent(sandbox)
    type_card(mount(shop_page, intent))

    results = shop_page.evaluate(
        "(s) => Promise.all([1, 2].map(() => stripe.confirmCardPayment(s, {payment_method: {card}})))",
        intent.client_secret,
    )

    assert sorted(next(iter(result)) for result in results) == ["error", "paymentIntent"]
    captured = [one for one in sandbox.ledger() if one["effect"] == "charge.captured"]
    assert [one["payment_intent"] for one in captured].count(intent.id) == 1


@pytest.mark.parametrize("fault", [{"phase": "after", "action": "drop"}, {"phase": "before", "action": "drop"}])
def test_lost_response_is_retried_and_pays_once(
    shop_page: Page, sandbox: SandboxProcess, fault: dict[str, str]
) -> None:
    intent = new_intent(sandbox)
    type_card(mount(shop_page, intent))
    sandbox.faults({**fault, "match": {"path": "/v1/payment_intents/*/confirm"}, "times": 1})

    result = confirm_card_payment(shop_page, intent)

    assert result["paymentIntent"]["status"] == "succeeded"
    captured = [one for one in sandbox.ledger() if one["effect"] == "charge.captured"]
    assert [one["payment_intent"] for one in captured].count(intent.id) == 1


def test_shop_page_never_sees_the_card_number(shop_page: Page, sandbox: SandboxProcess) -> None:
    """The form is a document of the sandbox's origin. The page receives only the ID of the PaymentMethod."""
    intent = new_intent(sandbox)
    shop_page.evaluate("() => { window.messages = []; addEventListener('message', (e) => messages.push(e.data)); }")
    type_card(mount(shop_page, intent))

    result = shop_page.evaluate("() => stripe.createPaymentMethod({type: 'card', card})")

    assert result["paymentMethod"]["card"]["last4"] == "4242"
    seen = shop_page.evaluate("() => JSON.stringify([messages, events, document.documentElement.outerHTML])")
    assert "4242" not in seen
    with pytest.raises(Error, match=r"cross-origin|Blocked a frame"):
        shop_page.evaluate("() => document.querySelector('iframe').contentWindow.document.body")


def test_element_reports_its_state_to_the_page(shop_page: Page, sandbox: SandboxProcess) -> None:
    form = mount(shop_page, new_intent(sandbox))
    form.get_by_label("card number").press_sequentially("4242424242424241")
    form.get_by_label("card number").press("Escape")
    events = shop_page.evaluate("() => events")
    names = [name for name, _ in events]
    changes = [event for name, event in events if name == "change"]

    assert names[:2] == ["focus", "change"]
    assert "escape" in names
    assert changes[-1]["error"]["code"] == "invalid_number"
    expect(shop_page.locator("#card")).to_have_class("StripeElement StripeElement--focus StripeElement--invalid")
    shop_page.evaluate("() => card.clear()")
    expect(form.get_by_label("card number")).to_have_value("")
    type_card(form)
    shop_page.wait_for_function("() => events.at(-1)[1].complete && events.at(-1)[1].brand === 'visa'")
    assert shop_page.evaluate("() => elements.getElement('card') === card")
    shop_page.evaluate("() => card.destroy()")
    expect(shop_page.locator("iframe")).to_have_count(0)
    assert shop_page.evaluate("() => elements.getElement('card')") is None


def test_incomplete_card_is_a_validation_error(shop_page: Page, sandbox: SandboxProcess) -> None:
    intent = new_intent(sandbox)
    form = mount(shop_page, intent, "payment")
    form.get_by_label("card number").press_sequentially("42424")

    submitted = shop_page.evaluate("() => elements.submit()")
    confirmed = shop_page.evaluate("() => stripe.confirmPayment({elements, redirect: 'if_required'})")

    assert submitted["error"]["code"] == confirmed["error"]["code"] == "incomplete_number"
    assert confirmed["error"]["type"] == "validation_error"
    assert status_of(sandbox, intent) == "requires_payment_method"


def test_form_can_be_mounted_before_the_intent_exists(shop_page: Page, sandbox: SandboxProcess) -> None:
    shop_page.evaluate(
        """(key) => new Promise((ready) => {
            window.stripe = Stripe(key);
            window.elements = stripe.elements({mode: "payment", amount: 1000, currency: "usd"});
            elements.create("payment").on("ready", ready).mount("#card");
        })""",
        KEY,
    )
    type_card(shop_page.frame_locator("#card iframe"))
    intent = new_intent(sandbox)
    confirm = "(s) => stripe.confirmPayment({elements, clientSecret: s, redirect: 'if_required'})"

    with pytest.raises(Error, match=r"elements\.submit"):
        shop_page.evaluate(confirm, intent.client_secret)
    assert shop_page.evaluate("() => elements.submit()") == {"selectedPaymentMethod": "card"}
    assert shop_page.evaluate(confirm, intent.client_secret)["paymentIntent"]["status"] == "succeeded"


def test_secret_key_is_rejected_in_a_page(shop_page: Page) -> None:
    with pytest.raises(Error, match="publishable key"):
        shop_page.evaluate("() => Stripe('sk_test_1234')")


def test_unaccepted_publishable_key_is_rejected(shop_page: Page, sandbox: SandboxProcess) -> None:
    intent = new_intent(sandbox)
    sandbox.accept_keys(API_KEY, "pk_test_of_another_shop")
    type_card(mount(shop_page, intent))

    error = confirm_card_payment(shop_page, intent)["error"]

    assert error["message"].startswith("Invalid API Key provided: ")
    assert status_of(sandbox, intent) == "requires_payment_method"
