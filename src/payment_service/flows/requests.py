"""Operations that our own flows ask for, under names that make asking twice the same as asking once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db.operations import NewOperation
from payment_service.domain.ids import operation_id
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from payment_service.domain.payment import Payment
    from payment_service.provider.port import Provider, Request

# The client under whose name the service's own triggers act.
SYSTEM: Final = "system"


def cancel_stray(payment: Payment, intent_id: str, provider: Provider) -> NewOperation:
    """Cancel an unpaid intent that bears our metadata and is not the payment's own."""
    return _own(payment, Kind.CANCEL, f"stray:{intent_id}", provider.cancel_request(intent_id), provider)


def read_after(payment: Payment, after: Request, cause: str, provider: Provider) -> NewOperation:
    """Read what a request was about, because `cause` left its state in doubt."""
    return _own(payment, Kind.RETRIEVE, cause, provider.lookup_request(after), provider)


def read_own_intent(payment: Payment, cause: str, provider: Provider) -> NewOperation | None:
    """Read the payment's own intent, because a fact builds on more than we know of it; None: it has none yet."""
    if payment.provider_payment_id is None:
        return None
    request = provider.retrieve_request(payment.provider_payment_id)
    return _own(payment, Kind.RETRIEVE, f"intent:{cause}", request, provider)


def read_refunds(payment: Payment, cause: str, provider: Provider) -> NewOperation | None:
    """Read all refunds of the payment's own intent."""
    if payment.provider_payment_id is None:
        return None
    request = provider.refunds_request(payment.provider_payment_id)
    return _own(payment, Kind.RETRIEVE, f"refunds:{cause}", request, provider)


def _own(payment: Payment, kind: Kind, cause: str, request: Request, provider: Provider) -> NewOperation:
    return NewOperation(
        id=operation_id(payment.id, kind, SYSTEM, cause),
        payment_id=payment.id,
        provider=provider.name,
        kind=kind,
        cause=cause,
        request=request,
    )
