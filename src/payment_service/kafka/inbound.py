"""Turn a message of the client into an inbound record: decoded or rejected, before any transaction is open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final, Self

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE

from payment_service.contracts.dead_letters import dead_letter
from payment_service.contracts.incoming import InboundRecord, decode
from payment_service.domain.order import Rejected

if TYPE_CHECKING:
    from confluent_kafka import Message

    from payment_service.config.config import Config

# For a header whose name is not UTF-8, `Message.headers` returns a broken list *and* sets an error. A specialized plain
# call of CPython does not notice that: the error surfaces later, or the process crashes. A call through `methodcaller`
# does notice.
_call_headers: Final = methodcaller("headers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """The settings of decoding. `amount_minor_max`: minor units. `card_like_ids`: accept ids that look like card numbers."""

    amount_minor_max: int
    card_like_ids: bool

    @classmethod
    def of(cls, config: Config) -> Self:
        """Read the settings."""
        return cls(amount_minor_max=config.max_amount_minor, card_like_ids=config.allow_card_like_ids)

    def inbound_record(self, message: Message) -> InboundRecord:
        """Decode a record, and build its dead letter if it is rejected."""
        kind, timestamp_ms = message.timestamp()
        if kind == TIMESTAMP_NOT_AVAILABLE:
            timestamp_ms = -1
        topic, value = message.topic() or "", _bytes(message.value())
        decoded = decode(
            topic,
            value,
            timestamp_ms=timestamp_ms,
            amount_minor_max=self.amount_minor_max,
            card_like_ids=self.card_like_ids,
        )
        record = InboundRecord(
            topic=topic,
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp_ms=timestamp_ms,
            key=_bytes(message.key()),
            value=value,
            headers=_headers(message),
            decoded=decoded,
        )
        return replace(record, letter=dead_letter(record, decoded)) if isinstance(decoded, Rejected) else record


def _headers(message: Message) -> tuple[tuple[str, bytes | None], ...]:
    try:
        headers: Any = _call_headers(message) or []
    except (UnicodeDecodeError, SystemError):
        # The client cannot return headers if one name is not UTF-8; the order is valid without them.
        return ()
    return tuple((name, _bytes(value)) for name, value in headers)


def _bytes(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()
