"""Elements and calls that the Stripe.js replacement lacks: the page runs, and says what is missing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Error, Page, expect

from tests.browser.stripe_page import bank, mount, new_intent, type_card
from tests.support.sandbox import SandboxProcess
from tests.support.shop_page import ShopPages

pytestmark = pytest.mark.browser


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
    shop_pages: ShopPages, page: Page, sandbox: SandboxProcess, card: str
) -> None:
    """The structure of https://docs.stripe.com/payments/quickstart, with the elements that it adds on the way."""
    address = shop_pages.put("/checkout", CHECKOUT_OF_STRIPES_DOCS.format(base=sandbox.base_url))
    page.goto(f"{address}?secret={new_intent(sandbox).client_secret}")
    expect(page.locator("#express")).to_be_hidden()
    page.frame_locator("#payment iframe").get_by_role("button", name=card, exact=True).click()
    page.get_by_role("button", name="Pay now").click()
    if card == "3-D Secure":
        bank(page).get_by_role("button", name="Complete").click()
    page.wait_for_url("**redirect_status=succeeded**")
    expect(page.locator("#message")).to_have_text("succeeded")
