"""The lists of refunds and the audit, and the page from which finance exports them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.contracts.api import AuditEntry, Refund
from payment_service.db.clock import database_time
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.http.list_queries import AuditQuery, RefundsQuery
from payment_service.pages.lists import as_csv, listing, query_of

if TYPE_CHECKING:
    from starlette.responses import Response

    from payment_service.pages.site import Visit

REFUND_STATUSES: Final = ("pending", "requires_action", "succeeded", "failed", "canceled")
_STATUS: Final = {"status": "status"}
# The audit has an index for each of these filters, so that one at a time can be given: its name in the address, and the field.
_OF_AUDIT: Final = {"who": "client", "what": "action", "payment": "payment_id"}


async def refunds(visit: Visit) -> Response:
    """List refunds, newest first."""
    query = query_of(visit, RefundsQuery, _STATUS)
    found = await listing(visit, "/refunds", _STATUS, query, visit.site.lists.refunds)
    return visit.page("refunds.html", section="refunds", list=found, statuses=REFUND_STATUSES)


async def refunds_csv(visit: Visit) -> Response:
    """Return the refunds as CSV."""
    return as_csv("refunds", Refund, query_of(visit, RefundsQuery, _STATUS), visit.site.lists.refunds)


async def audit(visit: Visit) -> Response:
    """List who changed what, newest first."""
    names = _of_audit(visit)
    query = query_of(visit, AuditQuery, names)
    found = await listing(visit, "/audit", {**names, "by": ""}, query, visit.site.lists.audit)
    return visit.page("audit.html", section="audit", list=found, value=visit.query("value"))


async def audit_csv(visit: Visit) -> Response:
    """Return the audit as CSV."""
    return as_csv("audit", AuditEntry, query_of(visit, AuditQuery, _of_audit(visit)), visit.site.lists.audit)


def _of_audit(visit: Visit) -> dict[str, str]:
    """Return the field that `value` filters by. Raises Refusal."""
    field = _OF_AUDIT.get(visit.query("by") or "who")
    if field is None:
        raise Refusal(RefusalReason.INVALID, "Filter the audit by who, what or payment.")
    return {"value": field}


async def exports(visit: Visit) -> Response:
    """Offer the lists as CSV, by default of the previous month."""
    now = await database_time(visit.parts.reads)
    first_of_month = now.date().replace(day=1)
    last_of_previous = first_of_month.fromordinal(first_of_month.toordinal() - 1)
    return visit.page("exports.html", section="exports", since=last_of_previous.replace(day=1), until=last_of_previous)
