"""The webhooks page: list, add, roll, enable and disable endpoints."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import Any

from aiohttp import web

from stripe_sandbox.errors import ApiError, Json
from stripe_sandbox.pages import badges
from stripe_sandbox.pages.site import Site
from stripe_sandbox.resources import endpoints

DONE = {"enabled": "The endpoint is enabled.", "disabled": "The endpoint is disabled and receives no events."}


async def overview(site: Site, request: web.Request) -> web.StreamResponse:
    return _endpoints(site, note=DONE.get(request.query.get("done", "")))


async def add(site: Site, request: web.Request) -> web.StreamResponse:
    """Add an endpoint; its secret is shown in this response only, as at Stripe."""
    url = str((await request.post()).get("url", "")).strip()
    work = site.begin(request)
    try:
        endpoint = endpoints.create(work, {"url": url, "enabled_events": ["*"]}, {}).body
    except ApiError as error:
        return _endpoints(site, problem=str(error), url=url, status=HTTPStatus.BAD_REQUEST)
    await site.sandbox.commit(work)
    return _endpoints(site, fresh=endpoint)


async def roll(site: Site, request: web.Request) -> web.StreamResponse:
    """Roll the secret and show it once; on request the old one stays valid for a day."""
    work = site.begin(request)
    keep = (await request.post()).get("keep") == "yes"
    endpoint = endpoints.roll(work, request.match_info["id"], endpoints.ROLL_S if keep else 0.0)
    await site.sandbox.commit(work)
    return _endpoints(site, fresh=endpoint)


async def switch(site: Site, request: web.Request) -> web.StreamResponse:
    """Enable or disable an endpoint."""
    disabled = (await request.post()).get("disabled") == "yes"
    work = site.begin(request)
    endpoints.update(work, {"disabled": disabled}, {"id": request.match_info["id"]})
    await site.sandbox.commit(work)
    raise web.HTTPSeeOther(f"/webhooks?done={'disabled' if disabled else 'enabled'}")


def _endpoints(
    site: Site, *, fresh: Json | None = None, url: str = "", status: int = HTTPStatus.OK, **context: Any
) -> web.Response:
    """Show the endpoints; `fresh` is the endpoint whose new secret is shown this once."""
    store = site.sandbox.store
    pending = (row for row in store["delivery"].rows.values() if row["state"] == "pending")
    return site.page(
        "webhooks.html",
        section="webhooks",
        status=status,
        endpoints=list(store["webhook_endpoint"].rows.values()),
        waiting=Counter(row["endpoint"] for row in pending),
        fresh=fresh,
        url=url,
        badges=badges,
        **context,
    )
