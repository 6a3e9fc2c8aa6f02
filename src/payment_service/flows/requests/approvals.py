"""Refunds above a limit: one person or API key requests, and a second person approves or declines within 24 hours.

The approval and the refund are one transaction, so an approved refund exists, and it exists once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from payment_service.crash_points import reached
from payment_service.db import approvals, audit
from payment_service.db.approvals import KeyRequest
from payment_service.db.audit import Actor
from payment_service.flows.requests.checks import lock_payment
from payment_service.flows.requests.idempotency import (
    ChangeRequest,
    ChangeResult,
    change_once,
    change_payments_once,
    lock_key,
    require_same,
)
from payment_service.flows.requests.refund import Refunds, RefundTerms
from payment_service.flows.requests.refund_limits import NeedsApproval
from payment_service.flows.state.errors import Refusal, RefusalReason

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.approvals import Approval
    from payment_service.db.pool import Connection
    from payment_service.flows.state.context import Context
    from payment_service_events.money import Money

REQUEST: Final = "refund.request_approval"
# More than people decide in a day. A job that invents a new key for each try must not bury the requests of others.
OPEN_PER_CLIENT_MAX: Final = 100
# The owner of the idempotency keys of people's requests.
_PEOPLE: Final = "pages"


class Approvals:
    """Request and decide approvals of refunds. The person of a change request is its actor's."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._refunds = Refunds(context)

    async def refund(self, payment_id: UUID, terms: RefundTerms, change_request: ChangeRequest) -> ChangeResult:
        """Request a refund for an API key, or its approval if it is above the key's largest refund. Raise Refusal.

        Until a person approved, the same request is refused with the state of its approval. Then it returns the refund.
        """
        try:
            return await self._refunds.request(payment_id, terms, change_request)
        except NeedsApproval as needed:
            approval = await self._request_of_key(payment_id, needed.amount, change_request)
            raise _undecided(needed, approval) from None

    async def request(self, payment_id: UUID, amount: Money, change_request: ChangeRequest) -> ChangeResult:
        """Request the approval of a person's refund, and return its id. Raise Refusal."""

        async def work(connection: Connection) -> ChangeResult:
            await lock_payment(connection, payment_id)
            person, asked = change_request.actor.person, change_request.parameters
            created = await approvals.create(connection, payment_id, amount, requested_by=person, parameters=asked)
            return ChangeResult({"id": str(created)})

        return await change_once(self._context.pool, change_request, work)

    async def approve(self, approval: Approval, change_request: ChangeRequest) -> ChangeResult:
        """Approve a request and make its refund, which is returned. Raise Refusal."""
        asked = approval.parameters
        terms = RefundTerms(
            amount=approval.amount.decimal_text, reason=asked.get("reason", ""), metadata=asked.get("metadata", {})
        )

        async def work(connection: Connection) -> ChangeResult:
            # The payment first, as everywhere (ARCHITECTURE.md, order of locks).
            await lock_payment(connection, approval.payment_id)
            await self._decide(connection, approval.id, "approved", change_request.actor.person)
            return await self._refunds.make(connection, approval.payment_id, terms, _as_requested(approval))

        return await change_payments_once(self._context, change_request, work)

    async def decline(self, approval: Approval, change_request: ChangeRequest) -> ChangeResult:
        """Decline a request. The person who asked may withdraw it so. Raise Refusal."""

        async def work(connection: Connection) -> ChangeResult:
            await self._decide(connection, approval.id, "declined", change_request.actor.person)
            return ChangeResult({"id": str(approval.id)})

        return await change_once(self._context.pool, change_request, work)

    async def _request_of_key(self, payment_id: UUID, amount: Money, change_request: ChangeRequest) -> Approval:
        """Return the approval of this request, and create it the first time. Raise Refusal."""
        actor, key = change_request.actor, change_request.key
        async with self._context.pool.acquire() as connection, connection.transaction():
            await lock_key(connection, change_request)
            found = await approvals.of_key(connection, actor.client, key)
            if found is None:
                found = await _create_of_key(connection, payment_id, amount, change_request)
                reached(f"change.{REQUEST}.commit.before")
        require_same(_as_requested(found).fingerprint, change_request)
        return found

    async def _decide(self, connection: Connection, approval_id: UUID, decision: str, person: str) -> None:
        approval = await approvals.lock(connection, approval_id)
        if approval is None:
            raise Refusal(RefusalReason.NOT_FOUND, "There is no request for approval with this id.")
        if approval.decision is not None:
            message = f"{approval.decided_by} has {approval.decision} this request already."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)
        if decision == "approved" and person.casefold() == approval.requested_by.casefold():
            message = "You requested this refund yourself: a second person must approve it."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)
        if not await approvals.decide(connection, approval_id, decision, person):
            raise Refusal(RefusalReason.NOT_ALLOWED, "The request expired after 24 hours: request the refund again.")


async def _create_of_key(
    connection: Connection, payment_id: UUID, amount: Money, change_request: ChangeRequest
) -> Approval:
    actor, key, asked = change_request.actor, change_request.key, change_request.parameters
    if actor.key_id is None:
        raise ValueError("an approval of an API key's request without the key")
    if await approvals.count_open(connection, actor.client) >= OPEN_PER_CLIENT_MAX:
        message = f"{OPEN_PER_CLIENT_MAX} refunds of this client wait for approval already: decide some of them first."
        raise Refusal(RefusalReason.TOO_MANY, message, retry_after_s=3_600)
    created = await approvals.create(
        connection,
        payment_id,
        amount,
        requested_by=f"API client {actor.client}",
        parameters=asked,
        by_key=KeyRequest(actor.key_id, actor.client, key),
    )
    await audit.append(connection, actor, REQUEST, payment_id=payment_id, detail={**asked, "key": key})
    found = await approvals.find(connection, created)
    if found is None:
        raise LookupError("the approval that this transaction created")
    return found


def _as_requested(approval: Approval) -> ChangeRequest:
    """Return the request as its requester made it, so that the same key finds the refund, whoever approved."""
    made = ChangeRequest(
        actor=Actor(client=_PEOPLE),
        key=f"approval-{approval.id}",
        action="refund",
        payment_id=approval.payment_id,
        parameters=approval.parameters,
    )
    if approval.client is None or approval.key is None:
        return made
    return replace(made, actor=Actor(client=approval.client), key=approval.key)


def _undecided(needed: NeedsApproval, approval: Approval) -> Refusal:
    """Return why there is no refund yet, or why there will be none."""
    if approval.decision == "declined":
        return Refusal(RefusalReason.NOT_ALLOWED, f"{approval.decided_by} has declined this refund.")
    if approval.decision == "approved":  # a moment ago, after the refund was looked for
        return Refusal(RefusalReason.NOT_YET, "This refund was approved: send the request again.", retry_after_s=1)
    if approval.expired:
        message = "Nobody approved this refund within 24 hours: request it again with a new Idempotency-Key."
        return Refusal(RefusalReason.NOT_ALLOWED, message)
    message = f"{needed} Send the same request with the same key to learn the decision, until {approval.expires_at:%Y-%m-%dT%H:%MZ}."
    return Refusal(RefusalReason.NEEDS_APPROVAL, message)
