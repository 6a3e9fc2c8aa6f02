"""Test that framed and wrapped orders are named in the reason, with what the sender must change."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.contracts.dead_letters import Record, dead_letter
from payment_service.contracts.incoming import decode
from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED
from payment_service.domain.order import Order, Reason, Rejected

ORDER: dict[str, Any] = {"order_id": "o-1", "user_id": "u", "total": "19.90", "currency": "EUR"}
PLAIN = json.dumps(ORDER).encode()
CHANGE = {"before": None, "after": ORDER, "source": {"connector": "postgresql"}, "op": "c", "ts_ms": 1}


def rejected(value: bytes, topic: str = ORDERS_CREATED) -> Rejected:
    answer = decode(topic, value, timestamp_ms=1, amount_minor_max=10**9)
    assert isinstance(answer, Rejected)
    return answer


@pytest.mark.parametrize("topic", [ORDERS_CREATED, ORDERS_CANCELLED])
@pytest.mark.parametrize(
    ("value", "reason", "fix"),
    [
        pytest.param(b"\x00\x00\x00\x00\x2a" + PLAIN, "schema_registry_framing", "schema 42", id="Confluent JSON"),
        pytest.param(b"\x00\x00\x00\x01\x00\x06o-1", "schema_registry_framing", "plain JSON", id="Confluent Avro"),
        pytest.param(b"\x03\x00" + bytes(range(16)) + PLAIN, "schema_registry_framing", "AWS Glue", id="AWS Glue"),
        pytest.param(json.dumps(CHANGE).encode(), "debezium_envelope", "ExtractNewRecordState", id="Debezium"),
        pytest.param(
            json.dumps({"schema": {}, "payload": CHANGE}).encode(),
            "debezium_envelope",
            "ExtractNewRecordState",
            id="Debezium with a schema",
        ),
        pytest.param(
            json.dumps({"schema": {"type": "struct"}, "payload": ORDER}).encode(),
            "connect_envelope",
            "value.converter.schemas.enable=false",
            id="Kafka Connect",
        ),
        pytest.param(
            json.dumps({"specversion": "1.0", "id": "1", "type": "t", "source": "/s", "data": ORDER}).encode(),
            "cloudevents_envelope",
            "binary mode",
            id="CloudEvents",
        ),
        pytest.param(b"\xef\xbb\xbf" + PLAIN, "byte_order_mark", "first three bytes", id="byte order mark"),
        pytest.param(PLAIN.decode().encode("utf-16"), "utf16", "UTF-8", id="UTF-16"),
        pytest.param(PLAIN.decode().encode("utf-16-be"), "utf16", "UTF-8", id="UTF-16, big end first"),
        pytest.param(PLAIN.decode().encode("utf-16-le"), "utf16", "UTF-8", id="UTF-16, little end first"),
        pytest.param(PLAIN.decode().encode("utf-32"), "utf16", "UTF-32", id="UTF-32"),
        pytest.param(gzip.compress(PLAIN), "compressed_value", "compression.type", id="gzip"),
        pytest.param(b"\x28\xb5\x2f\xfd\x04\x00", "compressed_value", "zstd", id="zstd"),
        pytest.param(b"\x04\x22\x4d\x18\x64", "compressed_value", "lz4", id="lz4"),
        pytest.param(b"\x82SNAPPY\x00\x00\x00\x00\x01", "compressed_value", "snappy", id="snappy"),
        pytest.param(b"Obj\x01\x04\x14avro.codec", "binary_format", "Avro", id="an Avro file"),
        pytest.param(b"\x06o-1\x02u\x0a19.90", "binary_format", "Avro", id="bare Avro"),
        pytest.param(b"\x0a\x03o-1\x12\x01u\x1a\x0519.90", "binary_format", "Protobuf", id="Protobuf"),
        pytest.param(b"\x84\xa8order_id\xa3o-1", "binary_format", "MessagePack", id="MessagePack"),
        pytest.param(json.dumps(PLAIN.decode()).encode(), "not_an_object", "once", id="JSON in JSON"),
    ],
)
def test_framing_is_named_with_what_to_change(value: bytes, reason: str, fix: str, topic: str) -> None:
    answer = rejected(value, topic)
    assert answer.reason == reason
    assert fix in answer.detail
    letter = dead_letter(Record(topic=topic, partition=1, offset=2, timestamp_ms=1, key=None, value=value), answer)
    assert dict(letter.headers)["dlq_reason"] == reason.encode()
    assert dict(letter.headers)["dlq_detail"] == answer.detail.encode()


def test_an_order_with_fields_of_an_envelope_is_accepted() -> None:
    """Unknown fields are ignored, whatever they are called."""
    value = json.dumps({**ORDER, "specversion": 1, "type": "t", "source": "s", "payload": {}, "schema": {}, "op": "c"})
    assert isinstance(decode(ORDERS_CREATED, value.encode(), timestamp_ms=1, amount_minor_max=10**9), Order)


@given(st.binary(max_size=80))
def test_details_never_repeat_the_content(value: bytes) -> None:
    detail = rejected(b"canary-of-the-value" + value).detail
    assert "canary" not in detail
    assert detail.endswith(".")


@given(st.sampled_from([b"\x00", b"\x03\x00", b"\xff\xfe", b"\x1f\x8b", b"\x81\xa0"]), st.binary(max_size=80))
def test_any_bytes_behind_a_known_beginning_are_rejected(beginning: bytes, rest: bytes) -> None:
    assert rejected(beginning + rest).reason in set(Reason)
