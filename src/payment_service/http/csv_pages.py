"""Pages of the lists as CSV, for requests with `Accept: text/csv`: the rows of the JSON page, written as the command line does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel
from starlette.responses import Response

from payment_service.contracts.csv_rows import csv_header, csv_lines
from payment_service.http.responses import PAGE, Responses, header

if TYPE_CHECKING:
    from starlette.requests import Request

    from payment_service.contracts.api import Page

M = TypeVar("M", bound=BaseModel)

CSV: Final = "text/csv"
_JSON: Final = frozenset({"application/json", "application/*", "*/*"})


def page_responses() -> Responses:
    """Describe a page as JSON or CSV. `openapi.py` adds the examples."""
    more = {
        "Link": header('The next page, if there is one: `<?cursor=…>; rel="next"` (RFC 8288). CSV only.', type="string")
    }
    return {200: {**PAGE[200], "headers": more, "content": {CSV: {"schema": {"type": "string"}}}}}


def page_or_csv(request: Request, model: type[M], page: Page[M]) -> Page[M] | Response:
    """Return the page as the request accepts it."""
    if not wants_csv(request.headers.get("accept", "")):
        return page
    body = csv_header(model) + "".join(csv_lines(page.data))
    headers = {"Vary": "Accept"}
    if page.next_cursor is not None:
        given: dict[str, Any] = {**request.query_params, "cursor": page.next_cursor}
        headers["Link"] = f'<?{urlencode(given)}>; rel="next"'
    return Response(body, headers=headers, media_type=f"{CSV}; charset=utf-8")


def wants_csv(accept: str) -> bool:
    """Return whether CSV is the first accepted type that the lists have."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return next((kind for kind in kinds if kind == CSV or kind in _JSON), "") == CSV
