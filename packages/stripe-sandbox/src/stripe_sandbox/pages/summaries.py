"""Short descriptions of objects, for the rows of lists."""

from __future__ import annotations

from stripe_sandbox.errors import Json
from stripe_sandbox.pages import badges
from stripe_sandbox.state.store import Store


def order_label(intent: Json) -> str:
    """Return the shop's name for a payment: its order id, else its description, else any metadata value."""
    metadata: dict[str, str] = intent["metadata"]
    return metadata.get("order_id") or intent["description"] or next(iter(metadata.values()), "")


def payment(store: Store, event: Json) -> Json | None:
    """Return the payment that an event concerns, with its `order`."""
    subject = event["data"]["object"]
    intent_id = subject["id"] if subject["object"] == "payment_intent" else subject.get("payment_intent")
    intent = store["payment_intent"].rows.get(intent_id or "")
    return None if intent is None else {**intent, "order": order_label(intent)}


def deliveries(store: Store, event: Json) -> list[Json]:
    """Return the state of each delivery, with its number of attempts."""
    rows = store["delivery"].owned_by(event["id"])
    return [{"badge": badges.of(row["state"]), "attempts": row["attempts"]} for row in rows]
