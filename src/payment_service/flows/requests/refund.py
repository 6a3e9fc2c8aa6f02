"""Refund a payment: reserve the amount and enqueue the operation, in one transaction under the payment's lock.

The reservation ensures that concurrent refunds never exceed the captured amount.

A refund has the id of its operation, which is derived from payment, client and key. A job that runs again after its
stored response expired, or with another API key of the same client, finds its first refund. The provider is asked for
the refund before it is sent, so this holds even if a restored backup lost the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.contracts.api import Refund
from payment_service.db import refund_reads, refunds
from payment_service.db.operations import NewOperation
from payment_service.db.refunds import NO_FINGERPRINT, Requester
from payment_service.domain.ids import operation_id
from payment_service.domain.money import parse
from payment_service.domain.refund import NotRefundable, RefundRequested
from payment_service.flows.requests.checks import (
    lock_payment,
    require_none_parked,
    require_not_being_read,
    require_same_request,
)
from payment_service.flows.requests.idempotency import ChangeResult, change_payments_once, require_same
from payment_service.flows.requests.refund_limits import NeedsApproval, require_within_limits
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.provider.port import Kind
from payment_service_events.currency import currency
from payment_service_events.money import Money, MoneyError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.payment import Payment
    from payment_service.domain.refund import Refund as MadeRefund
    from payment_service.flows.requests.idempotency import ChangeRequest
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold
    from payment_service_events.currency import Currency


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundTerms:
    """The refund to make. `amount`: decimal text, or None for the remaining amount. `metadata` is stored with it.

    `limit_minor`: the largest total of the payment's refunds, in minor units, that the requester may make alone.
    """

    amount: str | None
    reason: str
    metadata: Mapping[str, str]
    limit_minor: int | None = None


class Refunds:
    """Refund payments on request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def request(self, payment_id: UUID, terms: RefundTerms, change_request: ChangeRequest) -> ChangeResult:
        """Request a refund, and return it. Raise Refusal, NeedsApproval."""

        async def work(connection: Connection) -> ChangeResult:
            return await self.make(connection, payment_id, terms, change_request)

        return await change_payments_once(self._context, change_request, work)

    async def make(
        self, connection: Connection, payment_id: UUID, terms: RefundTerms, change_request: ChangeRequest
    ) -> ChangeResult:
        """Make the refund in the caller's transaction. Raise Refusal, NeedsApproval."""
        refund_id = operation_id(payment_id, Kind.REFUND, change_request.actor.client, change_request.key)
        fold = None
        fingerprint = await refunds.fingerprint_of(connection, refund_id)
        if fingerprint is None:
            fold = await self._reserve(connection, payment_id, refund_id, terms, change_request)
        elif fingerprint != NO_FINGERPRINT:
            require_same(fingerprint, change_request)
        refund = Refund.model_validate(await refund_reads.refund(connection, refund_id))
        if fingerprint == NO_FINGERPRINT and terms.amount is not None:
            # The row was lost and the provider returned the refund, so only its amount can be compared.
            require_same_request(refund.amount, _amount(currency(refund.currency), terms.amount).decimal_text)
        return ChangeResult(refund.model_dump(mode="json"), fold=fold)

    async def _reserve(
        self,
        connection: Connection,
        payment_id: UUID,
        refund_id: UUID,
        terms: RefundTerms,
        change_request: ChangeRequest,
    ) -> Fold:
        payment = await lock_payment(connection, payment_id)
        await require_none_parked(connection, payment)
        fold = self._context.fold({payment_id: payment})
        await fold.load(connection, [payment_id])
        requester = Requester(
            client=change_request.actor.client,
            idempotency_key=change_request.key,
            fingerprint=change_request.fingerprint,
            metadata=terms.metadata,
        )
        amount = _amount(payment.amount.currency, terms.amount) if terms.amount is not None else None
        if (
            refused := reserve(self._context, fold, payment_id, refund_id, amount, terms.reason, requester)
        ) is not None:
            await require_not_being_read(connection, payment)
            raise _refusal(refused)
        _require_within_limit(fold, payment_id, refund_id, terms)
        await require_within_limits(connection, change_request.actor, fold.refund(payment_id, refund_id).amount)
        await fold.write(connection)
        return fold


def _require_within_limit(fold: Fold, payment_id: UUID, refund_id: UUID, terms: RefundTerms) -> None:
    """Raise NeedsApproval if the total of the payment's refunds, finished or not, exceeds the requester's limit."""
    payment = fold.payment(payment_id)
    if terms.limit_minor is not None and payment.refunded.minor + payment.reserved.minor > terms.limit_minor:
        limit = Money(terms.limit_minor, payment.amount.currency)
        message = f"This payment's refunds would exceed {limit}, which you may make alone"
        raise NeedsApproval(message, fold.refund(payment_id, refund_id).amount)


def reserve(
    context: Context,
    fold: Fold,
    payment_id: UUID,
    refund_id: UUID,
    amount: Money | None,
    reason: str,
    requester: Requester,
) -> NotRefundable | None:
    """Reserve a refund of a loaded payment and enqueue its call, or return why not. Raise Refusal."""
    fact = RefundRequested(
        refund_id=refund_id,
        amount=amount,
        reason=reason,
        disputed=fold.is_disputed(payment_id),
        at=int(context.now().timestamp()),
    )
    verdict = fold.take(payment_id, fact)
    if isinstance(verdict, NotRefundable):
        return verdict
    fold.set_requester(refund_id, requester)
    fold.enqueue(_operation(context, fold.payment(payment_id), fold.refund(payment_id, refund_id), requester))
    return None


def _operation(context: Context, payment: Payment, refund: MadeRefund, requester: Requester) -> NewOperation:
    try:
        request = context.provider_of(payment).refund_request(
            payment.provider_payment_id or "",
            refund_id=refund.id,
            payment_id=payment.id,
            amount=refund.amount,
            reason=refund.reason,
        )
    except MoneyError as error:
        raise Refusal(RefusalReason.INVALID, f"amount: {error}") from None
    return NewOperation(
        id=refund.id,
        payment_id=payment.id,
        provider=payment.provider,
        kind=Kind.REFUND,
        cause=f"{requester.client}:{requester.idempotency_key}",
        request=request,
        look_first=True,
    )


def _amount(unit: Currency, text: str) -> Money:
    """Parse an amount. Raise Refusal."""
    try:
        amount = parse(text, unit)
    except MoneyError as error:
        raise Refusal(RefusalReason.INVALID, f"amount: {error}") from None
    if amount.minor == 0:
        raise Refusal(RefusalReason.INVALID, "amount: must be more than 0; omit it to refund the remaining amount.")
    return amount


def _refusal(verdict: NotRefundable) -> Refusal:
    match verdict.code:
        case "more_than_remains":
            return Refusal(RefusalReason.INVALID, f"amount: at most {verdict.remaining} can still be refunded.")
        case "nothing_left":
            return Refusal(
                RefusalReason.NOT_ALLOWED,
                "Nothing is left to refund: the whole amount is refunded or has refunds in progress.",
            )
        case "disputed":
            return Refusal(
                RefusalReason.NOT_ALLOWED,
                "The customer's bank has withdrawn the money in a dispute: a refund would pay it twice.",
            )
        case "nothing_captured":
            return Refusal(
                RefusalReason.NOT_ALLOWED,
                "Nothing was captured, so nothing can be refunded: cancel the payment instead.",
            )
