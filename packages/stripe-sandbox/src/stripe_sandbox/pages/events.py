"""The event pages: a list with delivery states, and one event with every attempt."""

from __future__ import annotations

from fnmatch import fnmatchcase

from aiohttp import web

from stripe_sandbox.errors import Json, missing_resource
from stripe_sandbox.pages import badges, summaries
from stripe_sandbox.pages.pagination import page_query, paging
from stripe_sandbox.pages.site import Site
from stripe_sandbox.webhooks.deliveries import rendered

DONE = {
    "resent": "Sent again to each subscribed endpoint.",
    "unsubscribed": "Nothing was sent: no enabled endpoint subscribes to this type.",
}


async def overview(site: Site, request: web.Request) -> web.StreamResponse:
    """List the latest events, optionally of one `type` (`*` is a wildcard)."""
    pattern = request.query.get("type", "").strip()
    store = site.sandbox.store

    def wanted(event: Json) -> bool:
        return not pattern or fnmatchcase(event["type"], pattern) or event["id"] == pattern

    page = store["event"].page(page_query("event", request), wanted)
    return site.page(
        "events.html",
        section="events",
        rows=[
            {**event, "states": summaries.deliveries(store, event), "payment": summaries.payment(store, event)}
            for event in page.rows
        ],
        pattern=pattern,
        types=sorted({event["type"] for event in page.rows}),
        paging=paging("/events", page, request, {"type": pattern}),
        badges=badges,
    )


async def show(site: Site, request: web.Request) -> web.StreamResponse:
    event = _existing(site, request)
    store = site.sandbox.store
    return site.page(
        "event.html",
        section="events",
        event=event,
        payment=summaries.payment(store, event),
        deliveries=[rendered(store, row) for row in store["delivery"].owned_by(event["id"])],
        badges=badges,
        note=DONE.get(request.query.get("done", "")),
    )


async def resend(site: Site, request: web.Request) -> web.StreamResponse:
    """Make one extra attempt at each endpoint, in addition to the automatic deliveries."""
    event = _existing(site, request)
    work = site.begin(request)
    deliveries = site.sandbox.sender.plan_resend(work, event)
    await site.sandbox.send(work, deliveries)
    raise web.HTTPSeeOther(f"/events/{event['id']}?done={'resent' if deliveries else 'unsubscribed'}")


def _existing(site: Site, request: web.Request) -> Json:
    event_id = request.match_info["id"]
    event = site.sandbox.store["event"].rows.get(event_id)
    if event is None:
        raise missing_resource("event", event_id, "id")
    return event
