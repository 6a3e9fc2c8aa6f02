"""Deliveries as the control API and pages show them: destination, times, responses."""

from __future__ import annotations

from typing import Literal

from stripe_sandbox.errors import Json
from stripe_sandbox.resources.pagination import END_OF_TIME
from stripe_sandbox.state.store import PageQuery, Store
from stripe_sandbox.webhooks import signature

State = Literal["pending", "delivered", "failed", "abandoned", "stopped", "dropped"]
"""`webhooks.delivery_attempts` explains each state."""


def of_event(store: Store, event_id: str) -> list[Json]:
    """Return an event's automatic deliveries, duplicates and resends, oldest first."""
    return [rendered(store, row) for row in store["delivery"].owned_by(event_id)]


def listed(store: Store, endpoint: str | None, state: str | None, limit: int, starting_after: str | None) -> Json:
    """Return a list in Stripe's format, newest first."""
    query = PageQuery("delivery", limit, starting_after, None, 0, END_OF_TIME)
    page = store["delivery"].page(
        query, lambda row: endpoint in (None, row["endpoint"]) and state in (None, row["state"])
    )
    data = [rendered(store, row) for row in page.rows]
    return {"object": "list", "data": data, "has_more": page.has_more, "url": "/sandbox/deliveries"}


def rendered(store: Store, row: Json) -> Json:
    """Return a delivery for display; times are in seconds since 1970 by the sandbox's clock."""
    event = store["event"].rows[row["event"]]
    endpoint = store["webhook_endpoint"].rows.get(row["endpoint"], {})
    return {
        "object": "delivery",
        "id": row["id"],
        "event": event["id"],
        "type": event["type"],
        "request": event["request"]["id"],
        "endpoint": row["endpoint"],
        "url": endpoint.get("url"),
        "state": row["state"],
        "planned": round(row["planned"], 3),
        "due": round(row["due"], 3) if row["state"] == "pending" else None,
        "automatic": "once" not in row,
        "attempts_made": row["attempts"],
        "attempts": [_rendered_attempt(*entry) for entry in row["log"]],
    }


def _rendered_attempt(at: float, outcome: str, duration_ms: int, timestamp: int, signatures: int, body: str) -> Json:
    answered = outcome.isdecimal()
    return {
        "at": at,
        "status": int(outcome) if answered else None,
        "error": None if answered else outcome,
        "duration_ms": duration_ms,
        "signature": signature.masked(timestamp, signatures),
        "body": body,
    }
