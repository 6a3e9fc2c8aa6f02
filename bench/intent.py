"""A PaymentIntent of about Stripe's size, as a JSON template, for the stub's answers and the events of the load."""

from __future__ import annotations

import json
from typing import Final

API_VERSION: Final = "2026-08-26.dahlia"

_INTENT: Final[dict[str, object]] = {
    "id": "@intent@",
    "object": "payment_intent",
    "amount": "@amount@",
    "amount_capturable": 0,
    "amount_details": {"tip": {}},
    "amount_received": "@received@",
    "application": None,
    "application_fee_amount": None,
    "automatic_payment_methods": None,
    "canceled_at": None,
    "cancellation_reason": None,
    "capture_method": "automatic_async",
    "client_secret": "@intent@_secret_N4xq9Z1v8TnQ7sWb3kLdYhRpE",
    "confirmation_method": "automatic",
    "created": "@created@",
    "currency": "@currency@",
    "customer": None,
    "description": None,
    "excluded_payment_method_types": None,
    "last_payment_error": None,
    "latest_charge": "@charge@",
    "livemode": False,
    "metadata": {"deployment": "@deployment@", "order_id": "@order@", "payment_id": "@payment@"},
    "next_action": None,
    "on_behalf_of": None,
    "payment_method": "@method@",
    "payment_method_configuration_details": None,
    "payment_method_options": {
        "card": {"installments": None, "mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
    },
    "payment_method_types": ["card"],
    "processing": None,
    "receipt_email": None,
    "review": None,
    "setup_future_usage": None,
    "shipping": None,
    "source": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "status": "@status@",
    "transfer_data": None,
    "transfer_group": None,
}
_EVENT: Final[dict[str, object]] = {
    "id": "@event@",
    "object": "event",
    "api_version": API_VERSION,
    "created": "@created@",
    "data": {"object": _INTENT},
    "livemode": False,
    "pending_webhooks": 1,
    "request": {"id": "req_b3nchB3nchB3nch", "idempotency_key": "5c1f9cbe-5f4c-4f0e-9d0c-6b6d7f6a2f10"},
    "type": "payment_intent.succeeded",
}
_NUMBERS: Final = ("amount", "received", "created")
_NULLABLE: Final = ("charge", "method")


def _blanks(shape: dict[str, object]) -> str:
    """Return a template for the % operator. Stripe indents its JSON by two spaces, a third of its size."""
    text = json.dumps(shape, indent=2).replace("%", "%%")
    for name in (*_NUMBERS, *_NULLABLE):
        text = text.replace(f'"@{name}@"', f"%({name})s")
    for name in ("intent", "currency", "deployment", "order", "payment", "status", "event"):
        text = text.replace(f"@{name}@", f"%({name})s")
    return text


INTENT_TEXT: Final = _blanks(_INTENT)
EVENT_TEXT: Final = _blanks(_EVENT)


def intent_id(payment_id: str) -> str:
    """Return the intent id of a payment. The stub and the load use the same rule."""
    return f"pi_3{payment_id.replace('-', '')[:23]}"
