"""A new payment for an order whose last one ended unpaid: a row and its `create` operation, in one transaction.

It is a payment of its own, the order's next (`n`), with another id and another intent. Ends are for good, so nothing has to be
locked: of several that ask at once, the unique constraint lets one through (`payments_one_open_per_order`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from payment_service.db import operations, order_cancellations, payments
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
    """Takes requests for new payments. `expires_after`: how long one may stay unpaid where its provider does not say; 0: for ever."""

    def __init__(self, context: Context, *, expires_after: timedelta) -> None:
        self._context = context
        self._expires_after = expires_after

    async def open(self, order_id: str, change_request: ChangeRequest) -> ChangeResult:
        """Open the order's next payment, and give it as it is then. Raises Refusal."""

        async def work(connection: Connection) -> ChangeResult:
            last = await payments.last_of_order(connection, order_id)
            if last is None:
                raise Refusal(
                    RefusalReason.NOT_FOUND, "There is no payment for this order: its first comes with its record."
                )
            new = await payments.opened_by(connection, order_id, _cause(change_request))
            if new is None:
                await _require_ended_unpaid(connection, last)
                new = await self._open_after(connection, last, change_request)
            return replace(await show_payment(connection, new), about=new)

        answer = await change_once(self._context.pool, change_request, work)
        self._context.wake()
        return answer

    async def _open_after(self, connection: Connection, last: Payment, change_request: ChangeRequest) -> UUID:
        new = payment_id(self._context.deployment, last.order_id, last.attempt + 1)
        after = self._context.providers.expires_after(last.provider, self._expires_after)
        expires_at = self._context.now() + after if after else None
        method = await payments.open_next(connection, last.id, new, expires_at=expires_at)
        if method is None:
            raise Refusal(
                RefusalReason.NOT_ALLOWED,
                "Another payment of this order was opened at this moment: that one is to be paid.",
            )
        try:
            request = self._context.provider_of(last).create_request(
                payment_id=new, order_id=last.order_id, amount=last.amount, manual_capture=method == "manual"
            )
        except MoneyError as error:
            raise Refusal(RefusalReason.NOT_ALLOWED, f"The order's amount can't be charged: {error}") from None
        call = NewOperation(
            id=operation_id(new, Kind.CREATE, change_request.actor.client, change_request.key),
            payment_id=new,
            provider=last.provider,
            kind=Kind.CREATE,
            cause=_cause(change_request),
            request=request,
        )
        await operations.enqueue(connection, [call])
        return new


def _cause(change_request: ChangeRequest) -> str:
    """What the operation keeps for good, so that the same job, run again after its answer is forgotten, opens nothing more."""
    return f"{change_request.actor.client}:{change_request.key}"


async def _require_ended_unpaid(connection: Connection, last: Payment) -> None:
    """Raise Refusal, and say why, unless the order's last payment can have a next."""
    if last.status is Status.SUCCEEDED:
        raise Refusal(
            RefusalReason.NOT_ALLOWED, "The order is paid; what is to be paid anew needs an order of its own."
        )
    if last.status not in ENDED_UNPAID:
        message = f"The order's payment {last.id} is still open: it can be paid, or canceled."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    if await order_cancellations.is_canceled(connection, last.order_id):
        raise Refusal(
            RefusalReason.NOT_ALLOWED, "The order was cancelled: what is wanted anew needs an order of its own."
        )
    if await payments.has_unexpected_money(connection, last.order_id):
        message = "Money came for this order that nobody expected: a person must look before the customer pays again."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
