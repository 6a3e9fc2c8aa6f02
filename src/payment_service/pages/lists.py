"""Lists of the API as pages and as CSV: the same filters, cursors and rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError
from starlette.responses import StreamingResponse

from payment_service.config.validation_messages import validation_message
from payment_service.contracts.csv_rows import csv_header, csv_lines
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.http.list_queries import ListQuery
from payment_service.http.paging import PAGE_MAX
from payment_service.pages.site import HEADERS

if TYPE_CHECKING:
    from starlette.responses import Response

    from payment_service.contracts.api import Page
    from payment_service.pages.site import Visit

PAGE_ROWS: Final = 50

Q = TypeVar("Q", bound=ListQuery)
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Listing(Generic[M]):
    """A page of a list with its links; they are empty if there is no such page. `given`: all filters, empty if not set."""

    rows: list[M]
    given: Mapping[str, str]
    first: str
    following: str
    csv: str


def query_of(visit: Visit, model: type[Q], names: Mapping[str, str]) -> Q:
    """Read the filters of the address. `names`: parameters and the fields that they set. Raises Refusal."""
    given: dict[str, Any] = {field: visit.query(name) for name, field in names.items() if visit.query(name)}
    if since := visit.query("since"):
        given["created_from"] = _beginning(since)
    if until := visit.query("until"):
        given["created_to"] = _beginning(until, days_later=1)
    if cursor := visit.query("cursor"):
        given["cursor"] = cursor
    try:
        return model.model_validate({**given, "limit": PAGE_ROWS})
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        raise Refusal(RefusalReason.INVALID, f"{problem['loc'][0]} {validation_message(problem)}.") from None


async def listing(
    visit: Visit, path: str, names: Mapping[str, str], query: Q, read: Callable[[Q], Awaitable[Page[M]]]
) -> Listing[M]:
    """Read a page, and make the links to the next one and to the CSV."""
    page = await read(query)
    filters = {name: visit.query(name) for name in (*names, "since", "until")}
    given = {name: value for name, value in filters.items() if value}
    following = urlencode({**given, "cursor": page.next_cursor}) if page.next_cursor else ""
    return Listing(
        rows=page.data,
        given=filters,
        first=_address(path, urlencode(given)) if query.cursor else "",
        following=_address(path, following) if following else "",
        csv=_address(f"{path}.csv", urlencode(given)),
    )


def as_csv(name: str, model: type[M], query: Q, read: Callable[[Q], Awaitable[Page[M]]]) -> Response:
    """Return the whole list as CSV, page by page: memory holds one page, and the next is read when the browser took it.

    If the database fails meanwhile, the response ends without its last chunk, so that the browser reports a broken download.
    """

    async def lines() -> AsyncIterator[str]:
        yield csv_header(model)
        wanted = query.model_copy(update={"limit": PAGE_MAX, "cursor": None})
        while True:
            page = await read(wanted)
            yield "".join(csv_lines(page.data))
            if page.next_cursor is None:
                return
            wanted = wanted.model_copy(update={"cursor": page.next_cursor})

    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(lines(), headers=headers, media_type="text/csv; charset=utf-8")


def _address(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def _beginning(day: str, *, days_later: int = 0) -> str:
    """Return the beginning of a day, or of a later one, as the lists take it. Raises Refusal."""
    try:
        return (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=days_later)).isoformat()
    except (ValueError, OverflowError):
        raise Refusal(RefusalReason.INVALID, "Write a day as 2026-12-31.") from None
