"""Cancel an unpaid payment, for a client, the clock or a canceled order.

A cancel is queued behind the operations under way, and the payment is canceled when the provider confirms it. If the
customer paid first, the payment stays paid. A create that was never sent is withdrawn: it ends without an intent if the
provider has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payment_service.db import operations, payments
from payment_service.db.operations import NewOperation
from payment_service.domain.ids import operation_id
from payment_service.domain.payment import CANCELABLE, Status
from payment_service.domain.unpaid import unpaid_outcome
from payment_service.flows.requests.checks import (
    lock_payment,
    require_none_parked,
    require_none_under_way,
    require_not_being_read,
    require_same_request,
    show_payment,
)
from payment_service.flows.requests.idempotency import ChangeResult, change_payments_once
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.provider.port import OWN_INTENT, Kind

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.payment import Payment
    from payment_service.flows.requests.idempotency import ChangeRequest
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold
    from payment_service.provider.port import Request

# Reasons that Stripe accepts (https://docs.stripe.com/api/payment_intents/cancel).
_PROVIDER_REASONS: Final = frozenset({"abandoned", "duplicate", "fraudulent", "requested_by_customer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """A request to cancel, identified by a client and its key. `reason`: a word of `domain/unpaid.py`, or empty."""

    client: str
    key: str
    reason: str

    def operation_id(self, payment_id: UUID) -> UUID:
        """Return the id of the cancel operation."""
        return operation_id(payment_id, Kind.CANCEL, self.client, self.key)


async def cancel(
    connection: Connection,
    context: Context,
    fold: Fold,
    payment_id: UUID,
    request: CancelRequest,
    *,
    look_first: bool = False,
) -> None:
    """Enqueue a cancel of a locked, open payment, and withdraw its create if that was never sent.

    `look_first`: read the intent, and send nothing if it is canceled.
    """
    payment = fold.payment(payment_id)
    if payment.provider_payment_id is None:
        await operations.withdraw_create(connection, payment_id, request.reason)
    operation = NewOperation(
        id=request.operation_id(payment_id),
        payment_id=payment_id,
        provider=payment.provider,
        kind=Kind.CANCEL,
        cause=f"{request.client}:{request.key}",
        request=build_request(context, payment, request),
        look_first=look_first,
    )
    fold.enqueue(operation)


def build_request(context: Context, payment: Payment, request: CancelRequest) -> Request:
    """Build the provider's request. If the intent does not exist yet, the dispatcher fills in its id."""
    return context.provider_of(payment).cancel_request(payment.provider_payment_id or OWN_INTENT, reason=request.reason)


class Cancellations:
    """Cancel payments on request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def request(self, payment_id: UUID, reason: str, change_request: ChangeRequest) -> ChangeResult:
        """Request the cancellation of an unpaid payment, and return the payment. Raise Refusal."""
        provider_reason = reason if reason in _PROVIDER_REASONS else ""
        request = CancelRequest(client=change_request.actor.client, key=change_request.key, reason=provider_reason)

        async def work(connection: Connection) -> ChangeResult:
            payment = await lock_payment(connection, payment_id)
            known = await operations.request_of(connection, request.operation_id(payment_id))
            if known is None:
                return await show_payment(connection, payment_id, await self._cancel(connection, payment, request))
            require_same_request(known.body, build_request(self._context, payment, request).body)
            return await show_payment(connection, payment_id)

        return await change_payments_once(self._context, change_request, work)

    async def _cancel(self, connection: Connection, payment: Payment, request: CancelRequest) -> Fold:
        lost = payment.status not in CANCELABLE
        if lost and not await _is_lost_cancel(connection, payment, request):
            await require_not_being_read(connection, payment)
            raise _refusal(payment)
        if not lost:
            await require_none_parked(connection, payment)
            await require_none_under_way(connection, payment, Kind.CANCEL, Kind.CAPTURE)
        fold = self._context.fold({payment.id: payment})
        await cancel(connection, self._context, fold, payment.id, request, look_first=lost)
        await fold.write(connection)
        return fold


async def _is_lost_cancel(connection: Connection, payment: Payment, request: CancelRequest) -> bool:
    """Return whether the intent was canceled for this reason, and no cancel that is known here explains it.

    A restored backup may have lost the operation. The job that runs again then gets its first response, and the operation
    reads the intent instead of canceling it.
    """
    if payment.status is not Status.CANCELED or payment.provider_payment_id is None:
        return False
    if await operations.explains(connection, payment.id, Kind.CANCEL):
        return False
    code = await payments.unpaid_code(connection, payment.id)
    return code is None or code == unpaid_outcome(request.reason, authorized=False)[0]


def _refusal(payment: Payment) -> Refusal:
    match payment.status:
        case Status.SUCCEEDED if payment.captured.minor == 0:
            return Refusal(RefusalReason.NOT_ALLOWED, "The order was free: there is nothing to cancel.")
        case Status.SUCCEEDED:
            return Refusal(RefusalReason.NOT_ALLOWED, "The payment is already paid: refund it instead.")
        case Status.PROCESSING:
            return Refusal(
                RefusalReason.NOT_ALLOWED,
                "The bank is processing the payment: wait for the result, and refund it if it succeeds.",
            )
        case _:
            return Refusal(RefusalReason.NOT_ALLOWED, f"The payment has ended unpaid already: it is {payment.status}.")
