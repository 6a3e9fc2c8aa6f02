"""The events of captured money: `payments.succeeded` once, and `payments.captured` for any other capture.

Amounts are sums, so a consumer that takes the latest one never counts money twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.domain.payment_event import PaymentEvent, utc
from payment_service_events.money import Money
from payment_service_events.published_events import Captured, Succeeded

if TYPE_CHECKING:
    from payment_service.domain.payment import Payment


def succeeded(payment: Payment, paid_at: int) -> Succeeded:
    """Return the data of a success. `payment.captured` is the sum of all captures."""
    return Succeeded(
        amount=payment.captured,
        amount_ordered=payment.amount,
        payment_date=utc(paid_at),
        payment_method=payment.method or "unknown",
        provider_id=payment.provider_payment_id or "",
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
