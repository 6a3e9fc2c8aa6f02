"""Checks and responses that all requests for a change of a payment share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.contracts import api
from payment_service.db import operations, payment_reads, payments
from payment_service.flows.requests.idempotency import ChangeResult, key_mismatch
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.payment import Payment
    from payment_service.flows.state.fold import Fold

_KIND_LABELS: Final = {Kind.CAPTURE: "A capture", Kind.CANCEL: "A cancellation"}


async def lock_payment(connection: Connection, payment_id: UUID) -> Payment:
    """Lock and read a payment. Raise Refusal if it does not exist."""
    payment = await payments.lock_one(connection, payment_id)
    if payment is None:
        raise Refusal(RefusalReason.NOT_FOUND, "There is no payment with this id.")
    return payment


async def show_payment(connection: Connection, payment_id: UUID, fold: Fold | None = None) -> ChangeResult:
    """Return the payment as it is in this transaction, which has written `fold`."""
    row = await payment_reads.payment(connection, payment_id)
    return ChangeResult(api.Payment.model_validate(row).model_dump(mode="json"), fold=fold)


async def require_none_under_way(connection: Connection, payment: Payment, *kinds: Kind) -> None:
    """Raise Refusal while an operation of these kinds, about the payment's own intent, is unfinished."""
    for kind in await operations.unfinished_kinds(connection, payment.id, kinds):
        message = f"{_KIND_LABELS[kind]} of this payment is in progress: wait for its outcome."
        raise Refusal(RefusalReason.NOT_YET, message, retry_after_s=1)


async def require_none_parked(connection: Connection, payment: Payment) -> None:
    """Raise Refusal if a parked operation blocks the payment: a new one would wait behind it without a result."""
    kind = await operations.parked_kind(connection, payment.id)
    if kind is not None:
        await operations.finish_known(connection, [payment.id])
        kind = await operations.parked_kind(connection, payment.id)
    if kind is not None:
        message = f"The {kind} of this payment needs attention, and later operations wait for it: an operator must resolve it first."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)


async def require_not_being_read(connection: Connection, payment: Payment) -> None:
    """Raise Refusal while the payment is read at the provider: a refusal now would be by a row that may be out of date."""
    if await operations.is_being_read(connection, payment.id):
        message = "The payment is being read at the provider: send the request again in a second."
        raise Refusal(RefusalReason.NOT_YET, message, retry_after_s=1)


def require_same_request(known: str, now: str) -> None:
    """Raise Refusal if a key is reused for another request after its stored response expired."""
    if known != now:
        raise key_mismatch()
