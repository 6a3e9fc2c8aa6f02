"""Disputed payments and the steps of a dispute, for the tests of disputes."""

from __future__ import annotations

from typing import Any

from tests.support.sandbox import SandboxProcess

AMOUNT = 3000
FEE = 1500
DAY_S = 24 * 3600
PAST_DEADLINE_S = 10 * DAY_S
PAST_RULING_S = 6
CARD: dict[str, Any] = {"amount": AMOUNT, "currency": "usd", "payment_method_types": ["card"]}


def pay(client: Any, method: str = "pm_card_visa", **more: Any) -> Any:
    return client.v1.payment_intents.create({**CARD, "payment_method": method, "confirm": True, **more})


def disputes_of(client: Any, intent: Any) -> list[Any]:
    found: list[Any] = client.v1.disputes.list({"payment_intent": intent.id}).data
    return found


def disputed(client: Any, card: str = "createDispute") -> Any:
    [dispute] = disputes_of(client, pay(client, f"pm_card_{card}"))
    return dispute


def submit(client: Any, dispute: Any, text: str = "The customer signed for it.") -> Any:
    return client.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": text}})


def events_of(client: Any, *ids: str) -> list[Any]:
    """Return the events about any of these objects, oldest first."""
    found = client.v1.events.list({"limit": 100}).data
    return [event for event in reversed(found) if event.data.object.id in ids]


def types_of(client: Any, *ids: str) -> list[str]:
    return [event.type for event in events_of(client, *ids)]


def rule(sandbox: SandboxProcess, dispute: Any, outcome: str) -> dict[str, Any]:
    return sandbox.control("POST", f"/sandbox/disputes/{dispute.id}/close", {"outcome": outcome})


def open_on(sandbox: SandboxProcess, charge_id: str, **how: Any) -> dict[str, Any]:
    return sandbox.control("POST", f"/sandbox/charges/{charge_id}/dispute", how)
