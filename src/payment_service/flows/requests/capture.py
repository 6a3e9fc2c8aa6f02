"""Capture all or a part of an authorized amount. The provider releases the rest.

Cards can be captured once, so a second capture is refused, here or by the provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db import operations, payments
from payment_service.db.operations import NewOperation
from payment_service.domain.ids import operation_id
from payment_service.domain.money import parse
from payment_service.domain.payment import Status
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
from payment_service.provider.port import Kind
from payment_service_events.money import MoneyError

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.payment import Payment
    from payment_service.flows.requests.idempotency import ChangeRequest
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold
    from payment_service.provider.port import Request
    from payment_service_events.money import Money


class Captures:
    """Capture authorized payments on request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def request(self, payment_id: UUID, amount: str | None, change_request: ChangeRequest) -> ChangeResult:
        """Request a capture, and return the payment. Raise Refusal."""

        async def work(connection: Connection) -> ChangeResult:
            payment = await lock_payment(connection, payment_id)
            name = operation_id(payment_id, Kind.CAPTURE, change_request.actor.client, change_request.key)
            known = await operations.request_of(connection, name)
            if known is None:
                fold = await self._capture(connection, payment, name, amount, change_request)
                return await show_payment(connection, payment_id, fold)
            require_same_request(known.body, self._request(payment, amount).body)
            return await show_payment(connection, payment_id)

        return await change_payments_once(self._context, change_request, work)

    async def _capture(
        self, connection: Connection, payment: Payment, name: UUID, amount: str | None, change_request: ChangeRequest
    ) -> Fold:
        captured = payment.status is not Status.AUTHORIZED
        if captured and not await self._is_lost_capture(connection, payment, amount):
            await require_not_being_read(connection, payment)
            raise _refusal(payment)
        request = self._request(payment, amount)
        if not captured:
            await require_none_parked(connection, payment)
            await require_none_under_way(connection, payment, Kind.CAPTURE, Kind.CANCEL)
        fold = self._context.fold({payment.id: payment})
        fold.enqueue(
            NewOperation(
                id=name,
                payment_id=payment.id,
                provider=payment.provider,
                kind=Kind.CAPTURE,
                cause=f"{change_request.actor.client}:{change_request.key}",
                request=request,
                look_first=captured,
            )
        )
        await fold.write(connection)
        return fold

    async def _is_lost_capture(self, connection: Connection, payment: Payment, amount: str | None) -> bool:
        """Return whether the provider has captured this amount, and no capture that is known here explains it.

        A restored backup may have lost the operation. The job that runs again then gets its first response, and the operation
        reads the intent instead of capturing it.
        """
        if payment.status is not Status.SUCCEEDED or payment.captured.minor == 0:
            return False
        if payment.captured != _amount(payment, amount) or not await payments.is_captured_manually(
            connection, payment.id
        ):
            return False
        return not await operations.explains(connection, payment.id, Kind.CAPTURE)

    def _request(self, payment: Payment, amount: str | None) -> Request:
        return self._context.provider_of(payment).capture_request(
            payment.provider_payment_id or "", _amount(payment, amount)
        )


def _amount(payment: Payment, text: str | None) -> Money:
    """Parse an amount, or return the authorized amount for None. Raise Refusal."""
    if text is None:
        return payment.amount
    try:
        amount = parse(text, payment.amount.currency)
    except MoneyError as error:
        raise Refusal(RefusalReason.INVALID, f"amount: {error}") from None
    if amount.minor == 0:
        raise Refusal(
            RefusalReason.INVALID, "amount: must be more than 0; cancel the payment to release the authorization."
        )
    if amount.minor > payment.amount.minor:
        raise Refusal(RefusalReason.INVALID, f"amount: at most {payment.amount} can be captured.")
    return amount


def _refusal(payment: Payment) -> Refusal:
    match payment.status:
        case Status.SUCCEEDED:
            return Refusal(RefusalReason.NOT_ALLOWED, "The payment is already captured: it can be captured only once.")
        case Status.CANCELED | Status.FAILED:
            return Refusal(RefusalReason.NOT_ALLOWED, "The payment has ended: its authorization is released.")
        case _:
            return Refusal(
                RefusalReason.NOT_ALLOWED, "The payment is not authorized yet: the customer has to pay first."
            )
