"""Webhooks as Stripe signs them: `verify` the raw bytes, `parse` them strictly, `translate` the event into ours. Pure: no I/O, no clock.

The signature is checked by the official SDK (https://docs.stripe.com/webhooks#verify-official-libraries), behind a strict parse of
the header: the SDK itself takes timestamps of the future, `t=+1_7`, and raises TypeError for a signature that is not ASCII.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast
from uuid import UUID

from stripe import SignatureVerificationError
from stripe import WebhookSignature as OfficialSignature

from payment_service.domain.payment import ChargeFact
from payment_service.provider.port import BodyRefused, Disposition, ProviderEvent, SignatureRefused
from payment_service.provider.stripe.amounts import from_stripe
from payment_service.provider.stripe.intents import intent_fact
from payment_service.provider.stripe.refunds import dispute_fact, is_release, refund_fact, refunds_moved
from payment_service_events.currency import currency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payment_service.domain.facts import AnyFact

PROVIDER: Final = "stripe"

# Stripe's own default, here to both sides: a time of the future would let a captured request be replayed later.
TOLERANCE_S: Final = 300
# Stripe sends one signature per active secret, two while one is rotated; eight leave room and bound the work.
SIGNATURES_MAX: Final = 8
HEADER_LIMIT_CHARACTERS: Final = 4_096
# Stripe's own objects are about ten deep; jsonb and Python's stack take hundreds.
DEPTH_MAX: Final = 64
# 2001-09-09 to 2286-11-20, ten digits: what is outside is no time in seconds that Stripe can mean.
_CREATED_MIN: Final = 1_000_000_000
_CREATED_MAX: Final = 9_999_999_999

# No leading zero: the SDK signs the number, not the digits, so `t=017…` would pass as another spelling of a valid header.
_TIMESTAMP: Final = re.compile(r"[1-9][0-9]{0,11}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_SCHEME: Final = re.compile(r"[a-z0-9_]{1,32}")
_EVENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
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
# What bears our metadata, and what is found by its intent alone.
_NAMED_TYPES: Final = _INTENT_TYPES | _CHARGE_TYPES | _TOTAL_TYPES
_FOUND_TYPES: Final = _REFUND_TYPES | _DISPUTE_TYPES
APPLIED_TYPES: Final = _NAMED_TYPES | _FOUND_TYPES
_THIN: Final = "v2.core.event"
_TOLD: Final = frozenset({Disposition.APPLY, Disposition.FOREIGN})


class SignatureReason(StrEnum):
    """Why a delivery was not believed; also a metric's label."""

    MISSING_HEADER = "missing_header"
    MALFORMED_HEADER = "malformed_header"
    STALE = "stale"
    FUTURE = "future"
    NO_MATCH = "no_match"
    NOT_UTF8 = "not_utf8"


class BodyReason(StrEnum):
    """Why a signed body can't be read; also a metric's label."""

    NOT_JSON = "not_json"
    NOT_A_NUMBER = "not_a_number"
    DUPLICATE_KEY = "duplicate_key"
    TOO_DEEP = "too_deep"
    NOT_AN_EVENT = "not_an_event"


def verify(body: bytes, header: str | None, secrets: Sequence[str], *, now_s: int) -> str:
    """Check the signature over the raw bytes against each secret; return which one matched (`secret-1` is the first configured).

    `header` is `Stripe-Signature`; `now_s` our clock, seconds. Raises SignatureRefused, and nothing else.
    """
    timestamp, signatures = _read_header(header)
    if int(timestamp) < now_s - TOLERANCE_S:
        raise SignatureRefused(SignatureReason.STALE, f"The signature is older than {TOLERANCE_S} s.")
    if int(timestamp) > now_s + TOLERANCE_S:
        raise SignatureRefused(SignatureReason.FUTURE, f"The signature is more than {TOLERANCE_S} s in the future.")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise SignatureRefused(SignatureReason.NOT_UTF8, "The body is not UTF-8.") from None
    clean = f"t={timestamp}," + ",".join(f"v1={signature}" for signature in signatures)
    for position, secret in enumerate(secrets, 1):
        try:
            OfficialSignature.verify_header(text, clean, secret)
        except SignatureVerificationError:
            continue
        return f"secret-{position}"
    raise SignatureRefused(SignatureReason.NO_MATCH, "No signature matches the body.")


def _read_header(header: str | None) -> tuple[str, list[str]]:
    """Give the timestamp's digits and the v1 signatures. Other schemes are ignored, as Stripe's documentation asks."""
    if not header:
        raise SignatureRefused(SignatureReason.MISSING_HEADER, "The header Stripe-Signature is missing.")
    if len(header) > HEADER_LIMIT_CHARACTERS:
        raise _malformed_header()
    pairs = [item.partition("=") for item in header.split(",")]
    timestamps = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if not all(_SCHEME.fullmatch(name) for name, _, _ in pairs):
        raise _malformed_header()
    if len(timestamps) != 1 or _TIMESTAMP.fullmatch(timestamps[0]) is None:
        raise _malformed_header()
    if not 1 <= len(signatures) <= SIGNATURES_MAX or not all(_SIGNATURE.fullmatch(value) for value in signatures):
        raise _malformed_header()
    return timestamps[0], signatures


def _malformed_header() -> SignatureRefused:
    message = f"The header Stripe-Signature is not of the form t=…,v1=… with one t and 1 to {SIGNATURES_MAX} v1."
    return SignatureRefused(SignatureReason.MALFORMED_HEADER, message)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BodyRefused(BodyReason.DUPLICATE_KEY, "The body names the same field twice.")
    found.pop("client_secret", None)
    return found


def _refuse_constant(_text: str) -> NoReturn:
    raise BodyRefused(BodyReason.NOT_A_NUMBER, "The body holds NaN or Infinity.")


# A number with a point or an exponent stays the text it was: no amount is one, and nothing is ever rounded.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_float=str, parse_constant=_refuse_constant)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def parse(body: bytes) -> dict[str, Any]:
    """Read a verified body strictly; `client_secret` is left out at any depth. Raises BodyRefused, and nothing else."""
    try:
        event: Any = _DECODER.decode(body.decode())
    except BodyRefused:
        raise
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise BodyRefused(BodyReason.NOT_JSON, "The body is not JSON in UTF-8 without a byte order mark.") from None
    # Nothing can be deeper than it has brackets; only what has many is measured.
    if body.count(b"{") + body.count(b"[") > DEPTH_MAX and _is_deep(event):
        raise _too_deep()
    if problem := _missing(event):
        raise BodyRefused(BodyReason.NOT_AN_EVENT, f"The body is no event of Stripe: {problem}.")
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
    """Say what an event of either kind needs and this one lacks (https://docs.stripe.com/api/events/object)."""
    if not isinstance(event, dict):
        return "it is no object"
    if not _matches(_EVENT_ID, event.get("id")):
        return "its id is none"
    if not _matches(_EVENT_TYPE, event.get("type")):
        return "its type is none"
    if type(event.get("livemode")) is not bool:
        return "livemode is neither true nor false"
    if _seconds(event.get("created")) is None:
        return "created is no time"
    if event.get("object") == _THIN:
        return None
    data = event.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("object"), dict):
        return "data.object is no object"
    return None


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _seconds(created: object) -> int | None:
    """Read whole seconds since 1970, or the ISO 8601 text that thin events carry."""
    if isinstance(created, str):
        try:
            created = int(datetime.fromisoformat(created).timestamp())
        except (ValueError, OverflowError):
            return None
    return created if type(created) is int and _CREATED_MIN <= created <= _CREATED_MAX else None


def translate(event: dict[str, Any], *, deployment: str, livemode: bool) -> ProviderEvent:
    """Say what an event that `parse` has read means to the payments of this deployment. Never raises.

    An event that names a payment of ours and can't be read has Disposition.APPLY and no fact: it waits for a person. One that
    bears no name of ours is foreign, unless the intent that it names turns out to be a payment's own.
    """
    payload = _ENCODER.encode(event)
    if '"client_secret":' in payload or "\\u0000" in payload or not _is_utf8(payload):
        event = _storable(event)
        payload = _ENCODER.encode(event)
    occurred_at = _seconds(event["created"]) or _CREATED_MIN
    disposition, payment_id = _dispose(event, deployment=deployment, livemode=livemode)
    return ProviderEvent(
        provider=PROVIDER,
        event_id=event["id"],
        event_type=event["type"],
        occurred_at=occurred_at,
        payload=payload,
        disposition=disposition,
        payment_id=payment_id,
        intent_id=_intent_id(event) if disposition in _TOLD and payment_id is None else None,
        fact=_fact(event, occurred_at) if disposition in _TOLD else None,
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _storable(value: Any) -> Any:
    """Leave out client secrets; replace what PostgreSQL's text can't hold (U+0000, lone surrogates) by U+FFFD."""
    match value:
        case str():
            return _UNSTORABLE.sub("\ufffd", value)
        case dict():
            return {_storable(name): _storable(inner) for name, inner in value.items() if name != "client_secret"}
        case list():
            return [_storable(inner) for inner in value]
        case _:
            return value


def _dispose(event: dict[str, Any], *, deployment: str, livemode: bool) -> tuple[Disposition, UUID | None]:
    kind: str = event["type"]
    if event["livemode"] is not livemode or event.get("account") is not None:
        return Disposition.MISDIRECTED, None
    if event.get("object") == _THIN:
        return Disposition.IGNORED, None
    payment_id = _payment_id(event["data"]["object"], deployment)
    if kind in _NAMED_TYPES:
        return (Disposition.FOREIGN if payment_id is None else Disposition.APPLY), payment_id
    if kind in _FOUND_TYPES:
        if is_release(event["data"]["object"]):
            return Disposition.IGNORED, None
        # Without an intent it refunds or disputes a charge that was made otherwise, and not by us.
        return (Disposition.APPLY if _intent_id(event) else Disposition.FOREIGN), None
    return Disposition.IGNORED, payment_id


def _intent_id(event: dict[str, Any]) -> str | None:
    intent_id = event["data"]["object"].get("id" if event["type"] in _INTENT_TYPES else "payment_intent")
    return intent_id if _matches(_EVENT_ID, intent_id) else None


def _payment_id(subject: dict[str, Any], deployment: str) -> UUID | None:
    metadata = subject.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("deployment") != deployment:
        return None
    text = metadata.get("payment_id")
    try:
        found = UUID(text)
    except (ValueError, TypeError, AttributeError):
        return None
    return found if str(found) == text else None


def _fact(event: dict[str, Any], at: int) -> AnyFact | None:
    kind, subject, source = event["type"], event["data"]["object"], event["id"]
    try:
        if kind in _CHARGE_TYPES:
            return _charge_fact(subject, at=at, source=source)
        if kind in _REFUND_TYPES:
            return refund_fact(subject, at=at, source=source)
        if kind in _TOTAL_TYPES:
            return refunds_moved(subject, at=at, source=source)
        if kind in _DISPUTE_TYPES:
            return dispute_fact(subject, at=at, source=source)
        return intent_fact(subject, at=at, source=source, from_event=True)
    except (ValueError, KeyError, TypeError):  # MalformedIntent and MalformedRefund are ValueErrors
        return None


def _charge_fact(charge: dict[str, Any], *, at: int, source: str) -> ChargeFact:
    """Read a charge (https://docs.stripe.com/api/charges/object). Raises ValueError, KeyError or TypeError."""
    intent_id, charge_id, method = charge["payment_intent"], charge["id"], charge["payment_method_details"]["type"]
    if not isinstance(intent_id, str) or not isinstance(charge_id, str) or not _matches(_METHOD, method):
        raise TypeError
    amount = from_stripe(charge["amount"], currency(charge["currency"]))
    return ChargeFact(intent_id=intent_id, charge_id=charge_id, method=method, amount=amount, at=at, source=source)
