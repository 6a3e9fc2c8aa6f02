"""Payments to refund and queries for their state, for the tests of refunds."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.test_cards import event_types, pay
from tests.support.sandbox import SandboxProcess

PAID_EVENTS = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


def paid(client: Any, method: str = "pm_card_visa", **more: Any) -> stripe.PaymentIntent:
    """Return a paid intent whose charge is booked at once, so that no `charge.updated` follows."""
    return pay(client, method, capture_method="automatic", **more)


def charge_of(client: Any, intent: stripe.PaymentIntent) -> Any:
    return client.v1.charges.retrieve(str(intent.latest_charge))


def events_since(client: Any, intent: stripe.PaymentIntent) -> list[str]:
    """Return the types of the intent's events since it was paid, oldest first."""
    types = event_types(client, intent.id)
    assert types[:3] == PAID_EVENTS
    return types[3:]


def effects(sandbox: SandboxProcess, refund_id: str) -> list[tuple[str, int]]:
    return [(entry["effect"], entry["amount"]) for entry in sandbox.ledger() if entry["source"] == refund_id]


def rejected(client: Any, **params: Any) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create(params)
    assert caught.value.http_status == 400
    return caught.value


def dispute_of(client: Any, intent: stripe.PaymentIntent) -> Any:
    [dispute] = client.v1.disputes.list({"payment_intent": intent.id}).data
    return dispute
