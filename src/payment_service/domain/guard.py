"""The guard at every exit: text from outside passes it before it is stored, published, logged or sent.

It masks card numbers (PCI DSS 3.5) and client secrets, with which anybody can confirm a payment
(https://docs.stripe.com/api/payment_intents/object#payment_intent_object-client_secret).
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from payment_service.domain import card_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLIENT_SECRET: Final = re.compile(r"_secret_[A-Za-z0-9]+")
_DIGITS_MAX: Final = 19  # of a card number; a number such as 1e999 would become a text of a thousand digits
_SECRET_FIELDS: Final = frozenset({"client_secret"})
# Fields in which a provider names its objects, and the form of its ids. An id has a letter, so it is no card number after a prefix.
_OBJECT_FIELDS: Final = frozenset({
    "id", "payment_intent", "charge", "latest_charge", "payment_method", "balance_transaction",
})  # fmt: skip
_OBJECT_ID: Final = re.compile(r"[a-z]{2,6}_(?=[0-9]*[A-Za-z])[0-9A-Za-z]{14,255}")
# The ids of ours that the metadata of objects have: name-based UUIDs.
_OUR_FIELDS: Final = frozenset({"payment_id", "refund_id"})
_OUR_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def may_need_cleaning(text: str) -> bool:
    """Return whether a text, or JSON text, needs `clean` or `clean_json`. Fast: nearly all texts end here."""
    return "_secret" in text or card_numbers.may_contain(text)


def clean(text: str) -> str:
    """Mask card numbers and client secrets."""
    if not may_need_cleaning(text):
        return text
    return card_numbers.mask(_CLIENT_SECRET.sub("_secret_***", text))


def clean_json(value: Any, *, of_people: bool = False) -> Any:
    """Clean all texts, numbers and field names of a JSON value, and drop fields named `client_secret`.

    The ids by which a provider and we name objects stay: with a masked one, an event would be about another object.
    `of_people`: the value is metadata, in which anybody may write.
    """
    match value:
        case str():
            return clean(value)
        case dict():
            return {
                clean(name): inner
                if _is_object_id(name, inner, of_people=of_people)
                else clean_json(inner, of_people=of_people or name == "metadata")
                for name, inner in value.items()
                if name not in _SECRET_FIELDS
            }
        case list():
            return [clean_json(inner, of_people=of_people) for inner in value]
        case bool() | None:
            return value
        case int() if card_numbers.contains(str(value)):
            return card_numbers.mask(str(value))
        case _:
            return value


def _is_object_id(field: str, value: Any, *, of_people: bool) -> bool:
    """Return whether a value is the id of an object in a field for it."""
    if not isinstance(value, str):
        return False
    if of_people:
        return field in _OUR_FIELDS and _OUR_ID.fullmatch(value) is not None
    return field in _OBJECT_FIELDS and _OBJECT_ID.fullmatch(value) is not None


def clean_payload(payload: str) -> str:
    """Clean JSON text. Return it unchanged if it holds nothing to mask."""
    if not may_need_cleaning(payload):
        return payload
    # Without escapes, a number in a text of the value is also in the payload. UUIDs get here often, and end here.
    if "\\" not in payload and "_secret" not in payload and not card_numbers.contains(payload):
        return payload
    value = json.loads(payload, parse_float=str)
    cleaned = clean_json(value)
    return payload if cleaned == value else json.dumps(cleaned, ensure_ascii=False, separators=(",", ":"))


def holds_card_number(value: object, *, except_fields: frozenset[str] = frozenset()) -> bool:
    """Return whether a text, a number or a field name of a JSON value holds a card number. Fractions are `Decimal`.

    `except_fields`: names of fields whose text or number is not searched.
    """
    return card_numbers.contains_any(_texts_of(value, except_fields))


def _texts_of(value: object, except_fields: frozenset[str]) -> Iterator[str]:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as fields:
                waiting.extend(fields)
                waiting.extend(v for k, v in fields.items() if k not in except_fields or isinstance(v, (dict, list)))
            case list() as items:
                waiting.extend(items)
            case str() as text:
                yield text
            case bool():
                pass
            case int() as number:
                yield str(number)
            case Decimal() as number if number.is_finite() and number.adjusted() < _DIGITS_MAX:
                yield f"{number:.0f}"
            case _:
                pass
