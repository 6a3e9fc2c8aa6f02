"""List Stripe's latest events (https://docs.stripe.com/api/events/list)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from payment_service.provider.port import CURSOR_LOST, BodyRefused, EventPage, ProviderEvent, Transient
from payment_service.provider.stripe.list_pages import created_between, read_page
from payment_service.provider.stripe.webhooks import APPLIED_TYPES

if TYPE_CHECKING:
    from payment_service.provider.stripe.deliveries import StripeDeliveries
    from payment_service.provider.stripe.list_pages import Get

log = structlog.get_logger(__name__)

EVENTS: Final = "/v1/events"
# Stripe lists events for 30 days (https://docs.stripe.com/api/events).
EVENTS_KEPT: Final = timedelta(days=30)
# Stripe accepts up to 20 types (https://docs.stripe.com/api/events/list). The filter keeps events of other programs
# on the account out of the pages.
TYPES_MAX: Final = 20
# Stripe's code for an id that does not exist (https://docs.stripe.com/error-codes).
_MISSING: Final = "resource_missing"


async def read_recent_events(
    get: Get,
    deliveries: StripeDeliveries,
    *,
    created_from: int,
    created_to: int | None,
    after: str,
    undelivered: bool,
    now_s: float,
) -> EventPage | Transient:
    """Read a page. Events pass the same parser and translation as a delivery."""
    query = created_between(created_from, created_to) | _types()
    if undelivered:
        query["delivery_success"] = "false"
    page = await read_page(get, EVENTS, query, now_s=now_s, after=after)
    if isinstance(page, Transient):
        return replace(page, code=CURSOR_LOST) if after and page.code == _MISSING else page
    read = (_translate(deliveries, listed) for listed in page.objects)
    events = tuple(event for event in read if event is not None)
    return EventPage(events=events, at=page.at, next_after=page.last_id if page.has_more else "")


def _types() -> dict[str, str]:
    types = sorted(APPLIED_TYPES)
    return {f"types[{i}]": kind for i, kind in enumerate(types)} if len(types) <= TYPES_MAX else {}


def _translate(deliveries: StripeDeliveries, listed: dict[str, Any]) -> ProviderEvent | None:
    try:
        return deliveries.translate(deliveries.parse(json.dumps(listed).encode()))
    except BodyRefused as refused:
        log.error("listed_event_not_readable", reason=refused.reason)
        return None
