"""Refunds above the limit of a person or of an API key, which a second person approves or declines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db import approvals
from payment_service.flows.requests.approvals import Approvals
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.pages.payment import read_payment

if TYPE_CHECKING:
    from starlette.responses import Response

    from payment_service.db.approvals import Approval
    from payment_service.pages.site import Visit

# More open requests than people decide in a day.
_SHOWN_MAX: Final = 200


async def overview(visit: Visit) -> Response:
    """List the open requests, oldest first."""
    found = await approvals.open_requests(visit.parts.reads, limit=_SHOWN_MAX)
    return visit.page("approvals.html", section="approvals", requests=found)


async def show(visit: Visit) -> Response:
    """Show a request with what its approval means."""
    approval = await _read(visit)
    own = approval.requested_by.casefold() == visit.person.name.casefold()
    payment = await read_payment(visit.parts.reads, approval.payment_id)
    return visit.page("approval.html", section="approvals", approval=approval, payment=payment, own=own)


async def approve(visit: Visit) -> Response:
    """Approve a request: the refund is made in the same transaction."""
    approval = await _read(visit)
    asked = {
        "amount": approval.amount.decimal_text,
        "reason": approval.reason,
        "requested_by": approval.requested_by,
        "approval": str(approval.id),
    }
    # The key is the person's: pressed twice it is done once, and another person learns who decided.
    key = f"approval-{approval.id}-{visit.person.name}"
    request = visit.change("refund", asked, key=key, payment_id=approval.payment_id)
    await Approvals(visit.parts.context).approve(approval, request)
    return visit.redirect(f"/payments/{approval.payment_id}", "approve")


async def decline(visit: Visit) -> Response:
    """Decline a request."""
    approval = await _read(visit)
    asked = {"amount": approval.amount.decimal_text, "requested_by": approval.requested_by}
    request = visit.change("refund.decline", asked, payment_id=approval.payment_id)
    await Approvals(visit.parts.context).decline(approval, request)
    return visit.redirect(f"/payments/{approval.payment_id}", "decline")


async def _read(visit: Visit) -> Approval:
    approval = await approvals.find(visit.parts.reads, visit.request.path_params["id"])
    if approval is None:
        raise Refusal(RefusalReason.NOT_FOUND, "There is no request for approval with this id.")
    return approval
