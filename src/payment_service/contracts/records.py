"""The topics that the service reads and writes, and the CloudEvents headers of its records. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import payment_service_events

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

ORDERS_CREATED: Final = "orders.created"
ORDERS_CREATED_DLQ: Final = "orders.created.dlq"
ORDERS_CANCELLED: Final = "orders.cancelled"
ORDERS_CANCELLED_DLQ: Final = "orders.cancelled.dlq"

# Where the records of a topic go that can't be accepted.
DEAD_LETTERS: Final[Mapping[str, str]] = MappingProxyType(
    {ORDERS_CREATED: ORDERS_CREATED_DLQ, ORDERS_CANCELLED: ORDERS_CANCELLED_DLQ}
)
# Only needed where they are switched on (`ORDERS_CANCELLED`).
OPTIONAL_TOPICS: Final = frozenset({ORDERS_CANCELLED, ORDERS_CANCELLED_DLQ})

# Every topic the service can read or write.
TOPICS: Final = (
    ORDERS_CREATED,
    ORDERS_CREATED_DLQ,
    ORDERS_CANCELLED,
    ORDERS_CANCELLED_DLQ,
    *payment_service_events.TOPICS,
)

# The format that `rfc3339` writes.
TIME_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?Z$"


def topics_needed(*, orders_cancelled: bool) -> tuple[str, ...]:
    """Return the topics that `topics create` creates and `serve` requires."""
    return tuple(name for name in TOPICS if orders_cancelled or name not in OPTIONAL_TOPICS)


def cloud_event_headers(
    *,
    ce_id: UUID,
    ce_type: str,
    deployment: str,
    time: datetime,
    sequence: int,
    attempt: int,
    traceparent: str | None = None,
) -> tuple[tuple[str, bytes], ...]:
    """The headers of a record: CloudEvents 1.0 in binary mode, by the Kafka protocol binding.

    `sequence` counts a payment's records over all topics from 1, `attempt` the payments of an order. Raises `ValueError` for a
    time without a zone.
    """
    headers = [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", str(ce_id)),
        ("ce_type", ce_type),
        ("ce_source", f"/payment-service/{deployment}"),
        ("ce_time", rfc3339(time)),
        ("ce_sequence", str(sequence)),
        ("ce_attempt", str(attempt)),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent))
    return tuple((name, content.encode()) for name, content in headers)


def rfc3339(time: datetime) -> str:
    """`2026-01-31T23:59:59Z`, with a fraction where there is one. Raises `ValueError` for a time without a zone."""
    if time.tzinfo is None:
        message = "A time without a zone cannot be published: pass one in UTC."
        raise ValueError(message)
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
