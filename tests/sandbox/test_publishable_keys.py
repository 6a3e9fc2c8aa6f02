"""A publishable key is public. With a client secret, it reads and confirms one intent, and nothing else."""

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
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        """The error in the body."""
        error: dict[str, Any] = self.body["error"]
        return error


class Browser:
    """Send requests like a script in a page."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self._port = sandbox.port

    def post(self, path: str, params: Mapping[str, str], **headers: str) -> Response:
        return self.send("POST", path, urlencode(params), headers)

    def get(self, path: str, params: Mapping[str, str] | None = None, **headers: str) -> Response:
        return self.send("GET", f"{path}?{urlencode(params or {})}", None, headers)

    def send(self, method: str, path: str, body: str | None, more: Mapping[str, str]) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        try:
            connection.request(method, path, body, {name: value for name, value in headers.items() if value})
            response = connection.getresponse()
            text = response.read()
            return Response(response.status, response.headers, json.loads(text) if text else {})
        finally:
            connection.close()


@pytest.fixture
def browser(sandbox: SandboxProcess) -> Browser:
    return Browser(sandbox)


def new_intent(client: Any, **more: Any) -> Any:
    wanted = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"], "metadata": {"order_id": "17"}}
    return client.v1.payment_intents.create({**wanted, **more})


def test_publishable_key_pays_with_the_client_secret(client: Any, browser: Browser, sandbox: SandboxProcess) -> None:
    intent = new_intent(client)
    method = browser.post("/v1/payment_methods", METHOD)
    secret = {"client_secret": intent.client_secret}

    paid = browser.post(f"/v1/payment_intents/{intent.id}/confirm", {**secret, "payment_method": method.body["id"]})

    assert (method.status, paid.status, paid.body["status"]) == (200, 200, "succeeded")
    assert browser.get(f"/v1/payment_intents/{intent.id}", secret).body == paid.body
    assert len([one for one in sandbox.ledger() if one["payment_intent"] == intent.id]) == 2


def test_publishable_key_reads_no_private_fields(client: Any, browser: Browser) -> None:
    intent = new_intent(client, payment_method="pm_card_visa")

    seen = browser.get(
        f"/v1/payment_intents/{intent.id}", {"client_secret": intent.client_secret, "expand[]": "payment_method"}
    ).body

    assert seen["amount"] == 1000
    assert seen["payment_method"]["card"]["last4"] == "4242"
    assert not {"metadata", "customer", "latest_charge", "transfer_data"} & seen.keys()
    assert not {"metadata", "customer"} & seen["payment_method"].keys()


def test_error_shows_no_private_fields_of_the_intent(client: Any, browser: Browser) -> None:
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
def test_wrong_client_secret_is_rejected_for_every_key(client: Any, browser: Browser, key: str) -> None:
    intent, other = new_intent(client), new_intent(client)

    for wrong in (other.client_secret, intent.client_secret[:-1], f"{intent.id}_secret_é"):
        rejected = browser.get(
            f"/v1/payment_intents/{intent.id}", {"client_secret": wrong}, Authorization=f"Bearer {key}"
        )
        assert (rejected.status, rejected.error["param"]) == (400, "client_secret")
        assert intent.client_secret not in json.dumps(rejected.body)


@pytest.mark.parametrize("action", ["", "/confirm"])
def test_publishable_key_without_client_secret_is_rejected(client: Any, browser: Browser, action: str) -> None:
    intent = new_intent(client, payment_method="pm_card_visa")

    rejected = browser.send("POST" if action else "GET", f"/v1/payment_intents/{intent.id}{action}", None, {})

    assert (rejected.status, rejected.error["code"], rejected.error["param"]) == (
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
def test_other_endpoints_require_a_secret_key(browser: Browser, method: str, path: str) -> None:
    rejected = browser.send(method, path, None, {})

    assert (rejected.status, rejected.error["code"]) == (403, "secret_key_required")


def test_manual_confirmation_requires_a_secret_key(client: Any, browser: Browser) -> None:
    intent = new_intent(client, payment_method="pm_card_visa", confirmation_method="manual")

    rejected = browser.post(f"/v1/payment_intents/{intent.id}/confirm", {"client_secret": intent.client_secret})

    assert rejected.status == 400
    assert "publishable key" in rejected.error["message"]


def test_publishable_key_is_accepted_as_a_parameter_but_a_secret_key_is_not(client: Any, browser: Browser) -> None:
    assert browser.post("/v1/payment_methods", {**METHOD, "key": KEY}, Authorization="").status == 200
    assert browser.post("/v1/payment_methods", {**METHOD, "key": "sk_test_x123"}, Authorization="").status == 401
    assert browser.post("/v1/payment_methods", METHOD, Authorization="Bearer pk_live_x123").status == 401


def test_parameters_sent_only_by_stripe_js_are_accepted(client: Any, browser: Browser) -> None:
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
    rejected = browser.post("/v1/payment_methods", {**METHOD, "guid": "a"}, Authorization="Bearer sk_test_any1")
    assert rejected.error["code"] == "parameter_unknown"


def test_stored_response_of_a_secret_key_is_not_replayed_to_a_page(client: Any, browser: Browser) -> None:
    """The stored response contains private fields of the intent."""
    intent = new_intent(client)
    path = f"/v1/payment_intents/{intent.id}/confirm"
    params = {"client_secret": intent.client_secret, "payment_method": "pm_card_visa"}

    browser.post(path, params, Authorization="Bearer sk_test_any1", Idempotency_Key="shared")
    response = browser.post(path, params, Idempotency_Key="shared")

    assert "17" not in json.dumps(response.body.get("metadata", {}))
    assert response.status == 400


def test_accepted_keys_restrict_only_their_own_kind(client: Any, browser: Browser, sandbox: SandboxProcess) -> None:
    sandbox.accept_keys("sk_test_named1")
    assert browser.post("/v1/payment_methods", METHOD).status == 200
    sandbox.accept_keys("sk_test_named1", "pk_test_named1")
    assert browser.post("/v1/payment_methods", METHOD).status == 401
    assert browser.post("/v1/payment_methods", METHOD, Authorization="Bearer pk_test_named1").status == 200


def test_every_origin_can_call_the_api_and_read_its_errors(client: Any, browser: Browser) -> None:
    asked = {"Origin": "https://shop.example", "Access_Control_Request_Method": "POST"}
    preflight = browser.send("OPTIONS", "/v1/payment_methods", None, {**asked, "Authorization": ""})
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower()

    assert preflight.status == 200
    assert {"authorization", "stripe-version", "idempotency-key"} <= set(allowed.split(", "))
    for response in (
        preflight,
        browser.post("/v1/payment_methods", METHOD),
        browser.post("/v1/payment_methods", {"type": "card", "card[number]": "4"}),
        browser.get("/v1/balance"),
    ):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Request-Id" in response.headers["Access-Control-Expose-Headers"] or response is preflight


def test_control_api_allows_no_other_origin(browser: Browser) -> None:
    preflight = browser.send("OPTIONS", "/sandbox/clock", None, {"Origin": "https://shop.example"})
    read = browser.get("/sandbox/clock", Origin="https://shop.example")

    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert "Access-Control-Allow-Origin" not in read.headers


@pytest.mark.parametrize("guess", ["", "/", "/src_1guess", "/" + quote("é")])
def test_three_d_secure_page_requires_its_exact_address(client: Any, browser: Browser, guess: str) -> None:
    intent = new_intent(client, payment_method="pm_card_authenticationRequired", confirm=True)

    connection = http.client.HTTPConnection("127.0.0.1", browser._port, timeout=20)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"/v3/3ds/{intent.id}{guess}", "outcome=succeed", form)
    connection.getresponse().read()
    connection.close()

    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_action"
