"""A refund that is asked of us: a row and an operation first, in one transaction, under the payment's lock.

The amount is reserved there, so that refunds asked for at the same time never exceed what was captured. The refund bears the
id of its operation, which is made of payment, client and key: the same job, run again after the kept answer is forgotten and
with another API key of the same client, finds the refund that it asked for. Before it is sent the provider is asked whether it has it
already, so that this holds even where a restored backup has lost the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payment_service.contracts.api import Refund
from payment_service.db import refund_reads, refunds
from payment_service.db.operations import NewOperation
from payment_service.db.refunds import TAKEN_IN, Asked
from payment_service.domain.ids import operation_id
from payment_service.domain.money import parse
from payment_service.domain.refund import NotRefundable, RefundRequested
from payment_service.flows.asked import lock_payment, require_same_request
from payment_service.flows.change import Answered, change_payments_once, require_same
from payment_service.flows.errors import Refusal, Why
from payment_service.provider.port import Kind
from payment_service_events.currency import currency
from payment_service_events.money import MoneyError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.payment import Payment
    from payment_service.domain.refund import Refund as MadeRefund
    from payment_service.flows.change import Asking
    from payment_service.flows.surroundings import Surroundings
    from payment_service.flows.transition import Fold
    from payment_service_events.currency import Currency
    from payment_service_events.money import Money

CREATED: Final = 201


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be refunded. `amount`: decimal text, None for all that is left; `metadata` is kept with the refund."""

    amount: str | None
    reason: str
    metadata: Mapping[str, str]


class Refunds:
    """Takes requests for refunds."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._here = surroundings

    async def request(self, payment_id: UUID, wanted: Wanted, asking: Asking) -> Answered:
        """Ask for a refund, and give it as it is then. Raises Refusal."""

        async def work(connection: Connection) -> Answered:
            refund_id = operation_id(payment_id, Kind.REFUND, asking.actor.client, asking.key)
            fold = None
            fingerprint = await refunds.fingerprint_of(connection, refund_id)
            if fingerprint is None:
                fold = await self._reserve(connection, payment_id, refund_id, wanted, asking)
            elif fingerprint != TAKEN_IN:
                require_same(fingerprint, asking)
            refund = Refund.model_validate(await refund_reads.refund(connection, refund_id))
            if fingerprint == TAKEN_IN and wanted.amount is not None:
                # All that is known of what was asked: the provider told of it, after its row was lost.
                require_same_request(refund.amount, _amount(currency(refund.currency), wanted.amount).decimal_text)
            return Answered(CREATED, refund.model_dump_json(), fold=fold)

        return await change_payments_once(self._here, asking, work)

    async def _reserve(
        self, connection: Connection, payment_id: UUID, refund_id: UUID, wanted: Wanted, asking: Asking
    ) -> Fold:
        payment = await lock_payment(connection, payment_id)
        fold = self._here.fold({payment_id: payment})
        await fold.load(connection, [payment_id])
        asked = Asked(
            client=asking.actor.client,
            idempotency_key=asking.key,
            fingerprint=asking.fingerprint,
            metadata=wanted.metadata,
        )
        amount = _amount(payment.amount.currency, wanted.amount) if wanted.amount is not None else None
        if (refused := reserve(self._here, fold, payment_id, refund_id, amount, wanted.reason, asked)) is not None:
            raise _refusal(refused)
        await fold.write(connection)
        return fold


def reserve(
    here: Surroundings, fold: Fold, payment_id: UUID, refund_id: UUID, amount: Money | None, reason: str, asked: Asked
) -> NotRefundable | None:
    """Reserve a refund of a payment whose children are loaded, and queue its call; or say why not. Raises Refusal."""
    fact = RefundRequested(
        refund_id=refund_id,
        amount=amount,
        reason=reason,
        disputed=fold.disputed(payment_id),
        at=int(here.now().timestamp()),
    )
    verdict = fold.take(payment_id, fact)
    if isinstance(verdict, NotRefundable):
        return verdict
    fold.name_asker(refund_id, asked)
    fold.enqueue(_operation(here, fold.payment(payment_id), fold.refund(payment_id, refund_id), asked))
    return None


def _operation(here: Surroundings, payment: Payment, refund: MadeRefund, asked: Asked) -> NewOperation:
    try:
        request = here.provider_of(payment).refund_request(
            payment.provider_payment_id or "",
            refund_id=refund.id,
            payment_id=payment.id,
            amount=refund.amount,
            reason=refund.reason,
        )
    except MoneyError as error:
        raise Refusal(Why.INVALID, f"amount: {error}") from None
    return NewOperation(
        id=refund.id,
        payment_id=payment.id,
        provider=payment.provider,
        kind=Kind.REFUND,
        cause=f"{asked.client}:{asked.idempotency_key}",
        request=request,
        look_first=True,
    )


def _amount(unit: Currency, text: str) -> Money:
    """Read an amount. Raises Refusal."""
    try:
        amount = parse(text, unit)
    except MoneyError as error:
        raise Refusal(Why.INVALID, f"amount: {error}") from None
    if amount.minor == 0:
        raise Refusal(Why.INVALID, "amount: must be more than 0; leave it out to refund all that is left.")
    return amount


def _refusal(verdict: NotRefundable) -> Refusal:
    match verdict.code:
        case "more_than_remains":
            return Refusal(Why.INVALID, f"amount: at most {verdict.remaining} can still be refunded.")
        case "nothing_left":
            return Refusal(Why.NOT_ALLOWED, "Nothing is left to refund: all is refunded, or asked to be.")
        case "disputed":
            return Refusal(
                Why.NOT_ALLOWED, "The customer's bank has taken the money back: a refund would pay it twice."
            )
        case _:
            return Refusal(
                Why.NOT_ALLOWED, "Nothing was captured, so nothing can be refunded; cancel the payment instead."
            )
