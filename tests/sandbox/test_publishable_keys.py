"""A publishable key is public: it opens one intent to the customer who was given its client secret, and no more."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.support.sandbox import SandboxProcess

KEY = "pk_test_of_a_shop"
CARD = {"card[number]": "4242424242424242", "card[exp_month]": "12", "card[exp_year]": "2034", "card[cvc]": "123"}
METHOD = {"type": "card", **CARD}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        """What was refused, and why."""
        error: dict[str, Any] = self.body["error"]
        return error


class Browser:
    """Requests as a page's script sends them."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self._port = sandbox.port

    def post(self, path: str, params: Mapping[str, str], **headers: str) -> Answer:
        return self.send("POST", path, urlencode(params), headers)

    def get(self, path: str, params: Mapping[str, str] | None = None, **headers: str) -> Answer:
        return self.send("GET", f"{path}?{urlencode(params or {})}", None, headers)

    def send(self, method: str, path: str, body: str | None, more: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        try:
            connection.request(method, path, body, {name: value for name, value in headers.items() if value})
            response = connection.getresponse()
            text = response.read()
            return Answer(response.status, response.headers, json.loads(text) if text else {})
        finally:
            connection.close()


@pytest.fixture
def browser(sandbox: SandboxProcess) -> Browser:
    return Browser(sandbox)


def new_intent(client: Any, **more: Any) -> Any:
    wanted = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"], "metadata": {"order_id": "17"}}
    return client.v1.payment_intents.create({**wanted, **more})


def test_a_page_pays_with_the_client_secret_alone(client: Any, browser: Browser, sandbox: SandboxProcess) -> None:
    intent = new_intent(client)
    method = browser.post("/v1/payment_methods", METHOD)
    secret = {"client_secret": intent.client_secret}

    paid = browser.post(f"/v1/payment_intents/{intent.id}/confirm", {**secret, "payment_method": method.body["id"]})

    assert (method.status, paid.status, paid.body["status"]) == (200, 200, "succeeded")
    assert browser.get(f"/v1/payment_intents/{intent.id}", secret).body == paid.body
    assert len([one for one in sandbox.ledger() if one["payment_intent"] == intent.id]) == 2


def test_what_a_page_reads_says_nothing_that_is_the_shops(client: Any, browser: Browser) -> None:
    intent = new_intent(client, payment_method="pm_card_visa")

    seen = browser.get(
        f"/v1/payment_intents/{intent.id}", {"client_secret": intent.client_secret, "expand[]": "payment_method"}
    ).body

    assert seen["amount"] == 1000
    assert seen["payment_method"]["card"]["last4"] == "4242"
    assert not {"metadata", "customer", "latest_charge", "transfer_data"} & seen.keys()
    assert not {"metadata", "customer"} & seen["payment_method"].keys()


def test_an_error_carries_no_more_of_the_intent_than_a_read(client: Any, browser: Browser) -> None:
    intent = new_intent(client)
    path = f"/v1/payment_intents/{intent.id}/confirm"
    secret = {"client_secret": intent.client_secret}

    declined = browser.post(path, {**secret, "payment_method": "pm_card_chargeDeclined"})
    browser.post(path, {**secret, "payment_method": "pm_card_visa"})
    again = browser.post(path, {**secret, "payment_method": "pm_card_visa"})

    assert (declined.status, declined.error["decline_code"]) == (402, "generic_decline")
    assert (again.status, again.error["code"]) == (400, "payment_intent_unexpected_state")
    assert "metadata" not in declined.error["payment_intent"]
    assert "metadata" not in again.error["payment_intent"]


@pytest.mark.parametrize("key", ["pk_test_of_a_shop", "sk_test_of_a_shop"])
def test_a_wrong_client_secret_opens_nothing_to_any_key(client: Any, browser: Browser, key: str) -> None:
    intent, other = new_intent(client), new_intent(client)

    for wrong in (other.client_secret, intent.client_secret[:-1], f"{intent.id}_secret_é"):
        refused = browser.get(
            f"/v1/payment_intents/{intent.id}", {"client_secret": wrong}, Authorization=f"Bearer {key}"
        )
        assert (refused.status, refused.error["param"]) == (400, "client_secret")
        assert intent.client_secret not in json.dumps(refused.body)


@pytest.mark.parametrize("action", ["", "/confirm"])
def test_without_a_client_secret_a_page_neither_reads_nor_pays(client: Any, browser: Browser, action: str) -> None:
    intent = new_intent(client, payment_method="pm_card_visa")

    refused = browser.send("POST" if action else "GET", f"/v1/payment_intents/{intent.id}{action}", None, {})

    assert (refused.status, refused.error["code"], refused.error["param"]) == (
        400,
        "parameter_missing",
        "client_secret",
    )
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_confirmation"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/payment_intents"),
        ("GET", "/v1/payment_intents"),
        ("POST", "/v1/payment_intents/pi_any"),
        ("POST", "/v1/payment_intents/pi_any/capture"),
        ("POST", "/v1/payment_intents/pi_any/cancel"),
        ("GET", "/v1/payment_methods/pm_any"),
        ("GET", "/v1/charges"),
        ("GET", "/v1/events"),
        ("POST", "/v1/refunds"),
        ("POST", "/v1/customers"),
        ("GET", "/v1/balance"),
    ],
)
def test_everything_else_asks_for_a_secret_key(browser: Browser, method: str, path: str) -> None:
    refused = browser.send(method, path, None, {})

    assert (refused.status, refused.error["code"]) == (403, "secret_key_required")


def test_a_manual_confirmation_is_the_servers(client: Any, browser: Browser) -> None:
    intent = new_intent(client, payment_method="pm_card_visa", confirmation_method="manual")

    refused = browser.post(f"/v1/payment_intents/{intent.id}/confirm", {"client_secret": intent.client_secret})

    assert refused.status == 400
    assert "publishable key" in refused.error["message"]


def test_the_key_may_come_as_a_parameter_but_a_secret_one_never(client: Any, browser: Browser) -> None:
    assert browser.post("/v1/payment_methods", {**METHOD, "key": KEY}, Authorization="").status == 200
    assert browser.post("/v1/payment_methods", {**METHOD, "key": "sk_test_x123"}, Authorization="").status == 401
    assert browser.post("/v1/payment_methods", METHOD, Authorization="Bearer pk_live_x123").status == 401


def test_what_only_stripes_javascript_sends_is_let_through(client: Any, browser: Browser) -> None:
    fingerprints = {"guid": "a", "muid": "b", "sid": "c", "referrer": "https://shop.example", "_stripe_version": "x"}
    nested = {f"payment_method_data[{name}]": value for name, value in fingerprints.items()}
    intent = new_intent(client)
    params = {
        **nested,
        "client_secret": intent.client_secret,
        "payment_method_data[type]": "card",
        "payment_method_data[payment_user_agent]": "stripe.js",
        **{f"payment_method_data[{name.replace('card[', 'card][')}": value for name, value in CARD.items()},
        "use_stripe_sdk": "true",
        "expected_payment_method_type": "card",
    }

    assert browser.post(f"/v1/payment_intents/{intent.id}/confirm", params).body["status"] == "succeeded"
    refused = browser.post("/v1/payment_methods", {**METHOD, "guid": "a"}, Authorization="Bearer sk_test_any1")
    assert refused.error["code"] == "parameter_unknown"


def test_a_page_is_not_answered_what_a_secret_key_was(client: Any, browser: Browser) -> None:
    """The kept answer to an Idempotency-Key would show it the whole intent."""
    intent = new_intent(client)
    path = f"/v1/payment_intents/{intent.id}/confirm"
    params = {"client_secret": intent.client_secret, "payment_method": "pm_card_visa"}

    browser.post(path, params, Authorization="Bearer sk_test_any1", Idempotency_Key="shared")
    answer = browser.post(path, params, Idempotency_Key="shared")

    assert "17" not in json.dumps(answer.body.get("metadata", {}))
    assert answer.status == 400


def test_named_keys_narrow_their_own_kind_only(client: Any, browser: Browser, sandbox: SandboxProcess) -> None:
    sandbox.accept_keys("sk_test_named1")
    assert browser.post("/v1/payment_methods", METHOD).status == 200
    sandbox.accept_keys("sk_test_named1", "pk_test_named1")
    assert browser.post("/v1/payment_methods", METHOD).status == 401
    assert browser.post("/v1/payment_methods", METHOD, Authorization="Bearer pk_test_named1").status == 200


def test_a_page_of_any_origin_may_call_the_api_and_read_its_errors(client: Any, browser: Browser) -> None:
    asked = {"Origin": "https://shop.example", "Access_Control_Request_Method": "POST"}
    preflight = browser.send("OPTIONS", "/v1/payment_methods", None, {**asked, "Authorization": ""})
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower()

    assert preflight.status == 200
    assert {"authorization", "stripe-version", "idempotency-key"} <= set(allowed.split(", "))
    for answer in (
        preflight,
        browser.post("/v1/payment_methods", METHOD),
        browser.post("/v1/payment_methods", {"type": "card", "card[number]": "4"}),
        browser.get("/v1/balance"),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Request-Id" in answer.headers["Access-Control-Expose-Headers"] or answer is preflight


def test_the_control_api_is_for_no_page_of_another_origin(browser: Browser) -> None:
    preflight = browser.send("OPTIONS", "/sandbox/clock", None, {"Origin": "https://shop.example"})
    read = browser.get("/sandbox/clock", Origin="https://shop.example")

    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert "Access-Control-Allow-Origin" not in read.headers


@pytest.mark.parametrize("guess", ["", "/", "/src_1guess", "/" + quote("é")])
def test_who_was_not_given_the_address_of_the_3d_secure_page_cannot_pass_it(
    client: Any, browser: Browser, guess: str
) -> None:
    intent = new_intent(client, payment_method="pm_card_authenticationRequired", confirm=True)

    connection = http.client.HTTPConnection("127.0.0.1", browser._port, timeout=20)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"/v3/3ds/{intent.id}{guess}", "outcome=succeed", form)
    connection.getresponse().read()
    connection.close()

    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_action"
