"""PaymentIntents (https://docs.stripe.com/api/payment_intents): create, read, change."""

from __future__ import annotations

from stripe_sandbox.errors import Json, invalid, missing_parameter, missing_resource
from stripe_sandbox.resources import currencies, payment_methods
from stripe_sandbox.resources.attempts import attempt
from stripe_sandbox.resources.listing import answer, page_query
from stripe_sandbox.resources.transitions import CANCEL, CAPTURE, Transition, demand, enter
from stripe_sandbox.state.ledger import record
from stripe_sandbox.state.work import Reply, Work, new_id
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
AUTOMATIC_TYPES = {"usd": ["card", "us_bank_account"], "eur": ["card", "sepa_debit"]}


def create(work: Work, params: Json, path: Json) -> Reply:
    confirm = params.get("confirm", False)
    for name in CONFIRM_ONLY:
        if name in params and not confirm:
            raise invalid(f"{name} can only be passed when confirm=true.", name)
    intent = _new_intent(work, params)
    method = _method(work, intent, params)
    if method is not None:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    created = Transition("create", frozenset(), intent["status"], None, "payment_intent.created", "intent.created")
    intent = enter(work, intent, created)
    if not confirm:
        return Reply(intent)
    return attempt(work, intent, params)


def retrieve(work: Work, params: Json, path: Json) -> Reply:
    return Reply(existing(work, path["id"]))


def list_all(work: Work, params: Json, path: Json) -> Reply:
    if "customer" in params:
        raise _no_customer(params["customer"])
    query = page_query("payment_intent", params)
    return answer("/v1/payment_intents", work.tx.table("payment_intent").page(query))


def update(work: Work, params: Json, path: Json) -> Reply:
    """Changes emit no event; a new payment method asks for a new confirmation."""
    intent = existing(work, path["id"])
    if "amount" in params or "currency" in params or "payment_method" in params:
        demand(intent, "update")
    amount: int = params["amount"] if "amount" in params else intent["amount"]
    currency = currencies.check(amount, params.get("currency") or intent["currency"])
    changed = {
        **intent,
        **{name: params[name] for name in COPIED if name in params},
        "amount": amount,
        "currency": currency,
        "metadata": merged_metadata(intent["metadata"], params.get("metadata", {})),
        "last_payment_error": None,
    }
    method = _method(work, changed, params)
    if method is not None:
        changed |= {"payment_method": method["id"], "status": "requires_confirmation"}
        changed |= {"next_action": None}
    work.tx.put("payment_intent", changed["id"], changed)
    return Reply(changed)


def confirm(work: Work, params: Json, path: Json) -> Reply:
    intent = existing(work, path["id"])
    demand(intent, "confirm")
    method = _method(work, intent, params)
    if method is not None:
        intent = {**intent, "payment_method": method["id"]}
    if "capture_method" in params:
        intent = {**intent, "capture_method": params["capture_method"]}
    return attempt(work, intent, params)


def capture(work: Work, params: Json, path: Json) -> Reply:
    """All or a part of what is authorized, once; the rest is released."""
    intent = existing(work, path["id"])
    demand(intent, "capture")
    amount = params["amount_to_capture"] if "amount_to_capture" in params else intent["amount_capturable"]
    currencies.positive(amount, "amount")
    if amount > intent["amount_capturable"]:
        raise currencies.too_large(
            f"Amount cannot be more than the capturable amount ({intent['amount_capturable']}).",
            "amount_to_capture",
        )
    charge = work.tx.get("charge", intent["latest_charge"])
    rest = charge["amount"] - amount
    charge = {**charge, "captured": True, "amount_captured": amount, "amount_refunded": rest}
    metadata = merged_metadata(intent["metadata"], params.get("metadata", {}))
    changes = {"amount_capturable": 0, "amount_received": amount, "metadata": metadata}
    return Reply(enter(work, {**intent, **changes}, CAPTURE, charge, amount=amount))


def cancel(work: Work, params: Json, path: Json) -> Reply:
    intent = existing(work, path["id"])
    demand(intent, "cancel")
    if intent["status"] == "requires_capture":
        _release_hold(work, intent)
    changes = {
        "amount_capturable": 0,
        "canceled_at": work.created,
        "cancellation_reason": params.get("cancellation_reason"),
        "next_action": None,
    }
    return Reply(enter(work, {**intent, **changes}, CANCEL))


def existing(work: Work, identifier: str) -> Json:
    intent = work.tx.find("payment_intent", identifier)
    if intent is None:
        raise missing_resource("payment_intent", identifier, "intent")
    return intent


def _release_hold(work: Work, intent: Json) -> None:
    charge = work.tx.get("charge", intent["latest_charge"])
    charge = {**charge, "amount_refunded": charge["amount"], "refunded": True}
    work.tx.put("charge", charge["id"], charge)
    record(work, "charge.released", intent, charge, charge["amount"])


def _new_intent(work: Work, params: Json) -> Json:
    currency = currencies.check(params["amount"], params["currency"])
    if "customer" in params:
        raise _no_customer(params["customer"])
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
        "customer": None,
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
    """`automatic_payment_methods` and `payment_method_types`: the first when neither is asked."""
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


def _method(work: Work, intent: Json, params: Json) -> Json | None:
    """The PaymentMethod that the request names or describes, checked against the intent's types."""
    if "payment_method" in params:
        method = payment_methods.named(work, params["payment_method"])
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
    return method


def _no_customer(name: str) -> Exception:
    return missing_resource("customer", name, "customer", status=400)
