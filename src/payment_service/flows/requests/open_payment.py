"""Open another payment for an order whose last one ended unpaid: a row and its `create` operation, in one transaction.

It is the order's next attempt, with its own id and intent. Final statuses never change, so no lock is needed. The
unique constraint `payments_one_open_per_order` lets one of several concurrent requests through.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from payment_service.db import operations, order_cancellations, payments, recovery
from payment_service.db.operations import NewOperation
from payment_service.domain.ids import operation_id, payment_id
from payment_service.domain.payment import Status
from payment_service.flows.requests.checks import show_payment
from payment_service.flows.requests.idempotency import change_once
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.provider.port import Kind
from payment_service_events.money import MoneyError

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.payment import Payment
    from payment_service.flows.requests.idempotency import ChangeRequest, ChangeResult
    from payment_service.flows.state.context import Context

ENDED_UNPAID: Final = frozenset({Status.CANCELED, Status.FAILED})


class Payments:
    """Open payments on request. `expires_after`: used if the provider sets no expiry of its own; 0 means never."""

    def __init__(self, context: Context, *, expires_after: timedelta) -> None:
        self._context = context
        self._expires_after = expires_after

    async def open(self, order_id: str, change_request: ChangeRequest) -> ChangeResult:
        """Open the order's next payment, and return it. Raise Refusal."""

        async def work(connection: Connection) -> ChangeResult:
            last = await payments.last_of_order(connection, order_id)
            if last is None:
                raise Refusal(
                    RefusalReason.NOT_FOUND,
                    "No payment exists for this order: its record creates the first one.",
                )
            new = await payments.opened_by(connection, order_id, _cause(change_request))
            if new is None:
                await _require_ended_unpaid(connection, last)
                new = await self._open_after(connection, last, change_request)
            return replace(await show_payment(connection, new), about=new)

        result = await change_once(self._context.pool, change_request, work)
        self._context.wake()
        return result

    async def _open_after(self, connection: Connection, last: Payment, change_request: ChangeRequest) -> UUID:
        new = payment_id(self._context.deployment, last.order_id, last.attempt + 1)
        after = self._context.providers.expires_after(last.provider, self._expires_after)
        expires_at = await self._context.database_now(connection) + after if after else None
        method = await payments.open_next(connection, last.id, new, expires_at=expires_at)
        if method is None:
            raise Refusal(
                RefusalReason.NOT_ALLOWED,
                "Another payment of this order was opened at the same time: use that one.",
            )
        try:
            request = self._context.provider_of(last).create_request(
                payment_id=new,
                order_id=last.order_id,
                amount=last.amount,
                manual_capture=method == "manual",
                metadata=last.metadata,
            )
        except MoneyError as error:
            raise Refusal(RefusalReason.NOT_ALLOWED, f"The order's amount cannot be charged: {error}") from None
        # The database may be a restored backup that lost this attempt, and the provider forgets keys after a day.
        restored_to = await recovery.restored_to(connection)
        call = NewOperation(
            id=operation_id(new, Kind.CREATE, change_request.actor.client, change_request.key),
            payment_id=new,
            provider=last.provider,
            kind=Kind.CREATE,
            cause=_cause(change_request),
            request=request,
            look_first=restored_to is not None,
            made_since=restored_to,
        )
        await operations.enqueue(connection, [call])
        return new


def _cause(change_request: ChangeRequest) -> str:
    """Return the operation's permanent cause: a job repeated after its stored response expired opens no second payment."""
    return f"{change_request.actor.client}:{change_request.key}"


async def _require_ended_unpaid(connection: Connection, last: Payment) -> None:
    """Raise Refusal, with the reason, unless the order's last payment may have a successor."""
    if last.status is Status.SUCCEEDED:
        raise Refusal(RefusalReason.NOT_ALLOWED, "The order is already paid: create a new order for a new payment.")
    if last.status not in ENDED_UNPAID:
        message = f"The order's payment {last.id} is still open: let the customer pay it, or cancel it."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    if await order_cancellations.is_canceled(connection, last.order_id):
        raise Refusal(RefusalReason.NOT_ALLOWED, "The order was canceled: create a new order for a new payment.")
    if await payments.has_unexpected_money(connection, last.order_id):
        message = "Unexpected money arrived for this order: an operator must look at it before the customer pays again."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
