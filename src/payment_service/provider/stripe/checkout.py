"""Extract the data for Stripe.js from a PaymentIntent. Pure (https://docs.stripe.com/js)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from payment_service.provider.port import Checkout, Transient
from payment_service.provider.stripe.intents import MalformedIntent, intent_fact
from payment_service.provider.stripe.responses import read_date, read_retry_after, read_token

if TYPE_CHECKING:
    from payment_service.provider.stripe.responses import Response

_SECRET_PART: Final = re.compile(r"_secret_[A-Za-z0-9]{1,200}")


def read_checkout(response: Response, intent_id: str, *, publishable_key: str, now_s: float) -> Checkout | Transient:
    """Return an intent's checkout with its own secret only. Return `Transient` for any other response."""
    request_id = read_token(response.headers.get("Request-Id"))
    if response.status != 200 or not isinstance(response.body, dict):
        return Transient(
            code=f"http_{response.status}", retry_after_s=read_retry_after(response.headers), request_id=request_id
        )
    try:
        fact = intent_fact(
            response.body, at=read_date(response, now_s), source=f"checkout:{request_id}", from_event=False
        )
    except MalformedIntent:
        return Transient(code="malformed_intent", retry_after_s=0, request_id=request_id)
    secret, types = response.body.get("client_secret"), response.body.get("payment_method_types")
    if fact.intent_id != intent_id or not _is_secret_of(intent_id, secret) or not isinstance(types, list):
        return Transient(code="another_object", retry_after_s=0, request_id=request_id)
    pay = {
        "publishable_key": publishable_key,
        "client_secret": secret,
        "method_types": [str(name) for name in types],
    }
    return Checkout(pay=pay, fact=fact)


def _is_secret_of(intent_id: str, secret: object) -> bool:
    """Return whether a secret belongs to the intent. The mask of the logs matches the same format."""
    if not isinstance(secret, str) or not secret.startswith(intent_id):
        return False
    return _SECRET_PART.fullmatch(secret.removeprefix(intent_id)) is not None
