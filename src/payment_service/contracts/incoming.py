"""Decode the records of all consumed topics. Pure; any bytes give a result, never an exception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.contracts.cancelled_orders import decode_cancelled_order
from payment_service.contracts.dead_letters import DeadLetter, Record
from payment_service.contracts.orders import decode_order
from payment_service.contracts.records import ORDERS_CANCELLED

if TYPE_CHECKING:
    from payment_service.domain.order import CancelledOrder, Order, Rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundRecord(Record):
    """A consumed record, decoded or rejected. `letter`: its dead letter, if it was rejected when it was decoded."""

    decoded: Order | CancelledOrder | Rejected
    letter: DeadLetter | None = None


def decode(
    topic: str, value: bytes | None, *, timestamp_ms: int, amount_minor_max: int, card_like_ids: bool = False
) -> Order | CancelledOrder | Rejected:
    """Decode the value of a record. `timestamp_ms`: the record's, milliseconds since 1970; `amount_minor_max`: minor units.

    `card_like_ids`: accept ids that look like card numbers.
    """
    if topic == ORDERS_CANCELLED:
        return decode_cancelled_order(value, timestamp_ms=timestamp_ms, card_like_ids=card_like_ids)
    return decode_order(
        value, timestamp_ms=timestamp_ms, amount_minor_max=amount_minor_max, card_like_ids=card_like_ids
    )
