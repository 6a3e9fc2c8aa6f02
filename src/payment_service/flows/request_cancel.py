"""A cancellation that is asked of us: what is held is released, and nobody can pay any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payment_service.db import operations
from payment_service.domain.payment import CANCELABLE, Status
from payment_service.flows.asked import lock_payment, require_none_under_way, require_same_request, show_payment
from payment_service.flows.cancel import Cancel, cancel, cancel_request
from payment_service.flows.change import Answered, change_payments_once
from payment_service.flows.errors import Refusal, Why
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.payment import Payment
    from payment_service.flows.change import Asking
    from payment_service.flows.surroundings import Surroundings
    from payment_service.flows.transition import Fold

# What may be told to the provider of a caller's reason (https://docs.stripe.com/api/payment_intents/cancel).
_TOLD: Final = frozenset({"abandoned", "duplicate", "fraudulent", "requested_by_customer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Why a payment is to be canceled: for people; the provider's own words are told to it."""

    reason: str


class Cancellations:
    """Takes requests to cancel payments."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._here = surroundings

    async def request(self, payment_id: UUID, wanted: Wanted, asking: Asking) -> Answered:
        """Ask for the end of an unpaid payment, and give the payment as it is then. Raises Refusal."""
        why = wanted.reason if wanted.reason in _TOLD else ""
        wish = Cancel(client=asking.actor.client, key=asking.key, why=why)

        async def work(connection: Connection) -> Answered:
            payment = await lock_payment(connection, payment_id)
            known = await operations.request_of(connection, wish.operation_id(payment_id))
            if known is None:
                return await show_payment(connection, payment_id, await self._cancel(connection, payment, wish))
            require_same_request(known.body, cancel_request(self._here, payment, wish).body)
            return await show_payment(connection, payment_id)

        return await change_payments_once(self._here, asking, work)

    async def _cancel(self, connection: Connection, payment: Payment, wish: Cancel) -> Fold:
        if payment.status not in CANCELABLE:
            raise _refusal(payment)
        await require_none_under_way(connection, payment, Kind.CANCEL, Kind.CAPTURE)
        fold = self._here.fold({payment.id: payment})
        await cancel(connection, self._here, fold, payment.id, wish)
        await fold.write(connection)
        return fold


def _refusal(payment: Payment) -> Refusal:
    match payment.status:
        case Status.SUCCEEDED if payment.captured.minor == 0:
            return Refusal(Why.NOT_ALLOWED, "The order cost nothing: there is nothing to cancel.")
        case Status.SUCCEEDED:
            return Refusal(Why.NOT_ALLOWED, "The payment was paid: refund it instead.")
        case Status.PROCESSING:
            return Refusal(
                Why.NOT_ALLOWED, "The bank is working on the payment: wait for its end, and refund it if it was paid."
            )
        case _:
            return Refusal(Why.NOT_ALLOWED, f"The payment has ended unpaid already: it is {payment.status}.")
