"""The page of one payment: its state, its story, and what the person may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payment_service.contracts.api import Dispute, Payment, PaymentAttempt, Refund
from payment_service.db import approvals, payment_attempts, payment_reads, refund_reads
from payment_service.db.keyset import BEGINNING
from payment_service.db.payment_reads import Filters
from payment_service.db.timeline import timeline
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.pages import actions, story
from payment_service.pages.formatting import words
from payment_service.pages.permissions import Permission
from payment_service.provider.plugins import DashboardPage, payment_page

if TYPE_CHECKING:
    from uuid import UUID

    from starlette.responses import Response

    from payment_service.contracts.timeline import TimelineEntry
    from payment_service.db.approvals import Approval
    from payment_service.db.pool import Pool
    from payment_service.pages.site import Visit

# Enough for every payment that a person reads; the API has the rest.
_CHILDREN_MAX: Final = 50
_TIMELINE_MAX: Final = 500
# The newest payments of the same customer.
_OTHERS_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that the page shows of one payment, from one snapshot."""

    payment: Payment
    refunds: list[Refund]
    disputes: list[Dispute]
    attempts: list[PaymentAttempt]
    approvals: list[Approval]
    timeline: list[TimelineEntry]
    others: list[Payment]


async def show(visit: Visit) -> Response:
    """Show the payment."""
    case = await read_case(visit.parts.reads, visit.request.path_params["id"])
    at_provider = page_at_provider(visit, case.payment)
    sentences = story.summarize(
        case.timeline, provider=at_provider.name if at_provider else words(case.payment.provider).capitalize()
    )
    return visit.page(
        "payment.html",
        section="payments",
        case=case,
        payment=case.payment,
        story=[line for line in sentences if not line.note or visit.person.may(Permission.PERSONAL)],
        actions=[one for one in actions.ACTIONS if visit.person.may(one.permission) and one.offered(case.payment)],
        at_provider=at_provider,
    )


async def read_payment(pool: Pool, payment_id: UUID) -> Payment:
    """Return the payment. Raises Refusal."""
    row = await payment_reads.payment(pool, payment_id)
    if row is None:
        raise Refusal(RefusalReason.NOT_FOUND, "There is no payment with this id: search for its order.")
    return Payment.model_validate(row)


async def read_case(pool: Pool, payment_id: UUID) -> Case:
    """Return everything about a payment. Raises Refusal."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        row = await payment_reads.payment(connection, payment_id)
        if row is None:
            raise Refusal(RefusalReason.NOT_FOUND, "There is no payment with this id: search for its order.")
        payment = Payment.model_validate(row)
        refunds = await refund_reads.refunds(connection, payment_id, after=None, limit=_CHILDREN_MAX)
        disputes = await refund_reads.disputes(connection, payment_id, after=None, limit=_CHILDREN_MAX)
        entries = await timeline(connection, payment_id, after=BEGINNING, limit=_TIMELINE_MAX)
        others = []
        if payment.user_id:
            others = await payment_reads.payments(connection, Filters(user_id=payment.user_id), limit=_OTHERS_MAX + 1)
        return Case(
            payment=payment,
            refunds=[Refund.model_validate(one) for one in refunds],
            disputes=[Dispute.model_validate(one) for one in disputes],
            attempts=[
                PaymentAttempt.model_validate(one) for one in await payment_attempts.of_payment(connection, payment_id)
            ],
            approvals=await approvals.of_payment(connection, payment_id, limit=_CHILDREN_MAX),
            timeline=[entry for _, entry in entries],
            others=[Payment.model_validate(one) for one in others if one["id"] != payment_id][:_OTHERS_MAX],
        )


def page_at_provider(visit: Visit, payment: Payment) -> DashboardPage | None:
    """Return the provider's page about the payment; None if there is none."""
    config = visit.parts.config
    return payment_page(payment.provider, payment.provider_payment_id, config, livemode=config.stripe_livemode)
