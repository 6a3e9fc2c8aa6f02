"""The events of held and captured money: `payments.authorized`, `payments.succeeded` once, and `payments.captured` for any
other capture.

Amounts are sums, so a consumer that takes the latest one never counts money twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from payment_service.domain.payment_event import PaymentEvent, utc
from payment_service_events.money import Money
from payment_service_events.published_events import Authorized, Captured, Succeeded

if TYPE_CHECKING:
    from payment_service.domain.payment import Payment


def with_capture_before(payment: Payment, capture_before: int | None) -> Payment:
    """Set when the authorization ends. An extension is later, so the latest time wins in every order of facts."""
    if capture_before is None:
        return payment
    return replace(payment, capture_before=max(capture_before, payment.capture_before or 0))


def authorized(payment: Payment) -> Authorized:
    """Return the data of an authorization."""
    return Authorized(
        amount=payment.amount,
        payment_method=payment.method or "unknown",
        provider_id=payment.provider_payment_id or "",
        capture_before=utc(payment.capture_before) if payment.capture_before is not None else None,
        payment_method_id=payment.method_id or "",
    )


def succeeded(payment: Payment, paid_at: int) -> Succeeded:
    """Return the data of a success. `payment.captured` is the sum of all captures."""
    return Succeeded(
        amount=payment.captured,
        amount_ordered=payment.amount,
        payment_date=utc(paid_at),
        payment_method=payment.method or "unknown",
        provider_id=payment.provider_payment_id or "",
        payment_method_id=payment.method_id or "",
    )


def captured_event(was: Payment, now: Payment) -> PaymentEvent:
    """Return the event of a capture in addition to those that were published. The new sum identifies it."""
    part = Money(now.captured.minor - was.captured.minor, now.captured.currency)
    captured = Captured(
        amount=part,
        amount_captured=now.captured,
        amount_ordered=now.amount,
        provider_id=now.provider_payment_id or "",
    )
    return PaymentEvent(f"{now.provider_payment_id}:captured:{now.captured.minor}", captured)
