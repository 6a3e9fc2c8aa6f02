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


def read_intent(payment: Payment, after: Request, cause: str, provider: Provider) -> NewOperation:
    """Read the intent that a request was about, because `cause` left its state in doubt."""
    return _own(payment, Kind.RETRIEVE, cause, provider.lookup_request(after), provider)


def _own(payment: Payment, kind: Kind, cause: str, request: Request, provider: Provider) -> NewOperation:
    return NewOperation(
        id=operation_id(payment.id, kind, SYSTEM, cause),
        payment_id=payment.id,
        provider=provider.name,
        kind=kind,
        cause=cause,
        request=request,
    )
