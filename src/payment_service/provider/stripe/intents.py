"""Translate a PaymentIntent into a fact. No I/O except logs (https://docs.stripe.com/api/payment_intents/object)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

from payment_service.domain.payment import Decline, IntentFact, Status
from payment_service.provider.port import Request
from payment_service.provider.stripe import times
from payment_service.provider.stripe.amounts import from_stripe
from payment_service.provider.stripe.api_versions import API_VERSION
from payment_service.provider.stripe.attempts import attempt_of_intent, decline_code, decline_reason, method_id
from payment_service.provider.stripe.ids import object_id
from payment_service.provider.stripe.unknown_values import report_unknown
from payment_service_events.currency import currency

INTENTS: Final = "/v1/payment_intents"
_STATUSES: Final = {
    "requires_payment_method": Status.PENDING,
    "requires_confirmation": Status.PENDING,
    "requires_action": Status.REQUIRES_ACTION,
    "processing": Status.PROCESSING,
    "requires_capture": Status.AUTHORIZED,
    "succeeded": Status.SUCCEEDED,
    "canceled": Status.CANCELED,
}
# An intent with a status that Stripe added later may hold money. While it is read as processing, nothing cancels it.
UNKNOWN_STATUS: Final = Status.PROCESSING


class MalformedIntent(ValueError):
    """The object is not a valid PaymentIntent."""


def intent_path(intent_id: str) -> str:
    """Return the path of an intent."""
    return f"{INTENTS}/{quote(intent_id, safe='')}"


def retrieve_intent(intent_id: str) -> Request:
    """Build the retrieval of an intent with its charge (https://docs.stripe.com/api/payment_intents/retrieve)."""
    path = f"{intent_path(intent_id)}?{urlencode({'expand[]': times.EXPANDED})}"
    return Request(method="GET", path=path, body="", api_version=API_VERSION)


def intent_fact(
    intent: dict[str, Any],
    *,
    at: int,
    source: str,
    from_event: bool,
    from_read: bool | None = None,
    unknown_status: Status | None = None,
) -> IntentFact:
    """Translate an intent. `at`: the provider's clock, seconds. Raise MalformedIntent.

    `times.py` says when it reached its status. If the objects do not show it, it is `at`: the time of the event, or of the
    call that did it. A fact `from_read` has no such time. By default, only events have.
    `unknown_status`: how to read a status that Stripe added later. Without it, the intent is malformed.
    """
    try:
        unit = currency(intent["currency"])
        status = _status(_text(intent["status"]), unknown_status)
        attempt = attempt_of_intent(intent, at=at, event_id=source if from_event else None)
        decline = _decline(intent) if intent["status"] == "requires_payment_method" else None
        status = Status.DECLINED if decline else status
        return IntentFact(
            intent_id=object_id(intent["id"]),
            status=status,
            at=at,
            source=source,
            from_event=from_event,
            amount=from_stripe(intent["amount"], unit),
            received=from_stripe(intent.get("amount_received", 0), unit),
            method=only_method(intent),
            decline=decline,
            cancellation=str(intent.get("cancellation_reason") or "")[:100],
            occurred_at=times.occurred_at(intent, status),
            from_read=not from_event if from_read is None else from_read,
            capture_before=times.capture_before(times.expanded_charge(intent)),
            method_id=method_id(intent),
            attempt=attempt,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"not a valid PaymentIntent: {type(error).__name__}"
        raise MalformedIntent(message) from None


def is_foreign(metadata: dict[str, Any], installation: str) -> bool:
    """Return whether an object of our deployment name belongs to another installation. Without an id, the object may be ours."""
    return bool(installation) and metadata.get("installation", installation) != installation


def _status(word: str, unknown: Status | None) -> Status:
    if word in _STATUSES:
        return _STATUSES[word]
    report_unknown("payment_intent.status", word)
    if unknown is None:
        raise ValueError
    return unknown


def only_method(intent: dict[str, Any]) -> str | None:
    """Return the payment method type if only one is offered."""
    types = intent.get("payment_method_types")
    return types[0] if isinstance(types, list) and len(types) == 1 and isinstance(types[0], str) else None


def _decline(intent: dict[str, Any]) -> Decline | None:
    error = intent.get("last_payment_error")
    if not isinstance(error, dict):
        return None
    code, charge = decline_code(error), error.get("charge")
    return Decline(
        code=code,
        reason=decline_reason(code),
        charge_id=charge if isinstance(charge, str) else None,
        method_id=method_id(error) or "",
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value
