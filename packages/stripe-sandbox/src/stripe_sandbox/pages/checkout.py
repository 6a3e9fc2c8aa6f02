"""The checkout page, which works like the page of a real shop.

It has only a publishable key and the intent's client secret; `/v3/` does the rest.
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
    """Show the page on which a person pays one PaymentIntent."""
    intent = existing(site.begin(request), request.match_info["id"])
    return site.page(
        "checkout.html",
        policy=POLICY,
        intent=intent,
        order_id=intent["metadata"].get("order_id"),
        publishable_key=site.sandbox.api_keys.publishable,
    )
