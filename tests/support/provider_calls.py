"""Calls to a provider, as the dispatcher makes them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from payment_service.provider.port import Call, Kind, Request
from payment_service.provider.stripe.adapter import Stripe
from payment_service_events.currency import currency
from payment_service_events.money import Money

PAYMENT = UUID("8d8b3c0e-6a4e-5b7c-9a51-0c5d5e1c8f00")


def call_of(kind: Kind, request: Request, *, refuse_late: Callable[[], None] = lambda: None) -> Call:
    """Return a call of the payment PAYMENT."""
    return Call(
        kind=kind,
        operation_id=UUID(int=1),
        payment_id=PAYMENT,
        request=request,
        idempotency_key=f"{kind}:1",
        source="answer:1",
        refuse_late=refuse_late,
    )


def create_call(provider: Stripe, *, refuse_late: Callable[[], None] = lambda: None) -> Call:
    """Return a call that creates an intent of 19.90 eur."""
    amount = Money(1990, currency("eur"))
    request = provider.create_request(payment_id=PAYMENT, order_id="o-1", amount=amount)
    return call_of(Kind.CREATE, request, refuse_late=refuse_late)
