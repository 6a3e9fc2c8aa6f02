"""The checks around every page: who asks, may they, does the form come from our own page, and what a failure looks like."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit
from uuid import uuid4

import asyncpg
import structlog
from starlette.responses import RedirectResponse, Response

from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.flows.state.errors import Refusal, RefusalReason, Unavailable
from payment_service.http.problems import Problem
from payment_service.pages.forms import read_form
from payment_service.pages.identity import identify
from payment_service.pages.site import HEADERS, Site, Visit
from payment_service.telemetry.errors import describe_error

if TYPE_CHECKING:
    from starlette.requests import Request

    from payment_service.pages.table import PageRoute, Section

log = structlog.get_logger(__name__)

NO_DATABASE: Final = "The database does not answer: try again in a moment."
# The longest search and cursor fit. A longer query is a mistake or an attack.
QUERY_LIMIT_BYTES: Final = 1_024

_STATUSES: Final = {
    RefusalReason.NOT_FOUND: HTTPStatus.NOT_FOUND,
    RefusalReason.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    RefusalReason.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
}


def guarded(site: Site, route: PageRoute, sections: tuple[Section, ...]) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a page with the checks of its route."""

    async def serve(request: Request) -> Response:
        if refused := refuse_early(site, request):
            return refused
        try:
            person = await identify(request, site.parts)
        except TRANSIENT_ERRORS:
            return plain_page(site, HTTPStatus.SERVICE_UNAVAILABLE, NO_DATABASE)
        if person is None:
            return _ask_to_log_in(site, request)
        visit = Visit(site, request, person, sections)
        if not person.may(route.permission):
            return _forbidden(visit, route)
        try:
            if request.method == "POST":
                visit.form = await read_form(request, limit_bytes=route.limit_bytes)
                if not hmac.compare_digest(visit.form.pop("token", "").encode(), site.token_of(person).encode()):
                    return refused_page(visit, HTTPStatus.FORBIDDEN, "This form is out of date: open the page again.")
            return await route.page(visit)
        except Exception as error:  # noqa: BLE001 - every failure becomes a page
            return failure_page(visit, error)

    return serve


def refuse_early(site: Site, request: Request) -> Response | None:
    """Refuse a foreign name, a query that is too long, and a form of another site."""
    if not is_own_name(request.url.hostname or "", site.parts.config.admin_base_url):
        return plain_page(
            site, HTTPStatus.MISDIRECTED_REQUEST, "This name is not the address of these pages: set ADMIN_URL."
        )
    if len(request.scope["query_string"]) > QUERY_LIMIT_BYTES:
        return plain_page(site, HTTPStatus.REQUEST_URI_TOO_LONG, "The address is too long: search for less.")
    if request.method == "POST" and not comes_from_own_page(request):
        return plain_page(site, HTTPStatus.FORBIDDEN, "Only forms of these pages are accepted: open the page again.")
    return None


def is_own_name(hostname: str, base_url: str) -> bool:
    """Return whether a request names these pages. Otherwise a foreign name that leads here could use them (DNS rebinding)."""
    if hostname in {urlsplit(base_url).hostname, "localhost"}:
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


def comes_from_own_page(request: Request) -> bool:
    """Return whether a browser says that the form comes from these pages. Every browser says it with a POST."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return site is not None
    return origin.lower().partition("://")[2] == request.headers.get("host", "").lower()


def failure_page(visit: Visit, error: Exception) -> Response:
    """Show a refusal in its own words, a database that does not answer, or the number under which a defect is logged."""
    match error:
        case Refusal():
            return refused_page(visit, _STATUSES.get(error.reason, HTTPStatus.CONFLICT), str(error))
        case Problem():
            return refused_page(visit, error.type.status, str(error))
        case Unavailable():
            return refused_page(visit, HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        case asyncpg.InsufficientPrivilegeError():
            message = "The database role of this process may not do this: run the pages with the login of the operator's role."
            return refused_page(visit, HTTPStatus.FORBIDDEN, message)
        case _ if isinstance(error, TRANSIENT_ERRORS):
            log.warning("page_not_served", path=visit.request.url.path, error=describe_error(error))
            message = "The database did not answer in time. After a change, look at its result before you repeat it."
            return refused_page(visit, HTTPStatus.SERVICE_UNAVAILABLE, message)
        case _:
            return _defect_page(visit, error)


def _defect_page(visit: Visit, error: Exception) -> Response:
    number = str(uuid4())
    log.error("page_failed", path=visit.request.url.path, number=number, error=describe_error(error), exc_info=error)
    return refused_page(
        visit, HTTPStatus.INTERNAL_SERVER_ERROR, f"The page failed. The log has the cause under {number}."
    )


def refused_page(visit: Visit, status: int, problem: str) -> Response:
    """Show a sentence instead of the page."""
    return visit.page("refused.html", status=status, problem=problem)


def plain_page(site: Site, status: int, sentence: str) -> Response:
    """Show a sentence to somebody who is not logged in."""
    return site.render("plain.html", {"title": HTTPStatus(status).phrase, "sentence": sentence}, status)


def _ask_to_log_in(site: Site, request: Request) -> Response:
    if request.method != "GET":
        return plain_page(site, HTTPStatus.UNAUTHORIZED, "You are not logged in any more: log in, then try again.")
    place = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(place, safe='')}", HTTPStatus.SEE_OTHER, HEADERS)


def _forbidden(visit: Visit, route: PageRoute) -> Response:
    have = visit.person.role_names or "no role: your groups are not in ADMIN_GROUPS"
    sentence = f"You may not {route.permission.value} with your role ({have}). Ask the person who manages your groups."
    return refused_page(visit, HTTPStatus.FORBIDDEN, sentence)
