"""`approvals`: list and decide refunds above a limit, with the code of the operators' pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg

from payment_service.commands import operator, output, session
from payment_service.config.config import ConfigError
from payment_service.contracts.operators import ApprovalRequest, ApprovalRequests
from payment_service.db import approvals
from payment_service.flows.requests.approvals import Approvals
from payment_service.flows.state.errors import Refusal, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from payment_service.db.approvals import Approval
    from payment_service.db.pool import Pool
    from payment_service.flows.requests.idempotency import ChangeRequest, ChangeResult
    from payment_service.flows.state.context import Context

# More than people decide in a day.
_SHOWN_MAX: Final = 200
_COLUMNS: Final = ("id", "order_id", "amount", "currency", "requested_by", "reason", "expires_at")


def show_list(*, as_json: bool) -> None:
    """Print the requests that can be decided."""
    found = session.run(_read)
    output.print_list("Refunds to approve", found, _COLUMNS, empty="No refund waits for approval.", as_json=as_json)


def approve(approval_id: UUID, *, yes: bool) -> None:
    """Approve a request and make its refund. Raises ConfigError, Refusal."""

    async def work(context: Context, approval: Approval, change_request: ChangeRequest) -> ChangeResult:
        if approval.open:
            by = approval.requested_by
            session.confirm(f"Refund {approval.amount} of order {approval.order_id}, requested by {by}?", yes=yes)
        return await Approvals(context).approve(approval, change_request)

    _decide(approval_id, "refund", work)
    output.print_note("The refund is approved. The service sends it to the provider.")


def decline(approval_id: UUID) -> None:
    """Decline a request. Raises ConfigError, Refusal."""

    async def work(context: Context, approval: Approval, change_request: ChangeRequest) -> ChangeResult:
        return await Approvals(context).decline(approval, change_request)

    _decide(approval_id, "refund.decline", work)
    output.print_note("The request is declined. No money moves.")


def _decide(
    approval_id: UUID, action: str, work: Callable[[Context, Approval, ChangeRequest], Awaitable[ChangeResult]]
) -> None:
    person = operator.actor().person  # may ask, so before the transaction

    async def within(context: Context) -> ChangeResult:
        approval = await approvals.find(context.pool, approval_id)
        if approval is None:
            raise Refusal(RefusalReason.NOT_FOUND, "No request has this id: see `approvals list`.")
        asked = {"amount": approval.amount.decimal_text, "requested_by": approval.requested_by}
        key = f"{action}-{approval_id}-{person}"
        parameters = {**asked, "approval": str(approval_id)}
        return await work(
            context, approval, session.change_request(action, parameters, key=key, payment_id=approval.payment_id)
        )

    try:
        session.run_change(within)
    except asyncpg.InsufficientPrivilegeError:
        message = "The role in DB_DSN may not decide this: use the login of the operator's role (docs/deployment.md)."
        raise ConfigError(message) from None


async def _read(pool: Pool) -> ApprovalRequests:
    found = await approvals.open_requests(pool, limit=_SHOWN_MAX)
    return ApprovalRequests(data=[_shown(one) for one in found])


def _shown(one: Approval) -> ApprovalRequest:
    return ApprovalRequest(
        id=one.id,
        payment_id=one.payment_id,
        order_id=one.order_id,
        amount=one.amount.decimal_text,
        currency=one.amount.currency.code,
        reason=one.reason,
        requested_by=one.requested_by,
        requested_at=one.requested_at,
        expires_at=one.expires_at,
    )
