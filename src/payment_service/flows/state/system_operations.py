"""Build system-initiated operations. Their ids come from their causes, so a repeated request has no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db.operations import NewOperation
from payment_service.domain.ids import operation_id
from payment_service.provider.port import DisputeReads, Kind

if TYPE_CHECKING:
    from payment_service.db.polls import Poll
    from payment_service.domain.payment import Payment
    from payment_service.provider.port import Request
    from payment_service.provider.providers import Providers

# The client name of system-initiated operations.
SYSTEM: Final = "system"
# Key prefix of the cancels that the clock requests. They cancel nothing that a customer has authorized.
EXPIRED: Final = "expired"
# Key prefix of the cancels and refunds that a canceled order requests.
ORDER_CANCELLED_KEY: Final = "order_cancelled"
# Cause of the reads that the clock requests.
POLL: Final = "poll"
# Cause of the cancels of intents that are not a payment's own.
STRAY: Final = "stray"


def cancel_stray(payment: Payment, intent_id: str, providers: Providers) -> NewOperation:
    """Cancel an unpaid intent that carries our metadata and is not the payment's own."""
    return _operation(
        payment, Kind.CANCEL, f"{STRAY}:{intent_id}", providers.named(payment.provider).cancel_request(intent_id)
    )


def read_after(payment: Payment, after: Request, cause: str, providers: Providers) -> NewOperation:
    """Read the object of a request whose state `cause` left in doubt."""
    return _operation(payment, Kind.RETRIEVE, cause, providers.named(payment.provider).lookup_request(after))


def read_object(payment: Payment, request: Request, cause: str) -> NewOperation:
    """Read an object of the payment again, because an event about it was not rendered in our version."""
    return _operation(payment, Kind.RETRIEVE, f"again:{cause}", request)


def read_own_intent(payment: Payment, cause: str, providers: Providers) -> NewOperation | None:
    """Read the payment's own intent, because a fact depends on unknown state. Return None if it has no intent."""
    if payment.provider_payment_id is None:
        return None
    return read_intent(payment, payment.provider_payment_id, cause, providers)


def read_intent(payment: Payment, intent_id: str, cause: str, providers: Providers) -> NewOperation:
    """Read an intent of the payment."""
    request = providers.named(payment.provider).retrieve_request(intent_id)
    return _operation(payment, Kind.RETRIEVE, f"intent:{cause}", request)


def read_refunds(payment: Payment, cause: str, providers: Providers) -> NewOperation | None:
    """Read all refunds of the payment's own intent. Return None if it has no intent."""
    if payment.provider_payment_id is None:
        return None
    request = providers.named(payment.provider).refunds_request(payment.provider_payment_id)
    return _operation(payment, Kind.RETRIEVE, f"refunds:{cause}", request)


def reads_of_poll(poll: Poll, providers: Providers) -> list[NewOperation]:
    """Read what is open of a payment. Each read of a payment is one operation, which every poll makes due again."""
    provider, intent_id = providers.named(poll.provider), poll.provider_payment_id
    if intent_id is None:
        return []
    requests = {
        "intent": provider.retrieve_request(intent_id) if not poll.status.ended else None,
        "refunds": provider.refunds_request(intent_id) if poll.refunds_pending else None,
        "disputes": provider.disputes_request(intent_id)
        if poll.disputed and isinstance(provider, DisputeReads)
        else None,
    }
    return [
        _operation(poll, Kind.RETRIEVE, f"{name}:{POLL}", request)
        for name, request in requests.items()
        if request is not None
    ]


def _operation(payment: Payment | Poll, kind: Kind, cause: str, request: Request) -> NewOperation:
    return NewOperation(
        id=operation_id(payment.id, kind, SYSTEM, cause),
        payment_id=payment.id,
        provider=payment.provider,
        kind=kind,
        cause=cause,
        request=request,
    )
