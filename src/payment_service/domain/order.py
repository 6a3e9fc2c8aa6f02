"""Orders, canceled orders, and the reasons to reject them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payment_service_events.money import Money

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_10000_MS: Final = 253_402_300_800_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request to collect `amount` for `order_id`.

    `user_id` is empty if the order names no user. `recorded_at` is the record's own time, None if the broker gave none.
    `provider`, `manual_capture` and `expires_at` are None if the order leaves them to the service. `metadata`: the shop's own
    names and values, which decide nothing.
    """

    order_id: str
    user_id: str
    amount: Money
    recorded_at: datetime | None
    provider: str | None = None
    manual_capture: bool | None = None
    expires_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledOrder:
    """An order that the shop canceled. `reason`: for people, empty if none was given."""

    order_id: str
    reason: str
    recorded_at: datetime | None


class Reason(StrEnum):
    """The reason why an order was rejected: the codes of `dlq_reason` and of the quarantine, part of the contract."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    UTF16 = "utf16"
    BYTE_ORDER_MARK = "byte_order_mark"
    COMPRESSED_VALUE = "compressed_value"
    SCHEMA_REGISTRY_FRAMING = "schema_registry_framing"
    BINARY_FORMAT = "binary_format"
    DEBEZIUM_ENVELOPE = "debezium_envelope"
    CONNECT_ENVELOPE = "connect_envelope"
    CLOUDEVENTS_ENVELOPE = "cloudevents_envelope"
    DUPLICATE_FIELD = "duplicate_field"
    NOT_AN_OBJECT = "not_an_object"
    CARD_NUMBER = "card_number"
    BAD_ORDER_ID = "bad_order_id"
    BAD_USER_ID = "bad_user_id"
    BAD_CURRENCY = "bad_currency"
    BAD_AMOUNT = "bad_amount"
    BAD_CAPTURE_METHOD = "bad_capture_method"
    BAD_EXPIRES_AT = "bad_expires_at"
    BAD_METADATA = "bad_metadata"
    AMOUNT_NOT_CHARGEABLE = "amount_not_chargeable"
    UNKNOWN_PROVIDER = "unknown_provider"
    ORDER_CHANGED = "order_changed"
    TOO_OLD = "too_old"
    NOT_STORABLE = "not_storable"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected order. `detail`: one sentence for an operator, which never repeats the record's content."""

    reason: Reason
    detail: str


def record_time(timestamp_ms: int) -> datetime | None:
    """Return the time of a record from milliseconds since 1970. Return None for an invalid time (-1 is Kafka's "none")."""
    if not 0 <= timestamp_ms < _YEAR_10000_MS:
        return None
    return _EPOCH + timedelta(milliseconds=timestamp_ms)
