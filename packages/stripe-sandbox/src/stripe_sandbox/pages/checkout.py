"""The checkout page: an ordinary shop's page, which knows no more than a shop's would.

It gets a publishable key and the intent's client secret from its server, and does the rest with `/v3/`.
"""

from __future__ import annotations

from aiohttp import web

from stripe_sandbox.pages.site import Site
from stripe_sandbox.resources.intents import existing

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src data:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


async def show(site: Site, request: web.Request) -> web.StreamResponse:
    """Where a person pays one intent."""
    intent = existing(site.begin(request), request.match_info["id"])
    return site.page(
        "checkout.html",
        policy=POLICY,
        intent=intent,
        order_id=intent["metadata"].get("order_id"),
        publishable_key=site.sandbox.api_keys.publishable,
    )
