"""The route table of the pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from stripe_sandbox.pages import checkout, clock, events, faults, payments, three_d_secure, webhooks
from stripe_sandbox.pages.site import API_PREFIXES, ROOT, Site, page_handler
from stripe_sandbox.resources.payment_attempts import AUTHENTICATION_PATH

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGES = (
    ("GET", "/", payments.overview),
    ("GET", "/payments/{id}", payments.show),
    ("POST", "/payments/{id}/{action}", payments.act),
    ("GET", "/events", events.overview),
    ("GET", "/events/{id}", events.show),
    ("POST", "/events/{id}/resend", events.resend),
    ("GET", "/webhooks", webhooks.overview),
    ("POST", "/webhooks", webhooks.add),
    ("POST", "/webhooks/{id}/roll", webhooks.roll),
    ("POST", "/webhooks/{id}/switch", webhooks.switch),
    ("GET", "/faults", faults.overview),
    ("POST", "/faults", faults.set_plan),
    ("POST", "/faults/clear", faults.clear),
    ("GET", "/clock", clock.overview),
    ("POST", "/clock", clock.advance),
    ("GET", "/checkout/{id}", checkout.show),
    ("GET", AUTHENTICATION_PATH, three_d_secure.show),
    ("POST", AUTHENTICATION_PATH, three_d_secure.submit),
)


def routes(site: Site) -> list[web.AbstractRouteDef]:
    pages = [web.route(method, path, page_handler(site, page)) for method, path, page in PAGES]
    return [*pages, web.static("/assets", ROOT / "assets")]


def fallback(site: Site, api: Serve) -> Serve:
    """Serve unknown URLs: a page for browsers, Stripe's JSON for everyone else."""

    async def serve(request: web.Request) -> web.StreamResponse:
        browsing = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
        if browsing and not request.path.startswith((*API_PREFIXES, "/sandbox/")):
            return site.not_found(f"There is no page at {request.path}.")
        return await api(request)

    return serve
