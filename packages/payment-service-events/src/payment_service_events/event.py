"""The fields that all events share, and the record that an event was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from payment_service_events.declaration import about


@dataclass(frozen=True)
class Record:
    """The record as received, with headers as text. Store it: a later version of this package can read it again."""

    topic: str
    value: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Event:
    """The fields that all events share.

    `id` is stable across repeated deliveries. `sequence` counts a payment's records over all topics, from 1. `attempt`
    counts the payments of an order, from 1. `user_id` is empty when the order had none.
    """

    id: str
    sequence: int
    attempt: int
    time: datetime
    payment_id: str = field(
        metadata=about(
            "Identifies the payment; also the key of the record.", "ae21913b-5b2f-5c29-8abf-153dfb1cfa87", format="uuid"
        )
    )
    order_id: str = field(metadata=about("The shop's id of the order.", "order-1001"))
    user_id: str = field(metadata=about("As in the order; empty when the order has no user.", "user-7"))
    metadata: Mapping[str, str] = field(
        hash=False,
        metadata=about(
            "Names and values of the shop, as in the order; empty when it has none.", {"campaign": "spring"}
        ),
    )
    record: Record = field(repr=False, compare=False)


@dataclass(frozen=True)
class Unknown(Event):
    """A record of a topic added after this version. `value` is its JSON; numbers with a fraction are Decimal."""

    value: Mapping[str, Any]
