"""Log in by a one-time link or OpenID Connect, and log out. There are no passwords here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import asyncpg
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from payment_service.db import page_logins
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.http.problems import Problem
from payment_service.pages.forms import read_form
from payment_service.pages.guard import NO_DATABASE, plain_page, refuse_early
from payment_service.pages.identity import identify, log_in, log_out
from payment_service.pages.oidc import LoginRefused, OpenIdLogin
from payment_service.pages.site import HEADERS, Site

if TYPE_CHECKING:
    from payment_service.config.config import Config
    from payment_service.db.pool import Pool

_USED: Final = "This link was used or has expired. Print a new one: payment-service pages login"

Answer = Callable[[Request], Awaitable[Response]]


def login_routes(site: Site) -> list[Route]:
    """Return the routes that need no login."""
    login = _Login(site, site.parts.config)
    pages: list[tuple[str, str, Answer]] = [("GET", "/login", login.choose), ("POST", "/logout", login.log_out)]
    if "link" in site.parts.config.admin_login:
        pages += [("GET", "/login/link", login.show_link), ("POST", "/login/link", login.use_link)]
    if "oidc" in site.parts.config.admin_login:
        oidc = _OidcLogin(site.parts.config, site.parts.context.pool)
        pages += [("GET", "/login/oidc", oidc.begin), ("GET", "/login/oidc/callback", oidc.finish)]
    return [Route(path, _safe(site, page), methods=[method]) for method, path, page in pages]


def _safe(site: Site, page: Answer) -> Answer:
    async def serve(request: Request) -> Response:
        if refused := refuse_early(site, request):
            return refused
        try:
            return await page(request)
        except Problem as problem:
            return plain_page(site, problem.type.status, str(problem))
        except LoginRefused as refused_login:
            return plain_page(site, HTTPStatus.FORBIDDEN, str(refused_login))
        except asyncpg.InsufficientPrivilegeError:
            message = "The database role of this process may not log people in: run the pages with the login of the operator's role."
            return plain_page(site, HTTPStatus.FORBIDDEN, message)
        except TRANSIENT_ERRORS:
            return plain_page(site, HTTPStatus.SERVICE_UNAVAILABLE, NO_DATABASE)

    return serve


class _Login:
    def __init__(self, site: Site, config: Config) -> None:
        self._site = site
        self._config = config

    async def choose(self, request: Request) -> Response:
        """Show the ways to log in."""
        if await identify(request, self._site.parts) is not None:
            return _go("/")
        context = {"ways": self._config.admin_login, "next": _own_path(request.query_params.get("next", ""))}
        return self._site.render("login.html", context)

    async def show_link(self, request: Request) -> Response:
        """Show who the link is for. Programs that preview links only read this page, so they do not use it up."""
        token = request.query_params.get("token", "")
        owner = await page_logins.find(self._site.parts.context.pool, token)
        if owner is None:
            return plain_page(self._site, HTTPStatus.NOT_FOUND, _USED)
        return self._site.render("link.html", {"owner": owner, "token": token})

    async def use_link(self, request: Request) -> Response:
        """Use the link up and begin a session."""
        form = await read_form(request)
        owner = await page_logins.redeem(self._site.parts.context.pool, form.get("token", ""))
        if owner is None:
            return plain_page(self._site, HTTPStatus.NOT_FOUND, _USED)
        await log_in(request, self._site.parts.context.pool, owner.person, owner.roles)
        return _go("/")

    async def log_out(self, request: Request) -> Response:
        """End the session. A proxy keeps its own."""
        await log_out(request, self._site.parts.context.pool)
        return _go("/login")


class _OidcLogin:
    def __init__(self, config: Config, pool: Pool) -> None:
        self._oidc = OpenIdLogin(config)
        self._pool = pool

    async def begin(self, request: Request) -> Response:
        """Redirect to the identity provider."""
        return await self._oidc.begin(request, next_path=_own_path(request.query_params.get("next", "")))

    async def finish(self, request: Request) -> Response:
        """Take the identity provider's answer and begin a session."""
        name, roles, next_path = await self._oidc.finish(request)
        await log_in(request, self._pool, name, roles)
        return _go(_own_path(next_path))


def _own_path(path: str) -> str:
    """Return a path of these pages; `/` for anything that could lead elsewhere."""
    own = (
        path.startswith("/") and not path.startswith(("//", "/\\", "/login")) and path.isprintable() and path.isascii()
    )
    return path if own else "/"


def _go(path: str) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, HEADERS)
