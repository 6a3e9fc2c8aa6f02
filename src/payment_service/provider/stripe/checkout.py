"""What Stripe.js needs to let a customer pay an intent, out of Stripe's answer to a read of it. Pure (https://docs.stripe.com/js)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from payment_service.provider.port import Checkout, Transient
from payment_service.provider.stripe.answers import read_date, read_retry_after, read_word
from payment_service.provider.stripe.intents import MalformedIntent, intent_fact

if TYPE_CHECKING:
    from payment_service.provider.stripe.answers import Answer

_SECRET_PART: Final = re.compile(r"_secret_[A-Za-z0-9]{1,200}")


def read_checkout(answer: Answer, intent_id: str, *, publishable_key: str, now_s: float) -> Checkout | Transient:
    """Read an intent's checkout. Nothing but this intent's own secret is ever given; `Transient` for any other answer."""
    request_id = read_word(answer.headers.get("Request-Id"))
    if answer.status != 200 or not isinstance(answer.body, dict):
        return Transient(
            code=f"http_{answer.status}", retry_after_s=read_retry_after(answer.headers), request_id=request_id
        )
    try:
        fact = intent_fact(answer.body, at=read_date(answer, now_s), source=f"checkout:{request_id}", from_event=False)
    except MalformedIntent:
        return Transient(code="malformed_intent", retry_after_s=0, request_id=request_id)
    secret, types = answer.body.get("client_secret"), answer.body.get("payment_method_types")
    if fact.intent_id != intent_id or not _is_secret_of(intent_id, secret) or not isinstance(types, list):
        return Transient(code="another_object", retry_after_s=0, request_id=request_id)
    pay = {
        "publishable_key": publishable_key,
        "client_secret": secret,
        "method_types": [str(name) for name in types],
    }
    return Checkout(pay=pay, fact=fact)


def _is_secret_of(intent_id: str, secret: object) -> bool:
    """Whether it has the form that names its intent, which is also what the logs' mask knows."""
    if not isinstance(secret, str) or not secret.startswith(intent_id):
        return False
    return _SECRET_PART.fullmatch(secret.removeprefix(intent_id)) is not None
