"""What captures and cancellations have in common: at most one of them under way, and the payment for an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.contracts import api
from payment_service.db import operations, payment_reads
from payment_service.flows.change import Answered
from payment_service.flows.errors import Refusal, Why
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.payment import Payment

CREATED: Final = 201
_NAMES: Final = {Kind.CAPTURE: "A capture", Kind.CANCEL: "A cancellation"}


async def show_payment(connection: Connection, payment_id: UUID) -> Answered:
    """Answer with the payment as it is in this transaction."""
    row = await payment_reads.payment(connection, payment_id)
    return Answered(CREATED, api.Payment.model_validate(row).model_dump_json())


async def require_none_under_way(connection: Connection, payment: Payment, *kinds: Kind) -> None:
    """Raise Refusal while a call of one of these kinds, about the payment's own intent, is not finished."""
    for kind in await operations.under_way(connection, payment.id, kinds):
        message = f"{_NAMES[kind]} of this payment is under way: see what comes of it first."
        raise Refusal(Why.NOT_YET, message, retry_after_s=1)


def require_same_request(known: str, now: str) -> None:
    """Raise Refusal where a key that has asked for one thing, longer ago than answers are kept, now asks for another."""
    if known != now:
        message = "This Idempotency-Key was used for another request: use a new key for each change."
        raise Refusal(Why.KEY_MISMATCH, message)
