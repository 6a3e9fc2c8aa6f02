"""The suite checks every record that it reads against its contract.

These tests show which violations that check detects.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from payment_service_events.published_events import Failed
from scripts.sample_records import ANNOUNCEMENTS, record_of, samples
from tests.support.contracts import ContractBrokenError, validate_record
from tests.support.kafka import Topics

TESTS = Path(__file__).parents[1]
FAILED = record_of(samples(Failed)[0], trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
LETTER = {
    "dlq_reason": b"empty",
    "dlq_detail": b"It has no value.",
    "dlq_topic": b"orders.created",
    "dlq_partition": b"0",
    "dlq_offset": b"7",
}


def value(**changes: Any) -> bytes:
    """Return the value of FAILED with changed fields; fields set to `...` are left out."""
    changed = {**json.loads(FAILED.value or b""), **changes}
    return json.dumps({name: content for name, content in changed.items() if content is not ...}).encode()


def headers(**changes: bytes | None) -> dict[str, bytes | None]:
    """Return the headers of FAILED with changes; headers set to None are left out."""
    changed: dict[str, bytes | None] = {**dict(FAILED.headers), **changes}
    return {name: content for name, content in changed.items() if content is not None}


@pytest.mark.parametrize("event", ANNOUNCEMENTS)
def test_published_records_pass(event: Any) -> None:
    made = record_of(event)
    validate_record(made.topic, made.key, made.value, dict(made.headers))


def test_dead_letters_and_topics_without_a_contract_pass() -> None:
    validate_record("orders.created.dlq", None, b"\xff", {**LETTER, "anything": b"\xff", "nothing": None})
    validate_record("orders.created", None, b"\xff", {})


@pytest.mark.parametrize(
    "broken",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        value(amount=...),
        value(amount=19.9),
        value(amount="19.9"),
        value(amount="-1.00"),
        value(currency="EUR"),
        value(reason=None),
        value(final="false"),
        value(payment_id="p"),
        value(payment_id="ae21913b-5b2f-5c29-8abf-153dfb1cfa88"),
        value(unpromised="x"),
    ],
)
def test_a_value_that_breaks_its_contract_is_found(broken: bytes | None) -> None:
    with pytest.raises(ContractBrokenError, match=r"payments\.failed"):
        validate_record(FAILED.topic, FAILED.key, broken, headers())


@pytest.mark.parametrize(
    "broken",
    [
        {},
        headers(ce_id=None),
        headers(ce_id=b"1"),
        headers(ce_id=b"\xff"),
        headers(ce_type=b"payments.succeeded"),
        headers(ce_source=b"/other"),
        headers(ce_time=b"2026-01-31 10:00:00"),
        headers(ce_sequence=b"0"),
        headers(ce_attempt=None),
        headers(traceparent=b"00-0"),
        headers(**{"content-type": b"text/plain"}),
    ],
)
def test_headers_that_break_their_contract_are_found(broken: dict[str, bytes | None]) -> None:
    with pytest.raises(ContractBrokenError, match=r"payments\.failed"):
        validate_record(FAILED.topic, FAILED.key, FAILED.value, broken)


def test_a_wrong_key_is_found() -> None:
    for key in (None, b"order-1001", b"\xff"):
        with pytest.raises(ContractBrokenError, match="key"):
            validate_record(FAILED.topic, key, FAILED.value, headers())


@pytest.mark.parametrize("name", LETTER)
def test_a_dead_letter_without_one_of_its_headers_is_found(name: str) -> None:
    with pytest.raises(ContractBrokenError, match=name):
        validate_record(
            "orders.created.dlq", b"k", b"v", {other: content for other, content in LETTER.items() if other != name}
        )


@pytest.mark.parametrize("topic", ["payments.unheard_of", "orders.unheard_of.dlq"])
def test_a_topic_without_a_schema_is_found(topic: str) -> None:
    with pytest.raises(ContractBrokenError, match="no schema"):
        validate_record(topic, FAILED.key, FAILED.value, {**headers(ce_type=topic.encode()), **LETTER})


@pytest.mark.kafka
def test_reading_a_broken_record_from_the_broker_fails_the_test(topics: Topics) -> None:
    sent = {name: content or b"" for name, content in FAILED.headers}
    topics.produce([value(amount=19.9)], topic=FAILED.topic, key=lambda _: FAILED.key, headers=sent)
    with pytest.raises(ContractBrokenError, match=r"amount.*19\.9"):
        topics.read_count(1)
    with pytest.raises(ContractBrokenError, match="amount"):
        topics.read_all([FAILED.topic])


def test_only_the_kafka_support_module_makes_consumers() -> None:
    """A test with a consumer of its own would miss broken records."""
    makers = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Consumer"
    }
    # Other members of the intake's group, which read orders only.
    join_the_intake = {"integration/test_consumer.py", "acceptance/test_cli_recover.py"}
    assert makers == {"support/kafka.py", *join_the_intake}
