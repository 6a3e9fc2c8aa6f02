"""PaymentIntents (https://docs.stripe.com/api/payment_intents)."""

from __future__ import annotations

import hmac

from stripe_sandbox.errors import Json, invalid, missing_parameter, missing_resource
from stripe_sandbox.resources import bank_debits, currencies, customers, descriptors, holds, payment_methods
from stripe_sandbox.resources.pagination import list_reply, page_query
from stripe_sandbox.resources.payment_attempts import attempt
from stripe_sandbox.resources.transitions import (
    ATTACH,
    CANCEL,
    CREATE,
    CREATE_WITH_METHOD,
    enter,
    require_status,
    require_updatable,
)
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id
from stripe_sandbox.wire.parameters import merged_metadata

CONFIRM_ONLY = ("off_session", "return_url", "error_on_requires_action", "mandate_data")
COPIED = (
    "description",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
CONFIRM_CHANGES = ("capture_method", "receipt_email", "setup_future_usage", "shipping")
OPEN_ONLY = (
    "amount",
    "capture_method",
    "currency",
    "customer",
    "payment_method",
    "payment_method_data",
    "payment_method_types",
    "setup_future_usage",
)
AUTOMATIC_TYPES = {"usd": ["card", "us_bank_account"], "eur": ["card", "sepa_debit"]}


def create(work: UnitOfWork, params: Json, path: Json) -> Reply:
    confirm = params.get("confirm", False)
    for name in CONFIRM_ONLY:
        if name in params and not confirm:
            raise invalid(f"{name} can only be passed when confirm=true.", name)
    descriptors.check(params)
    intent = _new_intent(work, params)
    method = _method(work, intent, params)
    if method is not None:
        intent |= {"payment_method": method["id"]}
    intent = enter(work, intent, CREATE if method is None else CREATE_WITH_METHOD)
    if not confirm:
        return Reply(intent)
    return attempt(work, intent, params)


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    return Reply(existing_for_caller(work, path["id"], params))


def list_all(work: UnitOfWork, params: Json, path: Json) -> Reply:
    customer = customers.customer_id_in(work, params)

    def wanted(intent: Json) -> bool:
        return customer is None or intent["customer"] == customer

    page = work.tx.table("payment_intent").page(page_query("payment_intent", params), wanted)
    return list_reply("/v1/payment_intents", page)


def update(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Update without an event; a new payment method requires a new confirmation."""
    intent = existing(work, path["id"])
    for name in OPEN_ONLY:
        if name in params:
            require_updatable(intent, name)
    descriptors.check(params)
    amount: int = params["amount"] if "amount" in params else intent["amount"]
    currency = currencies.check(amount, params.get("currency") or intent["currency"])
    changed = {
        **intent,
        **{name: params[name] for name in (*COPIED, "capture_method") if name in params},
        "amount": amount,
        "currency": currency,
        "metadata": merged_metadata(intent["metadata"], params.get("metadata", {})),
        "last_payment_error": None,
    }
    if "payment_method_types" in params:
        types = params["payment_method_types"]
        changed |= {"automatic_payment_methods": None, "payment_method_types": types}
        changed |= {"payment_method_options": _method_options(types)}
    if "customer" in params:
        changed["customer"] = customers.customer_id_in(work, params)
        customers.require_owner(work, changed, None if "payment_method" in params else intent["payment_method"])
    method = _method(work, changed, params)
    if method is not None:
        return Reply(enter(work, {**changed, "payment_method": method["id"], "next_action": None}, ATTACH))
    work.tx.put("payment_intent", changed["id"], changed)
    return Reply(changed)


def confirm(work: UnitOfWork, params: Json, path: Json) -> Reply:
    intent = existing_for_caller(work, path["id"], params)
    if work.publishable and intent["confirmation_method"] == "manual":
        raise _secret_key_required(intent)
    require_status(intent, "confirm")
    method = _method(work, intent, params)
    if method is not None:
        intent = {**intent, "payment_method": method["id"]}
    intent = {**intent, **{name: params[name] for name in CONFIRM_CHANGES if name in params}}
    return attempt(work, intent, params)


def cancel(work: UnitOfWork, params: Json, path: Json) -> Reply:
    intent = existing(work, path["id"])
    require_status(intent, "cancel")
    changes = {
        "amount_capturable": 0,
        "canceled_at": work.created,
        "cancellation_reason": params.get("cancellation_reason"),
        "next_action": None,
    }
    if intent["status"] == "processing":
        return Reply(bank_debits.recall(work, {**intent, **changes}))
    if intent["status"] == "requires_capture":
        holds.release(work, intent)
    return Reply(enter(work, {**intent, **changes}, CANCEL))


def existing(work: UnitOfWork, identifier: str) -> Json:
    intent = work.tx.find("payment_intent", identifier)
    if intent is None:
        raise missing_resource("payment_intent", identifier, "intent")
    return intent


def existing_for_caller(work: UnitOfWork, identifier: str, params: Json) -> Json:
    """Return the intent; a publishable key, which is public, also needs its `client_secret`."""
    intent = existing(work, identifier)
    given: str | None = params.get("client_secret")
    if given is None and work.publishable:
        raise missing_parameter("client_secret")
    if given is not None and not hmac.compare_digest(given.encode(), intent["client_secret"].encode()):
        raise invalid(
            "The client_secret provided does not match the client_secret associated with the PaymentIntent.",
            "client_secret",
            "payment_intent_invalid_parameter",
        )
    return intent


def _secret_key_required(intent: Json) -> Exception:
    return invalid(
        f"This PaymentIntent {intent['id']} cannot be confirmed using your publishable key because its"
        " `confirmation_method` is set to `manual`. Please use your secret key instead, or create a"
        " PaymentIntent with `confirmation_method` set to `automatic`.",
        code="payment_intent_invalid_parameter",
    )


def _new_intent(work: UnitOfWork, params: Json) -> Json:
    currency = currencies.check(params["amount"], params["currency"])
    intent_id = new_id("pi_3")
    automatic, types = _method_types(params, currency)
    return {
        "id": intent_id,
        "object": "payment_intent",
        "allowed_payment_method_types": None,
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": automatic,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method", "automatic_async"),
        "client_secret": new_id(f"{intent_id}_secret_"),
        "confirmation_method": params.get("confirmation_method", "automatic"),
        "created": work.created,
        "currency": currency,
        "customer": customers.customer_id_in(work, params),
        "customer_account": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": _method_options(types),
        "payment_method_types": types,
        "processing": None,
        "review": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        **{name: params.get(name) for name in COPIED},
    }


def _method_types(params: Json, currency: str) -> tuple[Json | None, list[str]]:
    """Return `automatic_payment_methods` and `payment_method_types`; automatic methods are the default."""
    types: list[str] | None = params.get("payment_method_types")
    automatic: Json | None = params.get("automatic_payment_methods")
    if types is not None and automatic is not None and automatic["enabled"]:
        raise invalid("You may only specify one of these parameters: automatic_payment_methods, payment_method_types.")
    if types is not None:
        return None, types
    if automatic is not None and not automatic["enabled"]:
        return None, ["card"]
    redirects = (automatic or {}).get("allow_redirects", "always")
    return (
        {"allow_redirects": redirects, "enabled": True},
        AUTOMATIC_TYPES.get(currency, ["card"]),
    )


def _method_options(types: list[str]) -> Json:
    card = {
        "installments": None,
        "mandate_options": None,
        "network": None,
        "request_three_d_secure": "automatic",
    }
    return {kind: card if kind == "card" else {} for kind in types}


def _method(work: UnitOfWork, intent: Json, params: Json) -> Json | None:
    """Return the PaymentMethod that the request names or describes, if the intent allows its type."""
    if "payment_method" in params:
        method = payment_methods.resolve(work, params["payment_method"])
    elif "payment_method_data" in params:
        if "type" not in params["payment_method_data"]:
            raise missing_parameter("payment_method_data[type]")
        method = payment_methods.from_data(work, params["payment_method_data"], "payment_method_data")
    else:
        return None
    if method["type"] not in intent["payment_method_types"]:
        allowed = ", ".join(intent["payment_method_types"])
        raise invalid(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent."
            f" Please attach a PaymentMethod of one of the following types: {allowed}.",
            "payment_method",
            "payment_intent_incompatible_payment_method",
        )
    customers.require_owner(work, intent, method["id"])
    return method
