"""The lists of refunds, disputes and the audit, and the page from which finance exports them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.contracts.api import AuditEntry, Dispute, Refund
from payment_service.db.clock import database_time
from payment_service.http.list_pages import AuditQuery, DisputesQuery, RefundsQuery
from payment_service.pages.lists import as_csv, listing, query_of

if TYPE_CHECKING:
    from starlette.responses import Response

    from payment_service.pages.site import Visit

REFUND_STATUSES: Final = ("pending", "requires_action", "succeeded", "failed", "canceled")
DISPUTE_STATUSES: Final = ("needs_response", "warning_needs_response", "under_review", "won", "lost")
_STATUS: Final = {"status": "status"}
_OF_AUDIT: Final = {"who": "client", "action": "action", "payment": "payment_id"}


async def refunds(visit: Visit) -> Response:
    """List refunds, newest first."""
    query = query_of(visit, RefundsQuery, _STATUS)
    found = await listing(visit, "/refunds", _STATUS, query, visit.site.lists.refunds)
    return visit.page("refunds.html", section="refunds", list=found, statuses=REFUND_STATUSES)


async def refunds_csv(visit: Visit) -> Response:
    """Return the refunds as CSV."""
    return as_csv("refunds", Refund, query_of(visit, RefundsQuery, _STATUS), visit.site.lists.refunds)


async def disputes(visit: Visit) -> Response:
    """List the disputes that need an answer, the earliest deadline first; with a filter, all of them, newest first."""
    query = query_of(visit, DisputesQuery, _STATUS)
    everything = visit.query("all") == "yes"
    if not (query.status or query.created_from or query.created_to or everything):
        query = query.model_copy(update={"to_answer": True})
    names = {**_STATUS, "all": "all"} if everything else _STATUS
    found = await listing(visit, "/disputes", names, query, visit.site.lists.disputes)
    return visit.page(
        "disputes.html",
        section="disputes",
        list=found,
        statuses=DISPUTE_STATUSES,
        to_answer=query.to_answer,
        now=await database_time(visit.parts.reads),
    )


async def disputes_csv(visit: Visit) -> Response:
    """Return all disputes as CSV."""
    return as_csv("disputes", Dispute, query_of(visit, DisputesQuery, _STATUS), visit.site.lists.disputes)


async def audit(visit: Visit) -> Response:
    """List who changed what, newest first."""
    query = query_of(visit, AuditQuery, _OF_AUDIT)
    found = await listing(visit, "/audit", _OF_AUDIT, query, visit.site.lists.audit)
    return visit.page("audit.html", section="audit", list=found)


async def audit_csv(visit: Visit) -> Response:
    """Return the audit as CSV."""
    return as_csv("audit", AuditEntry, query_of(visit, AuditQuery, _OF_AUDIT), visit.site.lists.audit)


async def exports(visit: Visit) -> Response:
    """Offer the lists as CSV, by default of the previous month."""
    now = await database_time(visit.parts.reads)
    first_of_month = now.date().replace(day=1)
    last_of_previous = first_of_month.fromordinal(first_of_month.toordinal() - 1)
    return visit.page("exports.html", section="exports", since=last_of_previous.replace(day=1), until=last_of_previous)
