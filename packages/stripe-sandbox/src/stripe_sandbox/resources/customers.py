"""Customers (https://docs.stripe.com/api/customers) and the PaymentMethods attached to them."""

from __future__ import annotations

from stripe_sandbox.errors import ApiError, Json, invalid, missing_resource
from stripe_sandbox.resources import payment_methods
from stripe_sandbox.resources.events import emit
from stripe_sandbox.resources.instruments import CARD_ERROR
from stripe_sandbox.resources.payment_methods import NO_ADDRESS
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id
from stripe_sandbox.wire.parameters import merged_metadata

# The only declining test card that can be attached: https://docs.stripe.com/testing#declined-payments
DECLINES_LATER = "chargeCustomerFail"
INVOICE_PREFIX_CHARS = 8


def create(work: UnitOfWork, params: Json, path: Json) -> Reply:
    customer = _new_customer(work, params)
    work.tx.put("customer", customer["id"], customer)
    emit(work, "customer.created", customer)
    if "payment_method" in params:
        _attach(work, payment_methods.resolve(work, params["payment_method"]), customer["id"])
    return Reply(customer)


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    return Reply(existing(work, path["id"], "id", status=404))


def attach(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Attach a PaymentMethod: `POST /v1/payment_methods/{id}/attach`."""
    customer = existing(work, params["customer"], "customer")
    return Reply(_attach(work, payment_methods.resolve(work, path["id"]), customer["id"]))


def existing(work: UnitOfWork, identifier: str, param: str = "customer", status: int = 400) -> Json:
    customer = work.tx.find("customer", identifier)
    if customer is None:
        raise missing_resource("customer", identifier, param, status)
    return customer


def customer_id_in(work: UnitOfWork, params: Json) -> str | None:
    """Return the id of the customer named in the request, which must exist; None if there is none."""
    return existing(work, params["customer"])["id"] if "customer" in params else None


def require_owner(work: UnitOfWork, intent: Json, method_id: str | None) -> None:
    """Raise `ApiError` 400 if the PaymentMethod is attached to another customer than the intent's.

    https://docs.stripe.com/api/payment_intents/create#create_payment_intent-customer
    """
    owner = work.tx.get("payment_method", method_id)["customer"] if method_id else None
    if owner is None or owner == intent["customer"]:
        return
    about = {"payment_intent": intent}
    if intent["customer"] is None:
        raise ApiError(
            400,
            f"The `payment_method` parameter supplied {method_id} belongs to the Customer {owner}. Please include the"
            " Customer in the `customer` parameter on the PaymentIntent.",
            code="parameter_missing",
            param="source",
            extra=about,
        )
    raise ApiError(
        400,
        f"The PaymentMethod {method_id} does not belong to the Customer you supplied {intent['customer']}. Please use"
        " this PaymentMethod with the Customer that it belongs to instead.",
        param="payment_method",
        extra=about,
    )


def attach_for_future_use(work: UnitOfWork, intent: Json, method: Json) -> None:
    """Attach the PaymentMethod to the intent's customer if `setup_future_usage` requests it."""
    if intent["setup_future_usage"] and intent["customer"] and method["customer"] is None:
        _attached(work, method, intent["customer"])


def _attach(work: UnitOfWork, method: Json, customer_id: str) -> Json:
    if method["customer"] not in (None, customer_id):
        raise invalid("The payment method you provided has already been attached to a customer.", "payment_method")
    instrument = payment_methods.instrument_of(work, method)
    decline = instrument.decline if instrument.type == "card" else None
    if decline is not None and instrument.name != DECLINES_LATER:
        codes = {"advice_code": decline.advice_code, "decline_code": decline.decline_code}
        extra = {name: value for name, value in codes.items() if value is not None}
        raise ApiError(402, decline.message, kind=CARD_ERROR, code=decline.code, param=decline.param, extra=extra)
    return _attached(work, method, customer_id)


def _attached(work: UnitOfWork, method: Json, customer_id: str) -> Json:
    if method["customer"] == customer_id:
        return method
    method = {**method, "customer": customer_id}
    work.tx.put("payment_method", method["id"], method)
    emit(work, "payment_method.attached", method)
    return method


def _new_customer(work: UnitOfWork, params: Json) -> Json:
    customer_id = new_id("cus_")
    return {
        "id": customer_id,
        "object": "customer",
        "address": _full_address(params.get("address")),
        "balance": params.get("balance", 0),
        "created": work.created,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": params.get("description"),
        "discount": None,
        "email": params.get("email"),
        "invoice_prefix": params.get("invoice_prefix", customer_id[-INVOICE_PREFIX_CHARS:].upper()),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "name": params.get("name"),
        "next_invoice_sequence": params.get("next_invoice_sequence", 1),
        "phone": params.get("phone"),
        "preferred_locales": params.get("preferred_locales", []),
        "shipping": _full_shipping(params.get("shipping")),
        "tax_exempt": params.get("tax_exempt") or "none",
        "test_clock": None,
    }


def _full_address(address: Json | None) -> Json | None:
    """Return all fields of an address, as Stripe does."""
    return None if address is None else {**NO_ADDRESS, **address}


def _full_shipping(shipping: Json | None) -> Json | None:
    if shipping is None:
        return None
    return {"phone": "", **shipping, "address": {**NO_ADDRESS, **shipping["address"]}}
