"""The values of `payments.*` as bytes, by the declarations in `payment_service_events.published_events`.

Every field but booleans and `metadata` is a string, never null. Encoders are built when this module is imported: a value is encoded for
every published event.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from payment_service.contracts.records import rfc3339
from payment_service_events.declaration import currency_source, value_fields
from payment_service_events.money import Money
from payment_service_events.published_events import DATA

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payment_service_events.declaration import EventData

_to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_value(
    payment_id: UUID,
    order_id: str,
    user_id: str,
    data: EventData,
    *,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Return the value of a record, JSON in UTF-8."""
    value: dict[str, object] = {"payment_id": str(payment_id), "order_id": order_id, "user_id": user_id}
    value["metadata"] = dict(metadata)
    for name, source, encode in _ENCODERS[type(data)]:
        content = getattr(data, source)
        value[name] = encode(content) if encode else content
    return _to_json(value).encode()


def _amount(money: Money) -> str:
    return money.decimal_text


def _currency(money: Money) -> str:
    return money.currency.code


def _time_or_empty(time: datetime | None) -> str:
    return rfc3339(time) if time is not None else ""


# None: the value is JSON already.
_Encoder = Callable[[Any], str] | None
_BY_TYPE: Final[Mapping[Any, _Encoder]] = MappingProxyType(
    {str: None, bool: None, Money: _amount, datetime: rfc3339, datetime | None: _time_or_empty}
)


def _encoders(kind: type[EventData]) -> tuple[tuple[str, str, _Encoder], ...]:
    """Return a name in the value, a field of the data and an encoder for each field."""
    fields = value_fields(kind)
    found = []
    for field in fields:
        found.append((field.name, field.name, _BY_TYPE[field.type]))
        if field is currency_source(fields):
            found.append(("currency", field.name, _currency))
    return tuple(found)


_ENCODERS: Final = MappingProxyType({kind: _encoders(kind) for kind in DATA})
