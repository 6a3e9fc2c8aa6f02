"""Canceling a payment, whoever wants it: a caller, the clock, or an order that was cancelled.

A create that the provider has never heard of is taken back without a call. Otherwise a cancel queues behind whatever is under
way, and the payment is canceled when the provider says so: who was first there has won.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.db import operations
from payment_service.db.operations import NewOperation
from payment_service.domain.ids import operation_id
from payment_service.domain.payment import WithdrawnFact
from payment_service.provider.port import OWN_INTENT, Kind

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.payment import Payment
    from payment_service.flows.surroundings import Surroundings
    from payment_service.flows.transition import Fold
    from payment_service.provider.port import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """A wish, named by who has it and their key for it. `why`: a word of `domain/unpaid.py`, or empty."""

    client: str
    key: str
    why: str

    def operation_id(self, payment_id: UUID) -> UUID:
        """The call that this wish may come to."""
        return operation_id(payment_id, Kind.CANCEL, self.client, self.key)


async def cancel(
    connection: Connection, here: Surroundings, fold: Fold, payment_id: UUID, wish: Cancel
) -> NewOperation | None:
    """Take back the create of a payment that is held and open, or queue a cancel, which is returned."""
    payment = fold.payment(payment_id)
    if payment.provider_payment_id is None and await operations.withdraw_create(connection, payment_id, wish.why):
        fold.take(payment_id, WithdrawnFact(code=wish.why, at=int(here.now().timestamp()), source="withdrawn"))
        return None
    operation = NewOperation(
        id=wish.operation_id(payment_id),
        payment_id=payment_id,
        provider=payment.provider,
        kind=Kind.CANCEL,
        cause=f"{wish.client}:{wish.key}",
        request=cancel_request(here, payment, wish),
    )
    fold.enqueue(operation)
    return operation


def cancel_request(here: Surroundings, payment: Payment, wish: Cancel) -> Request:
    """Word the call. Of an intent that is still being made only the payment is known: the dispatcher names it."""
    return here.provider_of(payment).cancel_request(payment.provider_payment_id or OWN_INTENT, why=wish.why)
