"""The lists of disputes and the page of one: its deadline, where to submit evidence, and notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.contracts.api import AuditEntry, Dispute
from payment_service.db import audit, refund_reads
from payment_service.db.audit import AuditFilters
from payment_service.db.clock import database_time
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.http.list_queries import DisputesQuery
from payment_service.pages.forms import NOTE_MAX, line
from payment_service.pages.lists import as_csv, listing, query_of
from payment_service.pages.permissions import Permission
from payment_service.provider.plugins import dispute_page

if TYPE_CHECKING:
    from starlette.responses import Response

    from payment_service.db.pool import Connection
    from payment_service.pages.site import Visit

STATUSES: Final = ("needs_response", "warning_needs_response", "under_review", "won", "lost")
_STATUS: Final = {"status": "status"}
# Entries of the audit about the payment, the newest first. A payment with more has them on the page Audit.
_ENTRIES_MAX: Final = 500


async def overview(visit: Visit) -> Response:
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
        statuses=STATUSES,
        to_answer=query.to_answer,
        now=await database_time(visit.parts.reads),
    )


async def export(visit: Visit) -> Response:
    """Return all disputes as CSV."""
    return as_csv("disputes", Dispute, query_of(visit, DisputesQuery, _STATUS), visit.site.lists.disputes)


async def show(visit: Visit) -> Response:
    """Show a dispute with its notes."""
    dispute = await _read(visit)
    config = visit.parts.config
    return visit.page(
        "dispute.html",
        section="disputes",
        dispute=dispute,
        notes=await _notes(visit, dispute) if visit.person.may(Permission.PERSONAL) else [],
        evidence=dispute_page(dispute.provider, dispute.provider_dispute_id, config, livemode=config.stripe_livemode),
        now=await database_time(visit.parts.reads),
    )


async def add_note(visit: Visit) -> Response:
    """Store a note about the dispute in the audit, which is never updated. The payment's history shows it too."""
    dispute = await _read(visit)
    text = line(visit.form, "note", "Note", length_max=NOTE_MAX, needed=True)

    async def work(_connection: Connection) -> ChangeResult:
        return ChangeResult({"dispute_id": str(dispute.id)})

    asked = {"note": text, "dispute_id": str(dispute.id)}
    await change_once(visit.parts.context.pool, visit.change("note", asked, payment_id=dispute.payment_id), work)
    return visit.redirect(f"/disputes/{dispute.id}", "note")


async def _read(visit: Visit) -> Dispute:
    row = await refund_reads.dispute(visit.parts.reads, visit.request.path_params["id"])
    if row is None:
        raise Refusal(RefusalReason.NOT_FOUND, "There is no dispute with this id: look for it in the list.")
    return Dispute.model_validate(row)


async def _notes(visit: Visit, dispute: Dispute) -> list[AuditEntry]:
    filters = AuditFilters(payment_id=dispute.payment_id)
    rows = await audit.entries(visit.parts.reads, filters, limit=_ENTRIES_MAX)
    entries = [AuditEntry.model_validate(row) for row in rows if row["action"] == "note"]
    return [entry for entry in entries if entry.detail.get("dispute_id") == str(dispute.id)]
