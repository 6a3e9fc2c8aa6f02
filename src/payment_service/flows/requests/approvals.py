"""Refunds above a person's limit: one person requests, and a second person approves or declines within 24 hours.

The approval and the refund are one transaction, so an approved refund exists, and it exists once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db import approvals
from payment_service.flows.requests.checks import lock_payment
from payment_service.flows.requests.idempotency import ChangeResult, change_once, change_payments_once
from payment_service.flows.requests.refund import Refunds, RefundTerms
from payment_service.flows.state.errors import Refusal, RefusalReason

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.approvals import Approval
    from payment_service.db.pool import Connection
    from payment_service.flows.requests.idempotency import ChangeRequest
    from payment_service.flows.state.context import Context
    from payment_service_events.money import Money


class Approvals:
    """Request and decide approvals of refunds. The person of a change request is its actor's."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._refunds = Refunds(context)

    async def request(
        self, payment_id: UUID, amount: Money, reason: str, change_request: ChangeRequest
    ) -> ChangeResult:
        """Request the approval of a refund, and return its id. Raise Refusal."""

        async def work(connection: Connection) -> ChangeResult:
            await lock_payment(connection, payment_id)
            person = change_request.actor.person
            created = await approvals.create(connection, payment_id, amount, reason=reason, requested_by=person)
            return ChangeResult({"id": str(created)})

        return await change_once(self._context.pool, change_request, work)

    async def approve(self, approval: Approval, change_request: ChangeRequest) -> ChangeResult:
        """Approve a request and make its refund, which is returned. Raise Refusal."""
        terms = RefundTerms(amount=approval.amount.decimal_text, reason=approval.reason, metadata={})

        async def work(connection: Connection) -> ChangeResult:
            # The payment first, as everywhere (ARCHITECTURE.md, order of locks).
            await lock_payment(connection, approval.payment_id)
            await self._lock(connection, approval.id, approver=change_request.actor.person)
            await approvals.decide(connection, approval.id, "approved", change_request.actor.person)
            return await self._refunds.make(connection, approval.payment_id, terms, change_request)

        return await change_payments_once(self._context, change_request, work)

    async def decline(self, approval: Approval, change_request: ChangeRequest) -> ChangeResult:
        """Decline a request. The person who asked may withdraw it so. Raise Refusal."""

        async def work(connection: Connection) -> ChangeResult:
            await self._lock(connection, approval.id)
            await approvals.decide(connection, approval.id, "declined", change_request.actor.person)
            return ChangeResult({"id": str(approval.id)})

        return await change_once(self._context.pool, change_request, work)

    async def _lock(self, connection: Connection, approval_id: UUID, *, approver: str | None = None) -> None:
        approval = await approvals.lock(connection, approval_id)
        if approval is None:
            raise Refusal(RefusalReason.NOT_FOUND, "There is no request for approval with this id.")
        if approval.decision is not None:
            message = f"{approval.decided_by} has {approval.decision} this request already."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)
        if approval.expired:
            raise Refusal(RefusalReason.NOT_ALLOWED, "The request expired after 24 hours: request the refund again.")
        if approver is not None and approver.casefold() == approval.requested_by.casefold():
            message = "You requested this refund yourself: a second person must approve it."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)
