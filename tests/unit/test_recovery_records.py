"""Records of the topics that a recovery takes: those that the service can have written, and no others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from payment_service.db.placements import Place
from payment_service.flows.comparisons.topics import TopicRecord
from payment_service.kafka.recovery import read_record, select

SOURCE = "/payment-service/default"
HEADERS = {
    "ce_source": SOURCE.encode(),
    "ce_id": b"9f2c1f4e-7c3a-4e6a-9b0d-2f6a3f0c1d11",
    "ce_attempt": b"1",
    "ce_sequence": b"2",
}
RECORD = TopicRecord(
    place=Place("payments.succeeded", 0, 7),
    timestamp_ms=1_798_207_200_000,
    key=b"ae21913b-5b2f-5c29-8abf-153dfb1cfa87",
    value=b'{"order_id":"o-1"}',
    headers=tuple(HEADERS.items()),
)


def with_header(name: str, value: bytes | None) -> TopicRecord:
    return replace(RECORD, headers=tuple({**HEADERS, name: value}.items()))


def test_a_record_of_the_service_is_taken() -> None:
    taken = read_record(RECORD)
    assert taken is not None
    assert (taken.attempt, taken.sequence, taken.offset, taken.value) == (1, 2, 7, RECORD.value)


def test_records_of_other_programs_and_of_before_are_not_selected_and_skipped_ones_are_counted() -> None:
    at_ms = RECORD.timestamp_ms
    before, other, forged = (
        replace(RECORD, timestamp_ms=at_ms - 1),
        with_header("ce_source", b"/x"),
        with_header("ce_id", b"1"),
    )
    selected = select([before, other, forged, RECORD, with_header("ce_source", None)], SOURCE, at_ms)
    assert (selected.records, selected.skipped) == ([read_record(RECORD)], 1)


@pytest.mark.parametrize("text", [r"a\u0000b", r"\u0000", r"\\u0000", "\\"])
def test_text_that_looks_like_an_escape_is_text(text: str) -> None:
    assert read_record(replace(RECORD, value=json.dumps({"order_id": text}).encode())) is not None


@pytest.mark.parametrize(
    "record",
    [
        with_header("ce_id", b"1"),
        with_header("ce_id", None),
        with_header("ce_sequence", b"0"),
        with_header("ce_sequence", b"-1"),
        with_header("ce_sequence", b"2147483648"),
        with_header("ce_attempt", b"one"),
        replace(RECORD, key=None),
        replace(RECORD, key=b"\xff"),
        replace(RECORD, value=None),
        replace(RECORD, value=b""),
        replace(RECORD, value=b"\xff\xfe{\x00}\x00"),
        replace(RECORD, value=b"[1]"),
        replace(RECORD, value=b"{}"),
        replace(RECORD, value=b'{"order_id":1}'),
        replace(RECORD, value=b'{"order_id":NaN}'),
        replace(RECORD, value=b'{"order_id":"\\u0000"}'),
        replace(RECORD, value=b'{"order_id":"\\\\\\u0000"}'),
        replace(RECORD, value=b'{"order_id":"\\ud800"}'),
        replace(RECORD, value=b'{"a":' * 100_000),
        replace(RECORD, timestamp_ms=2**62),
    ],
)
def test_any_other_record_stops_no_recovery(record: TopicRecord) -> None:
    """PostgreSQL reads the values as JSON, so one such value would stop the recovery of all payments."""
    assert read_record(record) is None
