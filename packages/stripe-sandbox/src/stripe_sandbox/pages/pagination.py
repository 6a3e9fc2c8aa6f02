"""Paginate lists on pages with the API's cursors."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from stripe_sandbox.errors import Json
from stripe_sandbox.resources.pagination import END_OF_TIME
from stripe_sandbox.state.store import Page, PageQuery

ROWS = 25  # per page: a screen or two


def page_query(noun: str, request: web.Request) -> PageQuery:
    return PageQuery(
        noun=noun,
        limit=ROWS,
        starting_after=request.query.get("after") or None,
        ending_before=request.query.get("before") or None,
        created_from=0,
        created_to=END_OF_TIME,
    )


def paging(path: str, page: Page, request: web.Request, filters: Json) -> Json:
    """Return the URLs of the newer and older page; None if there is none."""
    kept = {name: value for name, value in filters.items() if value}
    if not page.rows:
        return {"newer": None, "older": None, "first": path if "after" in request.query else None}
    back = "before" in request.query
    newer = page.has_more if back else "after" in request.query
    older = True if back else page.has_more
    return {
        "newer": _address(path, {**kept, "before": page.rows[0]["id"]}) if newer else None,
        "older": _address(path, {**kept, "after": page.rows[-1]["id"]}) if older else None,
        "first": None,
    }


def _address(path: str, query: Json) -> str:
    return f"{path}?{urlencode(query)}"
