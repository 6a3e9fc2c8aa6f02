"""Translate charges and declines into attempts to pay. Pure. A field that cannot be read is left out, because these facts decide nothing.

Sources: https://docs.stripe.com/api/charges/object#charge_object-payment_method_details,
https://docs.stripe.com/api/payment_intents/object#payment_intent_object-last_payment_error. All supported versions render
these fields alike.
"""

from __future__ import annotations

import re
from typing import Any, Final

from payment_service.domain.guard import clean
from payment_service.domain.payment_attempt import AttemptStatus, PaymentAttempt, UsedMethod
from payment_service.provider.stripe import times
from payment_service.provider.stripe.amounts import from_stripe
from payment_service_events.currency import currency
from payment_service_events.money import MoneyError

_STATUSES: Final = {
    "pending": AttemptStatus.PENDING,
    "failed": AttemptStatus.DECLINED,
    "succeeded": AttemptStatus.SUCCEEDED,
}
_ID: Final = re.compile(r"[A-Za-z0-9_]{1,255}")
_WORD: Final = re.compile(r"[a-z0-9_]{1,64}")
_LAST4: Final = re.compile(r"[0-9A-Z]{1,4}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_RECEIPT: Final = re.compile(r"https?://[\x21-\x7e]{1,2000}")
# Sentences for customers. Codes that Stripe says to hide from them (https://docs.stripe.com/declines/codes) are not
# listed and read as a plain decline.
_SENTENCES: Final = {
    "insufficient_funds": "The card has insufficient funds.",
    "expired_card": "The card has expired.",
    "incorrect_cvc": "The card's security code is incorrect.",
    "incorrect_number": "The card number is incorrect.",
    "processing_error": "The card could not be processed. Please try again.",
    "authentication_required": "The card needs the customer's authentication.",
    "payment_intent_authentication_failure": "The customer's authentication failed.",
    "card_velocity_exceeded": "The card's limit is exceeded.",
}
_DECLINED: Final = "The payment was declined."


def decline_code(error: dict[str, Any]) -> str:
    """Return the code of a decline, from the intent's `last_payment_error`."""
    return str(error.get("decline_code") or error.get("code") or "declined")[:100]


def decline_reason(code: str) -> str:
    """Return the sentence for the customer."""
    return _SENTENCES.get(code, _DECLINED)


def attempt_of_charge(charge: Any) -> PaymentAttempt | None:
    """Translate a charge. Return None if it is not a valid one."""
    try:
        details, charge_id, status = charge["payment_method_details"], charge["id"], _STATUSES[charge["status"]]
        if _matching(_ID, charge_id) is None or (at := times.seconds(charge["created"])) is None:
            return None
        return PaymentAttempt(
            name=charge_id,
            charge_id=charge_id,
            status=status,
            amount=from_stripe(charge["amount"], currency(charge["currency"])),
            at=at,
            method=_method(charge.get("payment_method"), details),
            receipt_url=_receipt(charge.get("receipt_url")),
        )
    except (KeyError, TypeError, AttributeError, ValueError, MoneyError):
        return None


def attempt_of_intent(intent: dict[str, Any], *, at: int, event_id: str | None) -> PaymentAttempt | None:
    """Translate what an intent shows of its latest attempt: a decline with its method, or its charge if expanded.

    `event_id`: names a decline without a charge. A read of such a decline is no new attempt. Raise as the intent's amount.
    """
    error = intent.get("last_payment_error")
    if intent.get("status") != "requires_payment_method" or not isinstance(error, dict):
        return attempt_of_charge(times.expanded_charge(intent))
    charge_id = _matching(_ID, error.get("charge"))
    if (name := charge_id or event_id) is None:
        return None
    code, method = decline_code(error), error.get("payment_method")
    return PaymentAttempt(
        name=name,
        charge_id=charge_id,
        status=AttemptStatus.DECLINED,
        amount=from_stripe(intent["amount"], currency(intent["currency"])),
        at=times.seconds((times.expanded_charge(intent) or {}).get("created")) or at,
        method=_method(method.get("id"), method) if isinstance(method, dict) else UsedMethod(),
        code=code,
        reason=decline_reason(code),
    )


def method_id(subject: dict[str, Any]) -> str | None:
    """Return the id of the method of an intent or of an error."""
    method = subject.get("payment_method")
    return _matching(_ID, method.get("id") if isinstance(method, dict) else method)


def _method(name: object, details: Any) -> UsedMethod:
    """Translate a payment method, or the details of one in a charge: both name their type and have its fields below it."""
    kind = _matching(_WORD, details.get("type")) if isinstance(details, dict) else None
    fields = details.get(kind) if kind is not None else None
    fields = fields if isinstance(fields, dict) else {}
    wallet = fields.get("wallet")
    return UsedMethod(
        id=_matching(_ID, name),
        type=kind,
        brand=_matching(_WORD, fields.get("brand")),
        last4=_matching(_LAST4, fields.get("last4")),
        funding=_matching(_WORD, fields.get("funding")),
        country=_matching(_COUNTRY, fields.get("country")),
        wallet=_matching(_WORD, wallet.get("type")) if isinstance(wallet, dict) else None,
    )


def _receipt(url: object) -> str | None:
    found = _matching(_RECEIPT, url)
    return found if found is not None and clean(found) == found else None


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
