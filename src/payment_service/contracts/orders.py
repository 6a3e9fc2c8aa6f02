"""Decode `orders.created`. Pure; any bytes give an `Order` or a `Rejected`, never an exception.

Fields that decide about money are strict. All others are ignored if they are unknown or malformed.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NoReturn

from payment_service.contracts.framing import envelope_of, framing_of_bytes
from payment_service.domain.guard import clean, holds_card_number, may_need_cleaning
from payment_service.domain.money import parse
from payment_service.domain.order import Order, Reason, Rejected, record_time
from payment_service_events.currency import Currency, UnknownCurrency, currency
from payment_service_events.money import AMOUNT_MINOR_MAX, Money, MoneyError

ORDER_VALUE_LIMIT_BYTES: Final = 262_144  # 2,000 items
USER_ID_LIMIT_CHARACTERS: Final = 255  # names and mail addresses fit, and the provider's metadata takes 500

# RFC 3339, section 5.6. `fromisoformat` accepts far more.
TIME_PATTERN: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_RFC_3339: Final = re.compile(TIME_PATTERN)
ORDER_ID_PATTERN: Final = r"[\x21-\x7e]{1,64}"
_ORDER_ID: Final = re.compile(ORDER_ID_PATTERN)
PROVIDER_PATTERN: Final = r"[a-z][a-z0-9_]{0,31}"
_PROVIDER: Final = re.compile(PROVIDER_PATTERN)

# Below Stripe's limits for an object (50 names, values of 500, https://docs.stripe.com/metadata): the service adds its own.
METADATA_MAX: Final = 20
METADATA_NAME_MAX: Final = 40
METADATA_VALUE_MAX: Final = 200
METADATA_NAME_PATTERN: Final = rf"[\x20-\x5a\x5c\x5e-\x7e]{{1,{METADATA_NAME_MAX}}}"
_METADATA_NAME: Final = re.compile(METADATA_NAME_PATTERN)
# The names of the service's own entries in the metadata of the provider's objects.
OWN_METADATA: Final = frozenset({"deployment", "installation", "order_id", "payment_id", "refund_id"})

# The fields that ALLOW_CARD_LIKE_IDS exempts from the search for card numbers.
_ID_FIELDS: Final = frozenset({"id", "order_id", "user_id", "product_id"})


# A value that ended with one of these was not parsed, so it may have another format.
_UNPARSED: Final = frozenset({Reason.NOT_UTF8, Reason.NOT_JSON})


class _DuplicateFieldError(ValueError):
    """A field occurs twice, so its meaning is ambiguous."""


class RefusedError(Exception):
    """Carry the `Rejected` out of the decoder."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.rejected = Rejected(reason, detail)


def decode_order(
    value: bytes | None,
    *,
    timestamp_ms: int,
    amount_minor_max: int = AMOUNT_MINOR_MAX,
    card_like_ids: bool = False,
) -> Order | Rejected:
    """Decode the value of a record of `orders.created`.

    `timestamp_ms`: the record's, milliseconds since 1970. `amount_minor_max`: the largest accepted amount, minor units.
    `card_like_ids`: accept ids that look like card numbers. The caller checks the age, and whether the order is known
    with another amount.
    """
    try:
        fields = read_object(value, card_like_ids=card_like_ids)
        return Order(
            order_id=read_order_id(fields),
            user_id=_read_user_id(fields),
            amount=_read_amount(fields, amount_minor_max),
            recorded_at=record_time(timestamp_ms),
            provider=_read_provider(fields),
            manual_capture=_read_capture_method(fields),
            expires_at=_read_expires_at(fields),
            metadata=_read_metadata(fields),
        )
    except RefusedError as refused:
        return refused.rejected


def read_object(value: bytes | None, *, card_like_ids: bool = False) -> dict[str, object]:
    """Parse the value as a JSON object. Raise RefusedError."""
    try:
        text = _read_text(value)
        parsed = _read_json(text)
    except RefusedError as refused:
        if refused.rejected.reason in _UNPARSED and (named := framing_of_bytes(value or b"")):
            raise RefusedError(named.reason, named.detail) from None
        raise
    exempt = _ID_FIELDS if card_like_ids else frozenset[str]()
    if may_need_cleaning(text) and holds_card_number(parsed, except_fields=exempt):
        raise RefusedError(
            Reason.CARD_NUMBER,
            "The order contains a card number, or an id that looks like one: customers enter card numbers on the "
            "provider's page only. If ids of this store look like card numbers, set ALLOW_CARD_LIKE_IDS=true.",
        )
    if not isinstance(parsed, dict):
        twice = isinstance(parsed, str) and parsed.lstrip().startswith("{")
        hint = " It is a JSON text inside a JSON string: serialize the order once." if twice else ""
        raise RefusedError(Reason.NOT_AN_OBJECT, f"The value must be a JSON object with the fields of an order.{hint}")
    if envelope := envelope_of(parsed):
        raise RefusedError(envelope.reason, envelope.detail)
    return parsed


def _read_text(value: bytes | None) -> str:
    if not value:
        raise RefusedError(Reason.EMPTY, "The record has no value; an order is never deleted by a tombstone.")
    if len(value) > ORDER_VALUE_LIMIT_BYTES:
        raise RefusedError(
            Reason.TOO_LARGE, f"The value has {len(value)} bytes; an order has at most {ORDER_VALUE_LIMIT_BYTES}."
        )
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(Reason.NOT_UTF8, f"The value is not UTF-8 at byte {error.start}.") from None


def _read_json(text: str) -> object:
    try:
        parsed: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise RefusedError(Reason.NOT_JSON, f"The value is not JSON at character {error.pos}.") from None
    except _DuplicateFieldError:
        raise RefusedError(
            Reason.DUPLICATE_FIELD, "An object of the value has the same field twice: send each once."
        ) from None
    except (ValueError, ArithmeticError, RecursionError):
        raise RefusedError(
            Reason.NOT_JSON,
            "The value contains NaN, Infinity, a number of thousands of digits, or too many nested levels: send plain JSON.",
        ) from None
    return parsed


def _unique_fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _DuplicateFieldError
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_fields, parse_float=Decimal, parse_constant=_refuse_constant
)


def read_order_id(fields: dict[str, object]) -> str:
    """Return the order id. Raise RefusedError."""
    order_id = fields.get("order_id")
    if not isinstance(order_id, str) or _ORDER_ID.fullmatch(order_id) is None:
        raise RefusedError(
            Reason.BAD_ORDER_ID, "order_id must be a string of 1 to 64 printable ASCII characters without spaces."
        )
    return order_id


def _read_user_id(fields: dict[str, object]) -> str:
    """Return the user id, or an empty string. `isprintable` rejects control characters, NUL and lone surrogates."""
    user_id = fields.get("user_id")
    if user_id is None:
        return ""
    if not isinstance(user_id, str) or len(user_id) > USER_ID_LIMIT_CHARACTERS or not user_id.isprintable():
        raise RefusedError(
            Reason.BAD_USER_ID,
            f"user_id must be a string of at most {USER_ID_LIMIT_CHARACTERS} printable characters, or left out.",
        )
    return user_id


def _read_amount(fields: dict[str, object], minor_max: int) -> Money:
    known = _read_currency(fields)
    total = fields.get("total")
    if not isinstance(total, str):
        raise RefusedError(
            Reason.BAD_AMOUNT,
            'total is not a string: send a decimal string such as "19.90". A JSON number may be rounded.',
        )
    try:
        return parse(total, known, minor_max=minor_max)
    except MoneyError as error:
        raise RefusedError(Reason.BAD_AMOUNT, f"total cannot be read. {error}") from None


def _read_currency(fields: dict[str, object]) -> Currency:
    code = fields.get("currency")
    if not isinstance(code, str) or not code.isascii():
        raise RefusedError(Reason.BAD_CURRENCY, 'currency must be a string, an ISO 4217 code such as "EUR".')
    try:
        return currency(code.lower())
    except UnknownCurrency as error:
        raise RefusedError(Reason.BAD_CURRENCY, str(error)) from None


def _read_provider(fields: dict[str, object]) -> str | None:
    """Return the provider name. The caller checks that it is enabled."""
    name = fields.get("payment_provider")
    if name is not None and (not isinstance(name, str) or _PROVIDER.fullmatch(name) is None):
        raise RefusedError(
            Reason.UNKNOWN_PROVIDER,
            "payment_provider must be the name of a payment provider, such as stripe, or left out.",
        )
    return name


def _read_capture_method(fields: dict[str, object]) -> bool | None:
    """Return whether to capture manually; None means the configured default."""
    method = fields.get("capture_method")
    if method is None:
        return None
    if method not in ("automatic", "manual"):  # a list or an object has no hash
        raise RefusedError(Reason.BAD_CAPTURE_METHOD, 'capture_method must be "automatic" or "manual", or left out.')
    return method == "manual"


def _read_expires_at(fields: dict[str, object]) -> datetime | None:
    """Return the time at which the unpaid order expires; None means the configured default."""
    text = fields.get("expires_at")
    if text is None:
        return None
    if not isinstance(text, str) or _RFC_3339.fullmatch(text) is None:
        raise _bad_expires_at()
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _bad_expires_at() from None


def _read_metadata(fields: dict[str, object]) -> dict[str, str]:
    """Return the shop's metadata. Text that the guard would mask is refused, as the names of the service's own entries are."""
    found = fields.get("metadata")
    if found is None:
        return {}
    if not isinstance(found, dict) or len(found) > METADATA_MAX or not all(map(_is_entry, found.items())):
        raise RefusedError(
            Reason.BAD_METADATA,
            f"metadata must be an object of at most {METADATA_MAX} strings, or left out: names of 1 to {METADATA_NAME_MAX} printable "
            f"ASCII characters without brackets, and values of at most {METADATA_VALUE_MAX} printable characters.",
        )
    if taken := OWN_METADATA & found.keys():
        raise RefusedError(
            Reason.BAD_METADATA,
            f"metadata must not contain {', '.join(sorted(taken))}: the service sets these names itself.",
        )
    return found


def _is_entry(entry: tuple[str, object]) -> bool:
    name, value = entry
    return (
        _METADATA_NAME.fullmatch(name) is not None
        and isinstance(value, str)
        and len(value) <= METADATA_VALUE_MAX
        and value.isprintable()
        and clean(value) == value
        and clean(name) == name
    )


def _bad_expires_at() -> RefusedError:
    return RefusedError(
        Reason.BAD_EXPIRES_AT, 'expires_at must be a time by RFC 3339 such as "2026-12-31T23:59:59Z", or left out.'
    )
