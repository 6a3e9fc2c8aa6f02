"""Publishable keys (https://docs.stripe.com/keys): the limited view of a page in the customer's browser."""

from __future__ import annotations

from typing import Any

from stripe_sandbox.errors import ApiError, Json

# The fields of a PaymentIntent that its client secret reveals: no metadata, no customer, no charge.
_INTENT = frozenset(
    {
        "id",
        "object",
        "amount",
        "amount_details",
        "automatic_payment_methods",
        "canceled_at",
        "cancellation_reason",
        "capture_method",
        "client_secret",
        "confirmation_method",
        "created",
        "currency",
        "description",
        "last_payment_error",
        "livemode",
        "next_action",
        "payment_method",
        "payment_method_configuration_details",
        "payment_method_types",
        "processing",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "status",
    }
)
_HIDDEN = {"payment_method": frozenset({"customer", "customer_account", "metadata"})}

# Parameters added by Stripe's own JavaScript: undocumented, without effect here.
_BROWSER_ONLY = frozenset(
    {
        "client_attribution_metadata",
        "client_context",
        "expected_payment_method_type",
        "guid",
        "is_stripe_sdk",
        "key",
        "muid",
        "pasted_fields",
        "payment_user_agent",
        "referrer",
        "sid",
        "time_on_page",
    }
)


def stripped(params: Json) -> Json:
    """Return the parameters without those that only Stripe's JavaScript sends."""
    kept = {name: value for name, value in params.items() if not _browser_only(name)}
    data = kept.get("payment_method_data")
    return {**kept, "payment_method_data": stripped(data)} if isinstance(data, dict) else kept


def visible(value: Any) -> Any:
    """Return a response or error as a publishable key sees it; objects are copied."""
    if isinstance(value, list):
        return [visible(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("object")
    hidden = value.keys() - _INTENT if kind == "payment_intent" else _HIDDEN.get(str(kind), frozenset())
    return {name: visible(item) for name, item in value.items() if name not in hidden}


def secret_key_required() -> ApiError:
    return ApiError(
        403,
        "This API call cannot be made with a publishable API key. Please use a secret API key. You can"
        " find a list of your API keys at https://dashboard.stripe.com/account/apikeys.",
        code="secret_key_required",
    )


def _browser_only(name: str) -> bool:
    return name in _BROWSER_ONLY or name.startswith("_stripe_")
