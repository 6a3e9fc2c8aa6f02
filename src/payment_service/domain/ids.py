"""Derive every id from the object that it identifies, so a redelivery, a second replica or a restore yields the same
id.

Parts are joined by a newline. Ids may contain any other punctuation, so another separator could not distinguish ("a",
"b:c") from ("a:b", "c"). A part that contains a newline is rejected.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

# A random constant. It never changes: another value would give every payment another id.
NAMESPACE: Final = UUID("6f1d9a52-0c4e-4b7b-9d53-2f5b1a7c8e10")


def payment_id(deployment: str, order_id: str, attempt: int) -> UUID:
    """Return the id of an order's payment. `attempt` counts from 1."""
    return _uuid_from("payment", deployment, order_id, str(attempt))


def operation_id(payment_id: UUID, kind: str, client: str, key: str) -> UUID:
    """Return the id of a call to the provider. `key`: the client's idempotency key, or the cause; `client`: the
    requester.
    """
    return _uuid_from("operation", str(payment_id), kind, client, key)


def external_refund_id(payment_id: UUID, provider_refund_id: str) -> UUID:
    """Return the id of an external refund. A requested refund has the id of its operation."""
    return _uuid_from("refund", str(payment_id), provider_refund_id)


def dispute_id(payment_id: UUID, provider_dispute_id: str) -> UUID:
    """Return the id of a dispute."""
    return _uuid_from("dispute", str(payment_id), provider_dispute_id)


def event_record_id(payment_id: UUID, topic: str, cause: str) -> UUID:
    """Return the `ce_id` of a published record. `cause`: the provider's object and the state it reached."""
    return _uuid_from("event", str(payment_id), topic, cause)


def quarantine_id(topic: str, partition: int, offset: int, *, content: str = "") -> UUID:
    """Return the id of a quarantined record, the same for every delivery.

    `content` is a digest of the record: after a topic is recreated, another record can have the same offset.
    """
    return _uuid_from("quarantine", topic, str(partition), str(offset), *([content] if content else []))


def _uuid_from(*parts: str) -> UUID:
    if any("\n" in part for part in parts):
        message = "A part of an id contains a newline, which separates the parts: reject it on input."
        raise ValueError(message)
    return uuid5(NAMESPACE, "\n".join(parts))


def as_uuid(text: str) -> UUID | None:
    """Parse an id in this service's format; return None for anything else."""
    try:
        return UUID(text) if len(text) == len(str(UUID(int=0))) else None
    except ValueError:
        return None
