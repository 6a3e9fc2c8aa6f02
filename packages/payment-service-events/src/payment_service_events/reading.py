"""Read a record of `payments.*` into its event. Pure: strict about the contract, tolerant of additions to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NoReturn, Optional, Protocol, Union

from payment_service_events.currency import CURRENCIES, Currency
from payment_service_events.declaration import value_fields
from payment_service_events.event import Event, Record, Unknown
from payment_service_events.money import Money
from payment_service_events.published_events import EVENTS

# These aliases are evaluated at run time, and Python 3.9 has no `X | Y` between types.
_Content = Union[bytes, str, None]
Headers = Union[Mapping[str, _Content], Iterable[tuple[str, _Content]], None]

PREFIX: Final = "payments."
# The topics to subscribe to: each has a type of its own here.
TOPICS: Final = tuple(EVENTS)

_HEADERS: Final = ("ce_", "content-type", "traceparent")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,17}")
_AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,3}))?")
_CURRENCY: Final = re.compile(r"[a-z]{3}")
# RFC 3339. `datetime.fromisoformat` takes neither `Z` nor every number of digits before Python 3.11.
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


class MalformedRecord(ValueError):
    """The record breaks its contract. The message is one sentence that names the topic and the field."""


class Message(Protocol):
    """The methods of a confluent-kafka message that `read_message` calls."""

    def topic(self) -> str | None:
        """Return the topic."""

    def value(self) -> Any:
        """Return the value, as bytes."""

    def headers(self) -> Any:
        """Return the headers, as pairs."""


def read_message(message: Message) -> Event:
    """Read a message of confluent-kafka without an error. Raises MalformedRecord."""
    return read(message.topic() or "", message.value(), message.headers())


def read(topic: str, value: bytes | None, headers: Headers) -> Event:
    """Read a record. A new topic of `payments.*` becomes `Unknown`; new fields are ignored.

    Raises MalformedRecord for a record that breaks the contract, and for any topic outside `payments.*`.
    """
    try:
        return _read(topic, value, _text(headers))
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise MalformedRecord(f"The record of {topic!r} can't be read: {why}.") from None


def _read(topic: str, value: bytes | None, headers: dict[str, str]) -> Event:
    if not topic.startswith(PREFIX):
        raise ValueError("its topic is not one of payments.*")
    found = _object(value)
    kind = EVENTS.get(topic)
    envelope: dict[str, Any] = {
        "id": _header(headers, "ce_id"),
        "sequence": _count(headers, "ce_sequence"),
        "attempt": _count(headers, "ce_attempt"),
        "time": _time("ce_time", _header(headers, "ce_time")),
        "record": Record(topic=topic, value=value or b"", headers=MappingProxyType(headers)),
    }
    if kind is None:
        names: dict[str, Any] = {name: _text_or_empty(found, name) for name in ("payment_id", "order_id", "user_id")}
        names["metadata"] = _strings(found, "metadata")
        return Unknown(**envelope, **names, value=MappingProxyType(found))
    return kind(**envelope, **{name: reader(found, name) for name, reader in _READERS[topic].items()})


def _object(value: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads((value or b"").decode(), parse_float=Decimal, parse_constant=_refuse)
    except ValueError:
        raise ValueError("its value is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("its value is not a JSON object")  # noqa: TRY004 - the record is wrong, not the caller
    return found


def _refuse(_name: str) -> NoReturn:
    raise ValueError


def _text(headers: Headers) -> dict[str, str]:
    """Return the headers of the contract as text, without the headers that others add."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return {
        name: content if isinstance(content, str) else content.decode(errors="replace")
        for name, content in pairs
        if content is not None and name.startswith(_HEADERS)
    }


def _header(headers: dict[str, str], name: str) -> str:
    if not headers.get(name):
        raise ValueError(f"it has no header {name}")
    return headers[name]


def _count(headers: dict[str, str], name: str) -> int:
    text = _header(headers, name)
    if _COUNT.fullmatch(text) is None:
        raise ValueError(f"its header {name} is not a number from 1")
    return int(text)


def _string(found: dict[str, Any], name: str) -> str:
    text = found.get(name)
    if not isinstance(text, str):
        raise ValueError(f"{name} is not a string")  # noqa: TRY004 - the record is wrong, not the caller
    return text


def _text_or_empty(found: dict[str, Any], name: str) -> str:
    text = found.get(name)
    return text if isinstance(text, str) else ""


def _strings(found: dict[str, Any], name: str) -> Mapping[str, str]:
    """Read an object of strings. Anything else in it is left out, because nothing depends on it."""
    entries = found.get(name)
    named = entries.items() if isinstance(entries, dict) else ()
    return MappingProxyType({key: value for key, value in named if isinstance(value, str)})


def _boolean(found: dict[str, Any], name: str) -> bool:
    flag = found.get(name)
    if not isinstance(flag, bool):
        raise ValueError(f"{name} is neither true nor false")  # noqa: TRY004 - the record is wrong, not the caller
    return flag


def _money(found: dict[str, Any], name: str) -> Money:
    """Read an amount. It has exactly the currency's decimals, so a currency added later can be read too."""
    code, match = _string(found, "currency"), _AMOUNT.fullmatch(_string(found, name))
    if _CURRENCY.fullmatch(code) is None:
        raise ValueError("currency is not a lower-case ISO 4217 code")
    if match is None:
        raise ValueError(f"{name} is not a decimal amount")
    fraction = match[2] or ""
    known = CURRENCIES.get(code, Currency(code, len(fraction)))
    if known.decimals != len(fraction):
        raise ValueError(f"{name} does not have the {known.decimals} decimals of {code}")
    return Money(int(match[1] + fraction), known)


def _moment(found: dict[str, Any], name: str) -> datetime:
    return _time(name, _string(found, name))


def _moment_or_none(found: dict[str, Any], name: str) -> datetime | None:
    return _moment(found, name) if _string(found, name) else None


def _time(name: str, text: str) -> datetime:
    problem = f"{name} is not a time by RFC 3339, with its offset from UTC"
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(problem)
    day, clock, fraction, _zone, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    microsecond = int((fraction or "").ljust(6, "0")[:6])
    try:
        zone = timezone(-offset if sign == "-" else offset)
        return datetime.fromisoformat(f"{day}T{clock}").replace(microsecond=microsecond, tzinfo=zone)
    except ValueError:
        raise ValueError(problem) from None


_BY_TYPE: Final[Mapping[Any, Callable[[dict[str, Any], str], Any]]] = MappingProxyType(
    {
        str: _string,
        bool: _boolean,
        Money: _money,
        datetime: _moment,
        Optional[datetime]: _moment_or_none,
        Mapping[str, str]: _strings,
    }
)
_READERS: Final = MappingProxyType(
    {topic: {field.name: _BY_TYPE[field.type] for field in value_fields(kind)} for topic, kind in EVENTS.items()}
)
