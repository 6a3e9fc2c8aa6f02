"""Names, not dice: every id is made from what it names, so a redelivery, a second replica or a restored backup makes it again.

Parts are joined by a newline. Ids may hold any other punctuation, so nothing else would keep ("a", "b:c") and ("a:b", "c")
apart; a part that holds a newline is refused.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

# Drawn once. Another value would give every payment of every deployment another id, so it never changes.
NAMESPACE: Final = UUID("6f1d9a52-0c4e-4b7b-9d53-2f5b1a7c8e10")


def payment_id(deployment: str, order_id: str, attempt: int) -> UUID:
    """Name the payment of an order. `attempt` counts from 1."""
    return _named("payment", deployment, order_id, str(attempt))


def operation_id(payment_id: UUID, kind: str, client: str, key: str) -> UUID:
    """A call to the provider. `key`: the caller's idempotency key, or the name of what caused it; `client`: who asked."""
    return _named("operation", str(payment_id), kind, client, key)


def external_refund_id(payment_id: UUID, provider_refund_id: str) -> UUID:
    """A refund that was made at the provider by hand. One that was asked of us bears the id of its operation."""
    return _named("refund", str(payment_id), provider_refund_id)


def dispute_id(payment_id: UUID, provider_dispute_id: str) -> UUID:
    """A dispute of a payment."""
    return _named("dispute", str(payment_id), provider_dispute_id)


def event_record_id(payment_id: UUID, topic: str, cause: str) -> UUID:
    """The `ce_id` of an announced record. `cause`: the provider's object and the state it reached."""
    return _named("event", str(payment_id), topic, cause)


def quarantine_id(topic: str, partition: int, offset: int) -> UUID:
    """What is kept of a record that could not be accepted, once however often it is delivered."""
    return _named("quarantine", topic, str(partition), str(offset))


def _named(*parts: str) -> UUID:
    if any("\n" in part for part in parts):
        message = "A part of an id holds a newline, which separates the parts: refuse it where it came in."
        raise ValueError(message)
    return uuid5(NAMESPACE, "\n".join(parts))
