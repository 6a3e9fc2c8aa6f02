"""Stripe's webhooks: `verify` the raw bytes, `parse` them strictly, `translate` the event. No I/O except logs, no clock."""

from __future__ import annotations

import json
import re
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast
from uuid import UUID

from pydantic_core import PydanticSerializationError, to_json

from payment_service.domain.payment import ChargeFact
from payment_service.provider.port import BodyRefused, Disposition, ProviderEvent, ReadAgain
from payment_service.provider.stripe import times
from payment_service.provider.stripe.amounts import from_stripe
from payment_service.provider.stripe.api_versions import OWN, major_of
from payment_service.provider.stripe.attempts import attempt_of_charge
from payment_service.provider.stripe.disputes import dispute_fact, retrieve_dispute
from payment_service.provider.stripe.ids import is_id, object_id
from payment_service.provider.stripe.intents import intent_fact, is_foreign, retrieve_intent
from payment_service.provider.stripe.refunds import (
    is_release,
    list_refunds,
    may_be_release,
    names_refund,
    refund_fact,
    refund_total_fact,
)
from payment_service_events.currency import currency

if TYPE_CHECKING:
    from payment_service.domain.facts import AnyFact
    from payment_service.provider.stripe.api_versions import Major

PROVIDER: Final = "stripe"

# Stripe's own objects are about ten levels deep; jsonb and Python's stack allow hundreds.
DEPTH_MAX: Final = 64
# 2001-09-09 to 2286-11-20, ten digits: Stripe cannot mean any other time in seconds.
_CREATED_MIN: Final = 1_000_000_000
_CREATED_MAX: Final = 9_999_999_999

_EVENT_TYPE: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,255}")
_METHOD: Final = re.compile(r"[a-z0-9_]{1,64}")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")

_INTENT_TYPES: Final = frozenset({
    "payment_intent.created",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.amount_capturable_updated",
})  # fmt: skip
_CHARGE_TYPES: Final = frozenset({"charge.succeeded"})
_REFUND_TYPES: Final = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
_TOTAL_TYPES: Final = frozenset({"charge.refunded"})
_DISPUTE_TYPES: Final = frozenset({
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
})  # fmt: skip
# Types with our metadata, and types that only name an intent.
_BY_METADATA_TYPES: Final = _INTENT_TYPES | _CHARGE_TYPES | _TOTAL_TYPES
_BY_INTENT_TYPES: Final = _REFUND_TYPES | _DISPUTE_TYPES
APPLIED_TYPES: Final = _BY_METADATA_TYPES | _BY_INTENT_TYPES
_THIN: Final = "v2.core.event"
_WITH_FACT: Final = frozenset({Disposition.APPLY, Disposition.EXTERNAL})


class BodyReason(StrEnum):
    """The reason why a signed body was refused; also a metric label."""

    NOT_JSON = "not_json"
    NOT_A_NUMBER = "not_a_number"
    DUPLICATE_KEY = "duplicate_key"
    TOO_DEEP = "too_deep"
    NOT_AN_EVENT = "not_an_event"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BodyRefused(BodyReason.DUPLICATE_KEY, "The body contains a field twice.")
    found.pop("client_secret", None)
    return found


def _refuse_constant(_text: str) -> NoReturn:
    raise BodyRefused(BodyReason.NOT_A_NUMBER, "The body contains NaN or Infinity.")


# Keep numbers with a point or an exponent as text: no amount is one, and nothing is ever rounded.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_float=str, parse_constant=_refuse_constant)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def parse(body: bytes) -> dict[str, Any]:
    """Parse a verified body strictly, without `client_secret` at any depth. Raise BodyRefused, and nothing else."""
    try:
        event: Any = _DECODER.decode(body.decode())
    except BodyRefused:
        raise
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise BodyRefused(BodyReason.NOT_JSON, "The body is not JSON in UTF-8 without a byte order mark.") from None
    # The depth cannot exceed the number of brackets, so small bodies need no measurement.
    if body.count(b"{") + body.count(b"[") > DEPTH_MAX and _is_deep(event):
        raise _too_deep()
    if problem := _missing(event):
        raise BodyRefused(BodyReason.NOT_AN_EVENT, f"The body is not a Stripe event: {problem}.")
    return cast("dict[str, Any]", event)


def _too_deep() -> BodyRefused:
    return BodyRefused(BodyReason.TOO_DEEP, f"The body is nested deeper than {DEPTH_MAX} levels.")


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEPTH_MAX):
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [v for values in inner for v in values]
        if not level:
            return False
    return True


def _missing(event: object) -> str | None:
    """Return what an event lacks, or None (https://docs.stripe.com/api/events/object)."""
    if not isinstance(event, dict):
        return "it is not an object"
    if not is_id(event.get("id")):
        return "its id is invalid"
    if not _matches(_EVENT_TYPE, event.get("type")):
        return "its type is invalid"
    if type(event.get("livemode")) is not bool:
        return "livemode is neither true nor false"
    if _seconds(event.get("created")) is None:
        return "created is not a time"
    if event.get("object") == _THIN:
        return None
    data = event.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("object"), dict):
        return "data.object is not an object"
    return None


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _seconds(created: object) -> int | None:
    """Parse whole seconds since 1970, or the ISO 8601 text of thin events."""
    if isinstance(created, str):
        try:
            created = int(datetime.fromisoformat(created).timestamp())
        except (ValueError, OverflowError):
            return None
    return created if type(created) is int and _CREATED_MIN <= created <= _CREATED_MAX else None


def translate(event: dict[str, Any], *, deployment: str, livemode: bool, installation: str = "") -> ProviderEvent:
    """Translate a parsed event for this deployment. Never raises.

    An event about a payment of ours that cannot be translated has Disposition.APPLY and no fact. Its object is read
    again in our version (I17), or the event is parked if it does not name the object. An event without our metadata is
    external, unless its intent belongs to a payment.
    """
    payload = _encode(event)
    if payload is None or '"client_secret":' in payload or "\\u0000" in payload:
        event = _storable(event)
        payload = _ENCODER.encode(event)
    occurred_at = _seconds(event["created"]) or _CREATED_MIN
    disposition, payment_id = _dispose(event, deployment=deployment, livemode=livemode, installation=installation)
    fact = _fact(event, occurred_at) if disposition in _WITH_FACT else None
    return ProviderEvent(
        provider=PROVIDER,
        event_id=event["id"],
        event_type=event["type"],
        occurred_at=occurred_at,
        payload=payload,
        disposition=disposition,
        payment_id=payment_id,
        intent_id=_intent_id(event) if disposition in _WITH_FACT else None,
        fact=fact,
        read_again=_read_again(event) if disposition in _WITH_FACT and fact is None else None,
    )


def _encode(event: dict[str, Any]) -> str | None:
    """Return an event as JSON, in a third of the time of `json`. None: it has lone surrogates."""
    try:
        return to_json(event).decode()
    except PydanticSerializationError:
        return None


def _storable(value: Any) -> Any:
    """Remove client secrets. Replace characters that PostgreSQL cannot store (U+0000, lone surrogates) by U+FFFD."""
    match value:
        case str():
            return _UNSTORABLE.sub("\ufffd", value)
        case dict():
            return {_storable(name): _storable(inner) for name, inner in value.items() if name != "client_secret"}
        case list():
            return [_storable(inner) for inner in value]
        case _:
            return value


def _dispose(
    event: dict[str, Any], *, deployment: str, livemode: bool, installation: str
) -> tuple[Disposition, UUID | None]:
    kind: str = event["type"]
    if event["livemode"] is not livemode or event.get("account") is not None:
        return Disposition.MISDIRECTED, None
    if event.get("object") == _THIN:
        return Disposition.IGNORED, None
    payment_id = _payment_id(event["data"]["object"], deployment, installation)
    if kind in _BY_METADATA_TYPES:
        return (Disposition.EXTERNAL if payment_id is None else Disposition.APPLY), payment_id
    if kind in _BY_INTENT_TYPES:
        if is_release(event["data"]["object"]):
            return Disposition.IGNORED, None
        # Without an intent it is about a charge that another program created.
        return (Disposition.APPLY if _intent_id(event) else Disposition.EXTERNAL), None
    return Disposition.IGNORED, payment_id


def _intent_id(event: dict[str, Any]) -> str | None:
    intent_id = event["data"]["object"].get("id" if event["type"] in _INTENT_TYPES else "payment_intent")
    return intent_id if is_id(intent_id) else None


def _payment_id(subject: dict[str, Any], deployment: str, installation: str) -> UUID | None:
    metadata = subject.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("deployment") != deployment:
        return None
    if is_foreign(metadata, installation):
        return None
    text = metadata.get("payment_id")
    try:
        found = UUID(text)
    except (ValueError, TypeError, AttributeError):
        return None
    return found if str(found) == text else None


def _fact(event: dict[str, Any], at: int) -> AnyFact | None:
    """Translate the object by the rules of the version that rendered it. Return None if it must be read again."""
    kind, subject, source = event["type"], event["data"]["object"], event["id"]
    major = _major_of(event)
    if major is None:
        return None
    try:
        if kind in _CHARGE_TYPES:
            return charge_fact(subject, at=at, source=source)
        if kind in _REFUND_TYPES:
            return None if may_be_release(subject, major) else refund_fact(subject, at=at, source=source)
        if kind in _TOTAL_TYPES:
            return refund_total_fact(subject, at=at, source=source, major=major)
        if kind in _DISPUTE_TYPES:
            return dispute_fact(subject, at=at, source=source)
        return intent_fact(subject, at=at, source=source, from_event=True)
    except (ValueError, KeyError, TypeError):  # the errors of malformed objects are ValueErrors
        return None


def _major_of(event: dict[str, Any]) -> Major | None:
    """Return the rules of the version that rendered the event. Return None if they are unknown.

    Stripe names the version in every event since 2014 (`api_version` of the event object). Without a version, only the
    objects are read that every supported version renders alike.
    """
    version, kind = event.get("api_version"), event["type"]
    if version is not None:
        return major_of(version)
    differs = kind in _TOTAL_TYPES or (kind in _REFUND_TYPES and not names_refund(event["data"]["object"]))
    return None if differs else OWN


def _read_again(event: dict[str, Any]) -> ReadAgain | None:
    """Return how to read the event's object in our version. Return None if the event does not name it."""
    kind, subject_id, intent_id = event["type"], event["data"]["object"].get("id"), _intent_id(event)
    if kind in _DISPUTE_TYPES and is_id(subject_id):
        return ReadAgain(request=retrieve_dispute(subject_id), after_capture=True)
    if intent_id is None:
        return None
    if kind in _REFUND_TYPES | _TOTAL_TYPES:
        return ReadAgain(request=list_refunds(intent_id), after_capture=True)
    return ReadAgain(request=retrieve_intent(intent_id), after_capture=False)


def charge_fact(charge: dict[str, Any], *, at: int, source: str) -> ChargeFact:
    """Translate a charge (https://docs.stripe.com/api/charges/object). Raise ValueError, KeyError or TypeError."""
    intent_id, charge_id = object_id(charge["payment_intent"]), object_id(charge["id"])
    method = charge["payment_method_details"]["type"]
    if not _matches(_METHOD, method):
        raise TypeError
    return ChargeFact(
        intent_id=intent_id,
        charge_id=charge_id,
        method=method,
        amount=from_stripe(charge["amount"], currency(charge["currency"])),
        at=at,
        source=source,
        captured_at=_captured_at(charge, method, at),
        capture_before=times.capture_before(charge),
        attempt=attempt_of_charge(charge),
    )


def _captured_at(charge: dict[str, Any], method: str, at: int) -> int | None:
    """Return when a charge was captured, or None for an authorization. A bank's charge is made days before it succeeds, so
    the event's own time counts.
    """
    if charge.get("captured") is not True:
        return None
    return times.seconds(charge.get("created")) if method == "card" else at
