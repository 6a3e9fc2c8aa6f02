"""The list of payments: one search box, filters, pages by cursor, and the same list as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from starlette.responses import StreamingResponse

from payment_service.contracts.api import STATUSES, Payment
from payment_service.db import payment_reads
from payment_service.db.keyset import KeysetCursor
from payment_service.db.payment_reads import Filters
from payment_service.domain.ids import as_uuid
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.pages.site import HEADERS
from payment_service_events.currency import CURRENCIES

if TYPE_CHECKING:
    from starlette.responses import Response

    from payment_service.pages.site import Visit

PAGE_ROWS: Final = 50
# A month of a large shop. More belongs into a report on the database.
EXPORT_ROWS_MAX: Final = 100_000
_EXPORT_STEP: Final = 1_000
_SEARCH_MAX: Final = 100
_FILTERS: Final = ("q", "status", "currency", "since", "until")
# A cell that begins so is a formula in a spreadsheet (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


async def overview(visit: Visit) -> Response:
    """List payments, newest first."""
    wanted = {name: visit.query(name) for name in _FILTERS}
    if (found := await _find(visit, wanted["q"])) is not None:
        return visit.redirect(f"/payments/{found}")
    filters = _filters(wanted)
    list_key = {"list": "pages.payments", **{name: wanted[name] for name in _FILTERS}}
    after = await visit.site.cursors.decode(visit.query("cursor") or None, list_key)
    rows = await payment_reads.payments(visit.parts.reads, filters, after=after, limit=PAGE_ROWS + 1)
    given = {name: value for name, value in wanted.items() if value}
    following = ""
    if len(rows) > PAGE_ROWS:
        last = rows[PAGE_ROWS - 1]
        cursor = await visit.site.cursors.encode(KeysetCursor(last["created_at"], str(last["id"])), list_key)
        following = "/payments?" + urlencode({**given, "cursor": cursor})
    return visit.page(
        "payments.html",
        section="payments",
        wanted=wanted,
        filtered=bool(given),
        payments=[Payment.model_validate(row) for row in rows[:PAGE_ROWS]],
        first="/payments?" + urlencode(given) if after else "",
        following=following,
        csv_path="/payments.csv?" + urlencode(given),
        statuses=STATUSES,
        currencies=sorted(CURRENCIES),
    )


async def export(visit: Visit) -> Response:
    """Return the list as CSV, at most EXPORT_ROWS_MAX rows."""
    filters = _filters({name: visit.query(name) for name in _FILTERS})
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="payments.csv"'}
    return StreamingResponse(_csv(visit, filters), headers=headers, media_type="text/csv; charset=utf-8")


async def _csv(visit: Visit, filters: Filters) -> AsyncIterator[str]:
    fields = tuple(Payment.model_fields)
    yield _csv_line(fields)
    after: KeysetCursor | None = None
    for _ in range(EXPORT_ROWS_MAX // _EXPORT_STEP):
        rows = await payment_reads.payments(visit.parts.reads, filters, after=after, limit=_EXPORT_STEP)
        yield "".join(_csv_line([row[name] for name in fields]) for row in rows)
        if len(rows) < _EXPORT_STEP:
            return
        after = KeysetCursor(rows[-1]["created_at"], str(rows[-1]["id"]))


def _csv_line(values: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([_cell(value) for value in values])
    return buffer.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


async def _find(visit: Visit, words: str) -> Any:
    """Return the one payment that an id names; None if the words name none, or something else."""
    payment_id = as_uuid(words)
    if payment_id is not None and await payment_reads.exists(visit.parts.reads, payment_id):
        return payment_id
    return None


def _filters(wanted: dict[str, str]) -> Filters:
    """Return the filters. Raises Refusal."""
    words = wanted["q"]
    if len(words) > _SEARCH_MAX or not words.isprintable():
        raise Refusal(RefusalReason.INVALID, f"Search for at most {_SEARCH_MAX} printable characters.")
    if wanted["status"] and wanted["status"] not in STATUSES:
        raise Refusal(RefusalReason.INVALID, "Choose a status of the list.")
    if wanted["currency"] and wanted["currency"] not in CURRENCIES:
        raise Refusal(RefusalReason.INVALID, "Choose a currency of the list.")
    since, until = _day(wanted["since"]), _day(wanted["until"])
    return Filters(
        order_id=words or None,
        status=wanted["status"] or None,
        currency=wanted["currency"] or None,
        created_from=since,
        created_to=until + timedelta(days=1) if until else None,
    )


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if text else None
    except ValueError:
        raise Refusal(RefusalReason.INVALID, "Write a day as 2026-12-31.") from None
