"""Build the dead letter of a rejected record: the record as it was, without card numbers, for the topic with `.dlq` appended."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from payment_service.domain.card_numbers import mask, mask_bytes
from payment_service.domain.order import Reason, Rejected

Headers = tuple[tuple[str, bytes | None], ...]

DEAD_LETTER_VALUE_LIMIT_BYTES: Final = (
    512_000  # half of the broker's default for a record: key, headers and framing fit beside it
)
DEAD_LETTER_KEY_LIMIT_BYTES: Final = 16_384  # keys are order ids
DEAD_LETTER_HEADERS_LIMIT: Final = 32  # tracing, schema and CloudEvents headers together are about 15
DEAD_LETTER_HEADERS_LIMIT_BYTES: Final = 16_384  # names and values together
_PREFIX: Final = "dlq_"

# Reasons for which text and ids cannot be distinguished, or for which a card number was found.
_MASKED: Final = frozenset(
    {
        Reason.BAD_ORDER_ID,
        Reason.TOO_LARGE,
        Reason.NOT_UTF8,
        Reason.NOT_JSON,
        Reason.UTF16,
        Reason.BYTE_ORDER_MARK,
        Reason.COMPRESSED_VALUE,
        Reason.SCHEMA_REGISTRY_FRAMING,
        Reason.BINARY_FORMAT,
        Reason.DEBEZIUM_ENVELOPE,
        Reason.CONNECT_ENVELOPE,
        Reason.CLOUDEVENTS_ENVELOPE,
        Reason.DUPLICATE_FIELD,
        Reason.NOT_AN_OBJECT,
        Reason.CARD_NUMBER,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it was consumed. `timestamp_ms`: milliseconds since 1970, or -1."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Content that is safe to store and to publish."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(record: Record, rejected: Rejected) -> DeadLetter:
    """Return key, value and headers of `record` unchanged, plus its position and the reason of the rejection.

    Card numbers are masked in the key and the headers, and in the value if some were found or if nothing could be parsed.
    This can take 0.2 s, so it belongs before a transaction. A value over `DEAD_LETTER_VALUE_LIMIT_BYTES`
    becomes a JSON reference {topic, partition, offset, bytes, sha256}; a key over `DEAD_LETTER_KEY_LIMIT_BYTES` its SHA-256 in
    hex, so that equal keys stay equal.
    """
    return DeadLetter(
        key=_keep_key(record.key),
        value=_keep_value(record, masked=rejected.reason in _MASKED),
        headers=_describe(record, rejected) + _keep_headers(record.headers),
    )


def _keep_key(key: bytes | None) -> bytes | None:
    if key is not None and len(key) > DEAD_LETTER_KEY_LIMIT_BYTES:
        return hashlib.sha256(key).hexdigest().encode()
    return _mask(key)


def _keep_value(record: Record, *, masked: bool) -> bytes | None:
    value = record.value
    if value is None or len(value) <= DEAD_LETTER_VALUE_LIMIT_BYTES:
        return _mask(value) if masked else value
    return json.dumps(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "bytes": len(value),
            "sha256": hashlib.sha256(value).hexdigest(),
        }
    ).encode()


def _mask(content: bytes | None) -> bytes | None:
    return None if content is None else mask_bytes(content)


def _describe(record: Record, rejected: Rejected) -> Headers:
    return (
        ("dlq_reason", rejected.reason.encode()),
        ("dlq_detail", rejected.detail.encode()),
        ("dlq_topic", record.topic.encode()),
        ("dlq_partition", str(record.partition).encode()),
        ("dlq_offset", str(record.offset).encode()),
    )


def _keep_headers(headers: Headers) -> Headers:
    """Return the first headers, up to the limits, without those of an earlier dead letter."""
    kept: list[tuple[str, bytes | None]] = []
    left_bytes = DEAD_LETTER_HEADERS_LIMIT_BYTES
    for name, content in headers:
        left_bytes -= len(name.encode("utf-8", "replace")) + len(content or b"")
        if left_bytes < 0 or len(kept) == DEAD_LETTER_HEADERS_LIMIT:
            break
        if not name.startswith(_PREFIX):
            kept.append((mask(name), _mask(content)))
    return tuple(kept)
