"""Decode `orders.cancelled`. Pure; any bytes give a `CancelledOrder` or a `Rejected`.

Only the order id is strict. An invalid reason does not invalidate the cancellation.
"""

from __future__ import annotations

from typing import Final

from payment_service.contracts.orders import RefusedError, read_object, read_order_id
from payment_service.domain.order import CancelledOrder, Rejected, record_time

REASON_LIMIT_CHARACTERS: Final = 200  # the limit of a refund's reason, which it may become


def decode_cancelled_order(
    value: bytes | None, *, timestamp_ms: int, card_like_ids: bool = False
) -> CancelledOrder | Rejected:
    """Decode the value of a record of `orders.cancelled`. `timestamp_ms`: the record's, milliseconds since 1970."""
    try:
        fields = read_object(value, card_like_ids=card_like_ids)
        return CancelledOrder(
            order_id=read_order_id(fields), reason=_read_reason(fields), recorded_at=record_time(timestamp_ms)
        )
    except RefusedError as refused:
        return refused.rejected


def _read_reason(fields: dict[str, object]) -> str:
    """Return the reason if it is one printable line, else an empty string."""
    reason = fields.get("reason")
    return reason if isinstance(reason, str) and reason.isprintable() and len(reason) <= REASON_LIMIT_CHARACTERS else ""
