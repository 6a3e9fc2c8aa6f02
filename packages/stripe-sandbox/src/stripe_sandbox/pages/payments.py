"""The payment pages: a list with counts, and one payment with its full history."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from stripe_sandbox.errors import ApiError, Json
from stripe_sandbox.pages import actions, badges, summaries
from stripe_sandbox.pages.pagination import page_query, paging
from stripe_sandbox.pages.site import Site
from stripe_sandbox.resources.intents import existing
from stripe_sandbox.resources.pagination import END_OF_TIME
from stripe_sandbox.state.store import PageQuery

EVENTS_SHOWN = 200  # the latest of one payment; most have about a dozen


async def overview(site: Site, request: web.Request) -> web.StreamResponse:
    """List payments, optionally by `status` and by `q` (part of an id, metadata value or description)."""
    words, status = request.query.get("q", "").strip(), request.query.get("status", "")
    table = site.sandbox.store["payment_intent"]
    page = table.page(page_query("payment_intent", request), lambda intent: _wanted(site, intent, words, status))
    counted = Counter(intent["status"] for intent in table.rows.values())
    filters = {"q": words, "status": status}
    return site.page(
        "payments.html",
        section="payments",
        rows=[_row(site, intent) for intent in page.rows],
        statuses=badges.INTENT,
        counted=counted,
        total=len(table.rows),
        links={value: "/?" + urlencode({"status": value}) for value in badges.INTENT},
        words=words,
        status_wanted=status,
        paging=paging("/", page, request, filters),
        api=f"{request.scheme}://{request.host}",
    )


async def show(site: Site, request: web.Request) -> web.StreamResponse:
    done = actions.ACTIONS.get(request.query.get("done", ""))
    return _payment(site, request.match_info["id"], note=done.done if done else None)


async def act(site: Site, request: web.Request) -> web.StreamResponse:
    """Run a button of the payment page; show the page again, with the reason if it was rejected."""
    intent_id, name = request.match_info["id"], request.match_info["action"]
    action = actions.ACTIONS.get(name)
    if action is None:
        return site.not_found(f"Unknown action: {name}.")
    work = site.begin(request)
    intent = existing(work, intent_id)
    try:
        action.run(work, intent, {key: str(value) for key, value in (await request.post()).items()})
    except ApiError as error:
        return _payment(site, intent_id, problem=str(error), status=HTTPStatus.BAD_REQUEST)
    await site.sandbox.commit(work)
    raise web.HTTPSeeOther(f"/payments/{intent_id}?done={name}")


def _payment(site: Site, intent_id: str, *, status: int = HTTPStatus.OK, **context: Any) -> web.Response:
    store = site.sandbox.store
    intent = existing(site.sandbox.begin(), intent_id)
    charges = store["charge"].owned_by(intent_id)
    refunds = [refund for charge in charges for refund in store["refund"].owned_by(charge["id"])]
    disputes = [dispute for charge in charges for dispute in store["dispute"].owned_by(charge["id"])]
    return site.page(
        "payment.html",
        section="payments",
        status=status,
        intent=intent,
        state=badges.of_intent(intent),
        marks=badges.marks(charges),
        charges=charges,
        refunds=[{**refund, "buttons": actions.for_refund(refund)} for refund in refunds],
        disputes=[{**dispute, "buttons": actions.for_dispute(dispute)} for dispute in disputes],
        events=_events(site, intent),
        ledger=[entry for entry in store["ledger"].rows.values() if entry["payment_intent"] == intent_id],
        timers=_timers(site, [intent, *charges, *refunds, *disputes]),
        buttons=actions.for_payment(intent, charges, disputes),
        method=store["payment_method"].rows.get(intent["payment_method"] or ""),
        badges=badges,
        **context,
    )


def _row(site: Site, intent: Json) -> Json:
    charges = site.sandbox.store["charge"].owned_by(intent["id"])
    return {
        **intent,
        "state": badges.of_intent(intent),
        "marks": badges.marks(charges),
        "order": summaries.order_label(intent),
    }


def _wanted(site: Site, intent: Json, words: str, status: str) -> bool:
    if status and intent["status"] != status:
        return False
    if not words:
        return True
    charge_ids = (charge["id"] for charge in site.sandbox.store["charge"].owned_by(intent["id"]))
    named = (intent["id"], *charge_ids, intent["description"] or "", *intent["metadata"].values())
    return any(words.lower() in text.lower() for text in named)


def _events(site: Site, intent: Json) -> list[Json]:
    """Return the events of the intent and its objects, oldest first."""

    def concerns(event: Json) -> bool:
        subject = event["data"]["object"]
        return intent["id"] in (subject["id"], subject.get("payment_intent"))

    query = PageQuery("event", EVENTS_SHOWN, None, None, intent["created"], END_OF_TIME)
    store = site.sandbox.store
    found = store["event"].page(query, concerns).rows[::-1]
    return [{**event, "states": summaries.deliveries(store, event)} for event in found]


def _timers(site: Site, subjects: list[Json]) -> list[Json]:
    ids = {subject["id"] for subject in subjects}
    rows = site.sandbox.store["timer"].rows.values()
    return sorted((row for row in rows if row["subject"] in ids), key=lambda row: float(row["due"]))
