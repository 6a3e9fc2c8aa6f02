"""Build the app of ADMIN_PORT."""

from __future__ import annotations

import hmac
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from payment_service.db.page_sessions import SESSION_LIFETIME
from payment_service.http.middleware import RequestMiddleware
from payment_service.pages.guard import guarded, plain_page
from payment_service.pages.identity import SESSION_COOKIE, KeepPeer
from payment_service.pages.login import login_routes
from payment_service.pages.routes import ROUTES, SECTIONS
from payment_service.pages.site import ROOT, Parts, Site
from payment_service.pages.table import provider_pages

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def build_pages(parts: Parts) -> Starlette:
    """Build the app with all pages."""
    config = parts.config
    brought = provider_pages(config.providers)
    site = Site(parts, brought)
    sections = SECTIONS + tuple(section for one in brought for section in one.sections)
    routes = ROUTES + tuple(route for one in brought for route in one.routes)

    async def missing(_request: Request, _error: Exception) -> Response:
        return plain_page(site, HTTPStatus.NOT_FOUND, "There is no page at this address.")

    async def wrong_method(_request: Request, _error: Exception) -> Response:
        return plain_page(site, HTTPStatus.METHOD_NOT_ALLOWED, "This address does not take this request.")

    app = Starlette(
        routes=[
            *(Route(one.path, guarded(site, one, sections), methods=[one.method]) for one in routes),
            *login_routes(site),
            Mount("/assets", StaticFiles(directory=ROOT / "assets")),
        ],
        exception_handlers={HTTPStatus.NOT_FOUND: missing, HTTPStatus.METHOD_NOT_ALLOWED: wrong_method},
        middleware=[
            Middleware(RequestMiddleware),
            Middleware(KeepPeer),
            Middleware(ProxyHeadersMiddleware, trusted_hosts=list(config.trusted_proxies)),
            Middleware(
                SessionMiddleware,
                secret_key=hmac.new(parts.key, b"session", sha256).hexdigest(),
                session_cookie=SESSION_COOKIE,
                max_age=int(SESSION_LIFETIME.total_seconds()),
                https_only=config.admin_base_url.startswith("https://"),
            ),
        ],
    )
    app.router.redirect_slashes = False
    return app
