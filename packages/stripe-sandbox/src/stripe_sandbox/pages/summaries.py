"""What pages tell of an object in a word or two."""

from __future__ import annotations

from stripe_sandbox.errors import Json
from stripe_sandbox.pages import badges
from stripe_sandbox.state.store import Store


def order_label(intent: Json) -> str:
    """What the shop calls this payment: its order id, else its description, else the first metadata there are."""
    metadata: dict[str, str] = intent["metadata"]
    return metadata.get("order_id") or intent["description"] or next(iter(metadata.values()), "")


def payment(store: Store, event: Json) -> Json | None:
    """The payment that an event is about, with its `order`."""
    subject = event["data"]["object"]
    named = subject["id"] if subject["object"] == "payment_intent" else subject.get("payment_intent")
    intent = store["payment_intent"].rows.get(named or "")
    return None if intent is None else {**intent, "order": order_label(intent)}


def deliveries(store: Store, event: Json) -> list[Json]:
    """The state of each delivery, with the number of attempts it took."""
    rows = store["delivery"].owned_by(event["id"])
    return [{"badge": badges.of(row["state"]), "attempts": row["attempts"]} for row in rows]
