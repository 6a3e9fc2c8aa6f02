"""The Stripe.js replacement on a shop's page of another origin, with a publishable key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe
from playwright.sync_api import Error, FrameLocator, Page, expect

from tests.support.sandbox import API_KEY, SandboxProcess
from tests.support.shop_page import ShopPages

pytestmark = pytest.mark.browser

KEY = "pk_test_of_the_shop"
BLANK = '<!doctype html><title>Shop</title><form><div id="card"></div></form><script src="{base}/v3/"></script>'
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


@pytest.fixture
def shop() -> Iterator[ShopPages]:
    """A shop's web server."""
    shop = ShopPages()
    yield shop
    shop.close()


@pytest.fixture
def shop_page(shop: ShopPages, page: Page, sandbox: SandboxProcess) -> Page:
    """A page of the shop that contains only a form and the sandbox's script."""
    page.goto(shop.put("/checkout", BLANK.format(base=sandbox.base_url)))
    return page


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
    shop_page: Page, sandbox: SandboxProcess, shop: ShopPages
) -> None:
    intent = new_intent(sandbox, automatic_payment_methods={"enabled": True})
    type_card(mount(shop_page, intent, "payment"))
    target = f"{shop.url}/thanks?order=17"

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


def test_page_with_stripes_recommended_csp_can_pay(shop: ShopPages, page: Page, sandbox: SandboxProcess) -> None:
    """https://docs.stripe.com/security/guide#content-security-policy, with the sandbox in Stripe's place."""
    sources = "; ".join(f"{what}-src {sandbox.base_url}" for what in ("script", "frame", "connect"))
    policy = f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; {sources}">'
    page.goto(shop.put("/strict", BLANK.format(base=sandbox.base_url).replace("<title>", policy + "<title>")))
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
    shop_page: Page, sandbox: SandboxProcess, shop: ShopPages, button: str, redirect_status: str
) -> None:
    more = {"payment_method": "pm_card_authenticationRequired", "confirm": True}
    intent = new_intent(sandbox, return_url=f"{shop.url}/back?order=17", **more)
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


def test_calls_that_are_not_covered_are_rejected_by_name(shop_page: Page, sandbox: SandboxProcess) -> None:
    mount(shop_page, new_intent(sandbox))

    for name in ("createToken", "confirmSetup", "redirectToCheckout"):
        with pytest.raises(Error, match=rf"does not cover stripe\.{name}\(\)"):
            shop_page.evaluate("(name) => stripe[name]({})", name)


@pytest.mark.parametrize(
    "kind", ["linkAuthentication", "address", "expressCheckout", "paymentRequestButton", "cardNumber", "anything"]
)
def test_unknown_element_is_an_empty_box_and_a_warning(shop_page: Page, sandbox: SandboxProcess, kind: str) -> None:
    warnings: list[str] = []
    shop_page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    form = mount(shop_page, new_intent(sandbox), "payment")
    ready = shop_page.evaluate(
        """(kind) => new Promise((ready) => {
            document.querySelector("form").insertAdjacentHTML("beforeend", "<div id=other></div>");
            window.other = elements.create(kind, {paymentRequest: stripe.paymentRequest({}), mode: "shipping"});
            other.on("ready", ready).once("change", ready).mount("#other");
        })""",
        kind,
    )

    assert ready == {"elementType": kind}
    assert [text for text in warnings if f"no element of type {kind}" in text]
    assert shop_page.evaluate("() => elements.getElement(other._kind) === other")
    assert shop_page.evaluate("() => other.getValue()")["complete"] is False
    shop_page.evaluate(
        "() => { other.update({}); other.focus(); other.blur(); other.clear(); other.collapse(); elements.update({}); }"
    )
    shop_page.evaluate("() => { other.unmount(); other.mount('#other'); other.off('ready'); other.destroy(); }")
    assert shop_page.evaluate("(kind) => elements.getElement(kind)", kind) is None
    expect(shop_page.locator("#other > *")).to_have_count(0)
    type_card(form)
    result = shop_page.evaluate("() => stripe.confirmPayment({elements, redirect: 'if_required'})")
    assert result["paymentIntent"]["status"] == "succeeded"


def test_empty_box_cannot_pay(shop_page: Page, sandbox: SandboxProcess) -> None:
    intent = new_intent(sandbox)
    mount(shop_page, intent)

    with pytest.raises(Error, match="empty box for cardNumber"):
        shop_page.evaluate(
            "(s) => stripe.confirmCardPayment(s, {payment_method: {card: elements.create('cardNumber')}})",
            intent.client_secret,
        )


def test_wallets_are_never_available(shop_page: Page, sandbox: SandboxProcess) -> None:
    mount(shop_page, new_intent(sandbox))
    request = "stripe.paymentRequest({country: 'US', currency: 'usd', total: {label: 'Order', amount: 1000}})"

    assert shop_page.evaluate(f"() => {request}.on('paymentmethod', () => undefined).canMakePayment()") is None


CHECKOUT_OF_STRIPES_DOCS = """
<!doctype html>
<title>Checkout</title>
<form id="payment-form">
  <div id="express"></div><div id="link"></div><div id="address"></div><div id="payment"></div>
  <button id="submit" disabled>Pay now</button>
  <p id="message"></p>
</form>
<script src="{base}/v3/"></script>
<script>
  const stripe = Stripe("pk_test_of_the_shop");
  const secret = new URLSearchParams(location.search).get("secret");
  const back = new URLSearchParams(location.search).get("payment_intent_client_secret");
  const say = (text) => {{ document.querySelector("#message").textContent = text; }};
  const show = async () => {{
    let email = "";
    const elements = stripe.elements({{clientSecret: secret, appearance: {{theme: "stripe"}}, loader: "auto"}});
    const express = elements.create("expressCheckout", {{buttonHeight: 48}});
    express.on("ready", ({{availablePaymentMethods}}) => {{ document.querySelector("#express").hidden = !availablePaymentMethods; }});
    express.mount("#express");
    const link = elements.create("linkAuthentication", {{defaultValues: {{email: ""}}}});
    link.on("change", (event) => {{ email = event.value.email; }});
    link.mount("#link");
    elements.create("address", {{mode: "shipping"}}).mount("#address");
    const payment = elements.create("payment", {{layout: "accordion"}});
    payment.on("ready", () => {{ document.querySelector("#submit").disabled = false; }});
    payment.mount("#payment");
    document.querySelector("form").addEventListener("submit", async (event) => {{
      event.preventDefault();
      const {{error: incomplete}} = await elements.submit();
      if (incomplete) return say(incomplete.message);
      const {{error}} = await stripe.confirmPayment({{
        elements, confirmParams: {{return_url: location.origin + "/checkout", receipt_email: "a@example.com"}},
      }});
      say(error.message);
    }});
  }};
  if (back) stripe.retrievePaymentIntent(back).then(({{paymentIntent}}) => say(paymentIntent.status));
  else show();
</script>
"""


@pytest.mark.parametrize("card", ["Pays", "3-D Secure"])
def test_page_with_every_element_of_stripes_quickstart_pays(
    shop: ShopPages, page: Page, sandbox: SandboxProcess, card: str
) -> None:
    """The structure of https://docs.stripe.com/payments/quickstart, with the elements that it adds on the way."""
    address = shop.put("/checkout", CHECKOUT_OF_STRIPES_DOCS.format(base=sandbox.base_url))
    page.goto(f"{address}?secret={new_intent(sandbox).client_secret}")
    expect(page.locator("#express")).to_be_hidden()
    page.frame_locator("#payment iframe").get_by_role("button", name=card, exact=True).click()
    page.get_by_role("button", name="Pay now").click()
    if card == "3-D Secure":
        bank(page).get_by_role("button", name="Complete").click()
    page.wait_for_url("**redirect_status=succeeded**")
    expect(page.locator("#message")).to_have_text("succeeded")
