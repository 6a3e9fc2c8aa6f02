"""When an intent reached its status, by Stripe's clock, from the objects alone. Pure.

A response has the time of the call, not of the payment. So the times come from the object, and the same payment has the same
time in a read, a list and an event:

- paid by card, captured at once: the charge's `created`. Exact in a read, a list and `charge.succeeded`.
  `payment_intent.succeeded` names the charge only, so its own `created` counts, which is within seconds of it.
- captured later, or paid by a bank: the `created` of the charge's balance transaction. Stripe makes it with the capture, so it
  is within seconds of the event. The response to our own capture has no charge: its time is that of the call, within seconds.
  With asynchronous capture the balance transaction is null at first. The charge is as old as the authorization, so the time is
  unknown, and that of the event or the read counts.
- canceled: the intent's `canceled_at`, exact everywhere. Authorized: the charge's `created`.

Sources: https://docs.stripe.com/api/charges/object, https://docs.stripe.com/api/balance_transactions/object,
https://docs.stripe.com/api/payment_intents/object#payment_intent_object-canceled_at,
https://docs.stripe.com/payments/payment-intents/asynchronous-capture.
"""

from __future__ import annotations

from typing import Any, Final

from payment_service.domain.payment import Status

# The objects to expand in a read: the charge, and the balance transaction in it (https://docs.stripe.com/expand).
EXPANDED: Final = "latest_charge.balance_transaction"
_CARD: Final = "card"
# 2286-11-20, the last time of ten digits: Stripe cannot mean a later one, and PostgreSQL could not store any.
_LAST: Final = 9_999_999_999


def occurred_at(intent: dict[str, Any], status: Status) -> int | None:
    """Return when the intent reached `status`, or None if the objects do not show it."""
    charge = expanded_charge(intent)
    match status:
        case Status.CANCELED:
            return seconds(intent.get("canceled_at"))
        case Status.SUCCEEDED if charge is not None:
            return captured_at(charge, captured_at_once=intent.get("capture_method") != "manual")
        case Status.AUTHORIZED | Status.PROCESSING | Status.DECLINED if charge is not None:
            return seconds(charge.get("created"))
        case Status.PENDING if charge is None:
            return seconds(intent.get("created"))
        case _:
            return None


def captured_at(charge: dict[str, Any], *, captured_at_once: bool) -> int | None:
    """Return when a successful charge was captured, or None if it does not show this."""
    if captured_at_once and method_of(charge) == _CARD:
        return seconds(charge.get("created"))
    transaction = charge.get("balance_transaction")
    return seconds(transaction.get("created")) if isinstance(transaction, dict) else None


def capture_before(charge: dict[str, Any] | None) -> int | None:
    """Return when the authorization of a card ends (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method)."""
    details = (charge or {}).get("payment_method_details")
    card = details.get(_CARD) if isinstance(details, dict) else None
    return seconds(card.get("capture_before")) if isinstance(card, dict) else None


def expanded_charge(intent: dict[str, Any]) -> dict[str, Any] | None:
    """Return the intent's latest charge if the response contains it, not only its id."""
    charge = intent.get("latest_charge")
    return charge if isinstance(charge, dict) else None


def method_of(charge: dict[str, Any]) -> object:
    """Return the type of the charge's payment method."""
    details = charge.get("payment_method_details")
    return details.get("type") if isinstance(details, dict) else None


def seconds(value: object) -> int | None:
    """Return a time in seconds since 1970, or None for anything else."""
    return value if type(value) is int and 0 < value <= _LAST else None
