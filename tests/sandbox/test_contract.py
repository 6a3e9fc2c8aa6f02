"""The sandbox matches Stripe's OpenAPI description (version 2026-08-26.dahlia), if a copy is available."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import stripe

from stripe_sandbox.routes import OPERATIONS
from stripe_sandbox.wire.parameters import array, mapping, one_of, unset_or
from tests.sandbox.contract import DESCRIPTION, description, name_of, object_errors, objects
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.skipif(
    not DESCRIPTION.is_file(),
    reason="STRIPE_OPENAPI does not name a copy of https://github.com/stripe/openapi/blob/master/openapi/spec3.json",
)

CARD: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}
# Stripe returns these fields of a charge, an intent and a customer only on request.
ONLY_ON_REQUEST = {"charge.refunds", "payment_intent.managed_payments", "customer.cash_balance"}
UNDESCRIBED = {"payment_method_data[card]"}  # Stripe accepts it, mainly from Stripe.js
KINDS = {
    "balance_transaction",
    "charge",
    "customer",
    "deleted_webhook_endpoint",
    "dispute",
    "error",
    "event",
    "payment_intent",
    "payment_method",
    "refund",
    "webhook_endpoint",
}


@pytest.fixture(scope="module")
def responses(shared_process: SandboxProcess) -> list[dict[str, Any]]:
    """Return responses with every kind of object that the sandbox returns, as JSON."""
    client: Any = shared_process.client()

    def call(method: str, path: str, **params: Any) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(_raw(client, method, path, params))
        return body

    def create(**more: Any) -> dict[str, Any]:
        return call("post", "/v1/payment_intents", **{**CARD, **more})

    def pay(method: str, **more: Any) -> dict[str, Any]:
        return create(payment_method=method, confirm=True, **more)

    bare = create(metadata={"order_id": "1"}, description="Order 1", receipt_email="a@example.com")
    authorized = pay("pm_card_visa", capture_method="manual")
    challenged = pay("pm_card_authenticationRequired", return_url="https://shop.example")
    debit = pay("pm_usBankAccount", payment_method_types=["us_bank_account"])
    sepa = pay("pm_sepaDebit", payment_method_types=["sepa_debit"], currency="eur")
    automatic = create(automatic_payment_methods={"enabled": True}, payment_method_types=None)
    collected = [
        bare,
        authorized,
        challenged,
        debit,
        sepa,
        automatic,
        pay("pm_card_visa"),
        pay("pm_card_threeDSecure2Required"),
    ]
    collected += [
        call("post", f"/v1/payment_intents/{bare['id']}/confirm", payment_method="pm_card_chargeDeclined"),
        call("post", f"/v1/payment_intents/{bare['id']}/confirm", payment_method="pm_card_chargeDeclinedExpiredCard"),
        call("post", f"/v1/payment_intents/{bare['id']}/confirm", payment_method="pm_card_radarBlock"),
        call("post", f"/v1/payment_intents/{bare['id']}/capture"),
        call("post", f"/v1/payment_intents/{bare['id']}", amount=2000),
        call("post", f"/v1/payment_intents/{bare['id']}/cancel"),
        call("post", f"/v1/payment_intents/{authorized['id']}/capture", amount_to_capture=600),
        create(color="red"),
        call("get", "/v1/payment_intents/pi_nothing"),
        call("get", f"/v1/payment_intents/{authorized['id']}", expand=["latest_charge", "payment_method"]),
    ]
    collected += _disputes_and_customers(shared_process, call, pay)
    collected += _refunds_and_endpoints(call, pay)
    shared_process.authenticate(challenged["id"], "fail")
    shared_process.settle(debit["id"], "fail")
    shared_process.settle(sepa["id"])
    shared_process.set_webhook("http://127.0.0.1:9/nobody")
    lists = ("balance_transactions", "charges", "disputes", "events", "payment_intents", "refunds", "webhook_endpoints")
    return collected + [call("get", f"/v1/{name}", limit=100) for name in lists]


def _disputes_and_customers(
    process: SandboxProcess, call: Callable[..., dict[str, Any]], pay: Callable[..., dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return each kind of dispute in each status, and a customer with every field."""
    for card in ("Dispute", "DisputeInquiry", "Ce3EligibleDispute", "ComplianceDispute", "MastercardComplianceDispute"):
        pay(f"pm_card_create{card}")
    opened = call("get", "/v1/disputes")["data"]
    [won, lost, closed] = [pay(f"pm_card_create{card}") for card in ("Dispute", "Dispute", "DisputeInquiry")]
    ids = [
        call("get", "/v1/disputes", charge=intent["latest_charge"])["data"][0]["id"] for intent in (won, lost, closed)
    ]
    evidence = {
        "uncategorized_text": "winning_evidence",
        "enhanced_evidence": {
            "visa_compliance": {"fee_acknowledged": True},
            "visa_compelling_evidence_3": {
                "disputed_transaction": {"merchandise_or_services": "services"},
                "prior_undisputed_transactions": [
                    {"charge": lost["latest_charge"], "shipping_address": {"city": "Rome"}}
                ],
            },
        },
    }
    submitted = call("post", f"/v1/disputes/{opened[0]['id']}", evidence=evidence, metadata={"case": "1"})
    for dispute, outcome in zip(ids, ("won", "lost", "warning_closed"), strict=True):
        process.control("POST", f"/sandbox/disputes/{dispute}/close", {"outcome": outcome})
    address = {"city": "Rome"}
    customer = call(
        "post", "/v1/customers", address=address, shipping={"name": "Ada", "address": address}, preferred_locales=["it"]
    )
    named = {"customer": customer["id"], "setup_future_usage": "off_session"}
    return [
        *opened,
        submitted,
        call("post", f"/v1/disputes/{ids[1]}/close"),
        call("get", "/v1/disputes", limit=100, expand=["data.charge", "data.payment_intent"]),
        customer,
        call("get", f"/v1/customers/{customer['id']}"),
        call("post", "/v1/payment_methods/pm_card_visa/attach", customer=customer["id"]),
        pay("pm_card_visa", **named, expand=["customer", "payment_method.customer", "latest_charge.customer"]),
    ]


def _refunds_and_endpoints(
    call: Callable[..., dict[str, Any]], pay: Callable[..., dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return full, partial, pending and failing refunds, and an endpoint from creation to deletion."""
    cards = ("pm_card_visa", "pm_card_pendingRefund", "pm_card_refundFail")
    paid = [pay(card, capture_method="automatic", expand=["latest_charge.balance_transaction"]) for card in cards]
    refunds = [call("post", "/v1/refunds", payment_intent=intent["id"], amount=400) for intent in paid]
    expanded = ["charge", "payment_intent", "balance_transaction"]
    endpoint = call("post", "/v1/webhook_endpoints", url="https://shop.example/hook", enabled_events=["*"])
    address = f"/v1/webhook_endpoints/{endpoint['id']}"
    return [
        *paid,
        *refunds,
        call("get", f"/v1/refunds/{refunds[0]['id']}", expand=expanded),
        call("post", f"/v1/refunds/{refunds[0]['id']}", metadata={"a": "1"}),
        call(
            "post", "/v1/refunds", charge=paid[0]["latest_charge"]["id"], reason="duplicate", expand=["charge.refunds"]
        ),
        call("post", "/v1/refunds", charge=paid[0]["latest_charge"]["id"]),
        endpoint,
        call("post", address, description="Shop", enabled_events=["charge.refunded"]),
        call("get", address),
        call("delete", address),
    ]


def _raw(client: Any, method: str, path: str, params: dict[str, Any]) -> str:
    given = {name: value for name, value in params.items() if value is not None}
    try:
        return str(client.raw_request(method, path, **given).body)
    except (stripe.CardError, stripe.InvalidRequestError) as error:
        return str(error.http_body)


def test_every_kind_of_object_matches_stripes_description(responses: list[dict[str, Any]]) -> None:
    """All tests check the objects they receive (see conftest.py); this one also checks that every kind occurs."""
    every = [one for response in responses for one in objects(response)]

    assert {name_of(one) for one in every} >= KINDS
    assert sorted({error for one in every for error in object_errors(one)}) == []


def test_nullable_fields_are_always_sent(responses: list[dict[str, Any]]) -> None:
    """Only the fields in `ONLY_ON_REQUEST` may be absent."""
    schemas = description()["components"]["schemas"]
    missing = set()
    for one in (one for response in responses for one in objects(response)):
        if name_of(one) in KINDS - {"error"}:
            nullable = {name for name, field in schemas[name_of(one)]["properties"].items() if field.get("nullable")}
            missing |= {f"{name_of(one)}.{name}" for name in nullable - one.keys()}
    assert missing <= ONLY_ON_REQUEST


# Some extracts of the description lack these paths.
MAYBE_UNDESCRIBED = ("/v1/balance", "/v1/account", "/v1/products", "/v1/products/{id}")


@pytest.mark.parametrize(
    "operation",
    [one for one in OPERATIONS if one.path not in MAYBE_UNDESCRIBED],
    ids=lambda operation: f"{operation.method} {operation.path}",
)
def test_every_accepted_parameter_is_described_by_stripe(operation: Any) -> None:
    """Fields of objects and values of enums are checked too."""
    [described] = [
        item[operation.method.lower()]
        for path, item in description()["paths"].items()
        if _placeholders_alike(path) == _placeholders_alike(operation.path)
    ]
    body = described.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded", {})
    known = {parameter["name"]: parameter["schema"] for parameter in described.get("parameters", [])}
    known |= body.get("schema", {}).get("properties", {})

    unknown = set(_unknown(mapping(operation.schema.fields), {"properties": known}, ""))
    assert unknown <= UNDESCRIBED


def _unknown(parser: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield what `parser` accepts but the schema does not define."""
    options = schema.get("anyOf", [schema])
    if isinstance(parser, unset_or):
        yield from _unknown(parser.of, schema, where)
    elif isinstance(parser, array):
        items = [option["items"] for option in options if "items" in option]
        yield from _unknown(parser.of, {"anyOf": items}, f"{where}[]") if items else [where]
    elif isinstance(parser, one_of):
        enums = [value for option in options for value in option.get("enum", ())]
        enums += ["true", "false"] if {"type": "boolean"} in options else []
        open_ended = not enums or any("x-stripeBypassValidation" in option for option in options)
        yield from (f"{where}={value}" for value in parser.allowed if not open_ended and value not in enums)
    elif isinstance(parser, mapping):
        for name, of in parser.fields.items():
            place = f"{where}[{name}]" if where else name
            found = [option["properties"][name] for option in options if name in option.get("properties", {})]
            yield from _unknown(of, {"anyOf": _flat(found)}, place) if found else [place]


def _flat(schemas: list[Any]) -> list[Any]:
    return [one for schema in schemas for one in schema.get("anyOf", [schema])]


def _placeholders_alike(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
