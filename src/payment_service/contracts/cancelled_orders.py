"""Decoding `orders.cancelled`. Pure; whatever the bytes are, the answer is a `CancelledOrder` or a `Rejected`.

Only the order's name is strict: a cancellation is no less meant for a reason that can't be read.
"""

from __future__ import annotations

from typing import Final

from payment_service.contracts.orders import RefusedError, read_object, read_order_id
from payment_service.domain.order import CancelledOrder, Rejected, record_time

REASON_LIMIT_CHARACTERS: Final = 200  # as long as the reason of a refund, which it may become


def decode_cancelled_order(value: bytes | None, *, timestamp_ms: int) -> CancelledOrder | Rejected:
    """Read the value of a record of `orders.cancelled`. `timestamp_ms`: the record's, milliseconds since 1970."""
    try:
        fields = read_object(value)
        return CancelledOrder(
            order_id=read_order_id(fields), reason=_read_reason(fields), recorded_at=record_time(timestamp_ms)
        )
    except RefusedError as refused:
        return refused.rejected


def _read_reason(fields: dict[str, object]) -> str:
    """For people: what is no line of text is as if it had been left out. `isprintable` refuses what a database would."""
    reason = fields.get("reason")
    return reason if isinstance(reason, str) and reason.isprintable() and len(reason) <= REASON_LIMIT_CHARACTERS else ""
