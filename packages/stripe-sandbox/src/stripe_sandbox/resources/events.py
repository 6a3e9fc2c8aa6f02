"""Events (https://docs.stripe.com/api/events/object): a snapshot of an object in an envelope."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from stripe_sandbox.errors import Json, invalid, missing_resource
from stripe_sandbox.resources.pagination import list_reply, page_query
from stripe_sandbox.state.store import Store
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id

API_VERSION = "2026-08-26.dahlia"

ONLY_OLD = "only_old"  # marks the events that `old_versions` emits
TYPES_LIMIT = 20  # https://docs.stripe.com/api/events/list
RETENTION_S = 30 * 24 * 3600  # https://docs.stripe.com/api/events


def emit(work: UnitOfWork, kind: str, subject: Json, previous: Json | None = None, *, only_old: bool = False) -> None:
    """Record that `kind` happened to `subject`; deliveries are planned at commit.

    `previous` holds the old values of updated fields (`previous_attributes`). `only_old`: the event exists only for
    endpoints with an API version before basil, and the API does not list it.
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
    if only_old:
        event[ONLY_OLD] = True
    work.tx.put("event", event["id"], event)
    work.events.append(event)


def rendered(store: Store, event: Json) -> Json:
    """Return the event as the API shows it, with its count of pending webhooks."""
    return {**event, "pending_webhooks": pending_webhooks(store, event["id"])}


def pending_webhooks(store: Store, event_id: str) -> int:
    """Count the endpoints that have not accepted the event yet and are still tried."""
    rows = store["delivery"].owned_by(event_id)
    pending = {row["endpoint"] for row in rows if row["state"] == "pending"}
    return len(pending.difference(row["endpoint"] for row in rows if row["state"] == "delivered"))


def was_delivered(store: Store, event_id: str) -> bool:
    """Return whether every endpoint of the event has answered 2xx."""
    rows = store["delivery"].owned_by(event_id)
    delivered = {row["endpoint"] for row in rows if row["state"] == "delivered"}
    return all(row["endpoint"] in delivered for row in rows)


def subject_metadata(work: UnitOfWork, event: Json) -> Json:
    """Return the metadata of the event's object, over that of its payment."""
    subject: Json = event["data"]["object"]
    owner = subject.get("payment_intent")
    intent = work.tx.find("payment_intent", owner) if isinstance(owner, str) else None
    metadata: Json = {**(intent["metadata"] if intent else {}), **(subject.get("metadata") or {})}
    return metadata


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    return Reply(rendered(work.tx.store, retained_event(work, path["id"])))


def retained_event(work: UnitOfWork, event_id: str) -> Json:
    """Return an event within its retention time. Raises `ApiError` 404."""
    event = work.tx.find("event", event_id)
    if event is None or ONLY_OLD in event or event["created"] < _oldest(work):
        raise missing_resource("event", event_id, "id")
    return event


def list_all(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """List newest first, by `type` (with wildcards) or `types`, `created`, `delivery_success`."""
    patterns = _patterns(params)
    delivered: bool | None = params.get("delivery_success")
    store = work.tx.store

    def wanted(event: Json) -> bool:
        if ONLY_OLD in event:
            return False
        if patterns and not any(fnmatchcase(event["type"], pattern) for pattern in patterns):
            return False
        return delivered is None or was_delivered(store, event["id"]) is delivered

    query = page_query("event", params)
    query = replace(query, created_from=max(query.created_from, _oldest(work)))
    page = work.tx.table("event").page(query, wanted)
    page.rows[:] = [rendered(store, event) for event in page.rows]
    return list_reply("/v1/events", page)


def _oldest(work: UnitOfWork) -> int:
    """Return the `created` of the oldest event within the retention time."""
    return work.created - RETENTION_S


def _patterns(params: Json) -> list[str]:
    if "type" in params and "types" in params:
        raise invalid("You may only specify one of these parameters: type, types.")
    types: list[str] = params.get("types", [])
    if len(types) > TYPES_LIMIT:
        raise invalid(f"You may pass up to {TYPES_LIMIT} types.", "types")
    return [params["type"]] if "type" in params else types
