"""Event objects (https://docs.stripe.com/api/events/object): the object as it was, in an envelope."""

from __future__ import annotations

from fnmatch import fnmatchcase

from stripe_sandbox.errors import Json, invalid, missing_resource
from stripe_sandbox.resources.listing import answer, page_query
from stripe_sandbox.state.store import Store
from stripe_sandbox.state.work import Reply, Work, new_id

API_VERSION = "2026-08-26.dahlia"

TYPES_LIMIT = 20  # https://docs.stripe.com/api/events/list


def emit(work: Work, kind: str, subject: Json, previous: Json | None = None) -> None:
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
    """With `pending_webhooks`: endpoints that haven't answered 2xx yet."""
    pending = sum(1 for row in store["delivery"].owned_by(event["id"]) if row["state"] == "pending")
    return {**event, "pending_webhooks": pending}


def retrieve(work: Work, params: Json, path: Json) -> Reply:
    event = work.tx.find("event", path["id"])
    if event is None:
        raise missing_resource("event", path["id"], "id")
    return Reply(rendered(work.tx.store, event))


def list_all(work: Work, params: Json, path: Json) -> Reply:
    """Newest first, by `type` (with wildcards) or `types`, `created`, `delivery_success`."""
    patterns = _patterns(params)
    delivered: bool | None = params.get("delivery_success")

    def wanted(event: Json) -> bool:
        if patterns and not any(fnmatchcase(event["type"], pattern) for pattern in patterns):
            return False
        if delivered is None:
            return True
        rows = work.tx.table("delivery").owned_by(event["id"])
        return all(row["state"] == "delivered" for row in rows) is delivered

    page = work.tx.table("event").page(page_query("event", params), wanted)
    page.rows[:] = [rendered(work.tx.store, event) for event in page.rows]
    return answer("/v1/events", page)


def _patterns(params: Json) -> list[str]:
    if "type" in params and "types" in params:
        raise invalid("You may only specify one of these parameters: type, types.")
    types: list[str] = params.get("types", [])
    if len(types) > TYPES_LIMIT:
        raise invalid(f"You may pass up to {TYPES_LIMIT} types.", "types")
    return [params["type"]] if "type" in params else types
