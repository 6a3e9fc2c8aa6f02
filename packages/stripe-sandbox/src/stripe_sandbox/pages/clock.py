"""The clock page: the sandbox's time, upcoming timers and retries, and a form to advance it."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from stripe_sandbox.errors import ApiError, Json, invalid
from stripe_sandbox.pages.formatting import duration
from stripe_sandbox.pages.site import Site

UNITS = {"minutes": 60, "hours": 3600, "days": 86_400}
STEPS_S = (60, 3600, 86_400, 7 * 86_400)
LIMIT_S = 3650 * 86_400  # ten years: longer than any expiry at Stripe
UPCOMING = 50  # rows shown at most
_WHOLE = re.compile(r"[0-9]{1,9}")


async def overview(site: Site, request: web.Request) -> web.StreamResponse:
    return _clock(site, note="The clock was advanced." if request.query.get("done") == "advanced" else None)


async def advance(site: Site, request: web.Request) -> web.StreamResponse:
    """Advance by the form's number, or to the next timer or retry."""
    form = await request.post()
    try:
        await site.sandbox.advance(_seconds(site, str(form.get("by", "")), str(form.get("unit", ""))))
    except ApiError as error:
        return _clock(site, problem=str(error), status=error.status)
    await site.sandbox.journal.durable()
    raise web.HTTPSeeOther("/clock?done=advanced")


def _seconds(site: Site, by: str, unit: str) -> float:
    if by == "next":
        upcoming = _upcoming(site)
        return max(0.0, upcoming[0]["due"] - site.sandbox.clock.now()) if upcoming else 0.0
    number = by.strip()
    if _WHOLE.fullmatch(number) is None or (unit and unit not in UNITS):
        raise invalid("Enter a whole number such as 3, and choose minutes, hours or days.", "by")
    seconds = int(number) * UNITS.get(unit, 1)
    if seconds > LIMIT_S:
        raise invalid(f"The clock can be advanced by at most {duration(LIMIT_S)} at a time.", "by")
    return float(seconds)


def _clock(site: Site, *, status: int = 200, **context: Any) -> web.Response:
    upcoming = _upcoming(site)
    return site.page(
        "clock.html",
        section="clock",
        status=status,
        offset_s=site.sandbox.clock.offset_s,
        units=list(UNITS),
        steps=[(seconds, duration(seconds)) for seconds in STEPS_S],
        upcoming=upcoming[:UPCOMING],
        more=max(0, len(upcoming) - UPCOMING),
        **context,
    )


def _upcoming(site: Site) -> list[Json]:
    """List upcoming timers and retries, earliest first, with the affected object and its page."""
    store, now = site.sandbox.store, site.sandbox.clock.now()
    timers = [_timer(site, row) for row in store["timer"].rows.values()]
    # A delivery that is due already is in progress.
    waiting = (row for row in store["delivery"].rows.values() if row["state"] == "pending" and row["due"] > now)
    return sorted([*timers, *map(_delivery, waiting)], key=lambda one: float(one["due"]))


def _timer(site: Site, timer: Json) -> Json:
    """Describe a timer, with the page of the payment that its subject belongs to."""
    subject = timer["subject"]
    store = site.sandbox.store
    intent_id: str | None = subject if subject in store["payment_intent"].rows else None
    for table in ("charge", "refund", "dispute"):
        row = store[table].rows.get(subject)
        intent_id = intent_id or (row or {}).get("payment_intent")
    what = timer["kind"].replace("_", " ").replace(".", ": ")
    return {"what": what, "of": subject, "page": intent_id and f"/payments/{intent_id}", "due": timer["due"]}


def _delivery(row: Json) -> Json:
    what = f"webhook: attempt {row['attempts'] + 1}"
    return {"what": what, "of": row["event"], "page": f"/events/{row['event']}", "due": row["due"]}
