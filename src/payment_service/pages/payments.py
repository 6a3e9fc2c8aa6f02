"""The list of payments: one search box, filters, pages by cursor, and the same list as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from payment_service.contracts.api import STATUSES, Payment
from payment_service.db.search import search
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.http.list_queries import PaymentsQuery
from payment_service.pages.lists import as_csv, listing, query_of
from payment_service_events.currency import CURRENCIES

if TYPE_CHECKING:
    from starlette.responses import Response

    from payment_service.pages.site import Visit

_PATH: Final = "/payments"
_FILTERS: Final = {"status": "status", "currency": "currency"}
_SEARCH_MAX: Final = 100
_HITS_MAX: Final = 50


async def overview(visit: Visit) -> Response:
    """List payments, newest first, or those that the search box names. A single one is opened."""
    words = visit.query("q")
    if words:
        return await _search(visit, words)
    found = await listing(visit, _PATH, _FILTERS, query_of(visit, PaymentsQuery, _FILTERS), visit.site.lists.payments)
    return _page(visit, found.rows, given=found.given, first=found.first, following=found.following, csv=found.csv)


async def export(visit: Visit) -> Response:
    """Return the list as CSV."""
    return as_csv("payments", Payment, query_of(visit, PaymentsQuery, _FILTERS), visit.site.lists.payments)


async def _search(visit: Visit, words: str) -> Response:
    if len(words) > _SEARCH_MAX or not words.isprintable():
        raise Refusal(RefusalReason.INVALID, f"Search for at most {_SEARCH_MAX} printable characters.")
    found = await search(visit.parts.reads, words, limit=_HITS_MAX)
    if len(found.data) == 1:
        return visit.redirect(f"{_PATH}/{found.data[0].payment.id}")
    matched = {hit.payment.id: hit.matched for hit in found.data}
    return _page(visit, [hit.payment for hit in found.data], words=words, matched=matched, more=found.has_more)


def _page(visit: Visit, rows: list[Payment], **context: Any) -> Response:
    shared: dict[str, Any] = {
        "words": "",
        "given": dict.fromkeys((*_FILTERS, "since", "until"), ""),
        "matched": {},
        "more": False,
        "first": "",
        "following": "",
        "csv": "",
        "statuses": STATUSES,
        "currencies": sorted(CURRENCIES),
    }
    return visit.page("payments.html", section="payments", payments=rows, **shared | context)
