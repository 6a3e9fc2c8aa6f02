"""Event objects (https://docs.stripe.com/api/events/object): the object as it was, in an envelope."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from stripe_sandbox.errors import Json, invalid, missing_resource
from stripe_sandbox.resources.pagination import list_reply, page_query
from stripe_sandbox.state.store import Store
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id

API_VERSION = "2026-08-26.dahlia"

TYPES_LIMIT = 20  # https://docs.stripe.com/api/events/list
RETENTION_S = 30 * 24 * 3600  # https://docs.stripe.com/api/events


def emit(work: UnitOfWork, kind: str, subject: Json, previous: Json | None = None) -> None:
    """Record that `kind` happened to `subject`; delivery is planned when the work is done.

    `previous` holds the old values of what an update changed (`previous_attributes`).
    """
    data = {"object": subject} if previous is None else {"object": subject, "previous_attributes": previous}
    event: Json = {
        "id": new_id("evt_3" if kind.startswith(("payment_intent", "charge")) else "evt_1"),
        "object": "event",
        "api_version": API_VERSION,
        "created": work.created,
        "data": data,
        "livemode": False,
        "request": {"id": work.request_id, "idempotency_key": work.idempotency_key},
        "type": kind,
    }
    work.tx.put("event", event["id"], event)
    work.events.append(event)


def rendered(store: Store, event: Json) -> Json:
    """As the API shows it, with the webhooks that are pending."""
    return {**event, "pending_webhooks": pending_webhooks(store, event["id"])}


def pending_webhooks(store: Store, event_id: str) -> int:
    """Endpoints that haven't answered 2xx yet, and still may."""
    rows = store["delivery"].owned_by(event_id)
    pending = {row["endpoint"] for row in rows if row["state"] == "pending"}
    return len(pending.difference(row["endpoint"] for row in rows if row["state"] == "delivered"))


def was_delivered(store: Store, event_id: str) -> bool:
    """Whether each endpoint it was meant for has answered 2xx."""
    rows = store["delivery"].owned_by(event_id)
    delivered = {row["endpoint"] for row in rows if row["state"] == "delivered"}
    return all(row["endpoint"] in delivered for row in rows)


def subject_metadata(work: UnitOfWork, event: Json) -> Json:
    """The metadata of the object that an event is about, over those of the payment it belongs to."""
    subject: Json = event["data"]["object"]
    owner = subject.get("payment_intent")
    intent = work.tx.find("payment_intent", owner) if isinstance(owner, str) else None
    metadata: Json = {**(intent["metadata"] if intent else {}), **(subject.get("metadata") or {})}
    return metadata


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    return Reply(rendered(work.tx.store, retained_event(work, path["id"])))


def retained_event(work: UnitOfWork, event_id: str) -> Json:
    """The event as it was kept. Raises `ApiError` 404."""
    event = work.tx.find("event", event_id)
    if event is None or event["created"] < _oldest(work):
        raise missing_resource("event", event_id, "id")
    return event


def list_all(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Newest first, by `type` (with wildcards) or `types`, `created`, `delivery_success`."""
    patterns = _patterns(params)
    delivered: bool | None = params.get("delivery_success")
    store = work.tx.store

    def wanted(event: Json) -> bool:
        if patterns and not any(fnmatchcase(event["type"], pattern) for pattern in patterns):
            return False
        return delivered is None or was_delivered(store, event["id"]) is delivered

    query = page_query("event", params)
    query = replace(query, created_from=max(query.created_from, _oldest(work)))
    page = work.tx.table("event").page(query, wanted)
    page.rows[:] = [rendered(store, event) for event in page.rows]
    return list_reply("/v1/events", page)


def _oldest(work: UnitOfWork) -> int:
    """The `created` of the oldest event that can still be had."""
    return work.created - RETENTION_S


def _patterns(params: Json) -> list[str]:
    if "type" in params and "types" in params:
        raise invalid("You may only specify one of these parameters: type, types.")
    types: list[str] = params.get("types", [])
    if len(types) > TYPES_LIMIT:
        raise invalid(f"You may pass up to {TYPES_LIMIT} types.", "types")
    return [params["type"]] if "type" in params else types
