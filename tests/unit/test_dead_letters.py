"""A rejected record is stored unchanged, within limits and without card numbers."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.contracts.dead_letters import (
    DEAD_LETTER_HEADERS_LIMIT,
    DEAD_LETTER_HEADERS_LIMIT_BYTES,
    DEAD_LETTER_KEY_LIMIT_BYTES,
    DEAD_LETTER_VALUE_LIMIT_BYTES,
    Record,
    dead_letter,
)
from payment_service.contracts.orders import decode_order
from payment_service.domain.card_numbers import contains
from payment_service.domain.order import Reason, Rejected

BAD_AMOUNT = Rejected(Reason.BAD_AMOUNT, "total can't be read.")
CARD_NUMBER = Rejected(Reason.CARD_NUMBER, "The order holds a card number.")
WHERE = (
    ("dlq_reason", b"bad_amount"),
    ("dlq_detail", b"total can't be read."),
    ("dlq_topic", b"orders.created"),
    ("dlq_partition", b"2"),
    ("dlq_offset", b"41"),
)
CARD = b"4242424242424242"


def record(**fields: Any) -> Record:
    """Return a record at orders.created/2/41."""
    return Record(
        **{
            "topic": "orders.created",
            "partition": 2,
            "offset": 41,
            "timestamp_ms": 0,
            "key": b"k",
            "value": b"v",
            **fields,
        }
    )


@given(
    st.none() | st.binary(),
    st.none() | st.binary(),
    st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary()), max_size=9),
)
def test_key_value_and_headers_are_preserved(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    letter = dead_letter(record(key=key, value=value, headers=tuple(headers)), BAD_AMOUNT)
    assert (letter.key, letter.value) == (key, value)
    assert letter.headers == WHERE + tuple(h for h in headers if not h[0].startswith("dlq_"))


def test_card_numbers_outside_the_value_are_masked_whatever_the_reason() -> None:
    """The decoder searches the value only, and rejects it if it holds one."""
    headers = (("x", CARD), (CARD.decode(), b"1"))
    letter = dead_letter(record(key=CARD, value=b'{"total":1}', headers=headers), BAD_AMOUNT)
    assert letter.key == b"************4242"
    assert letter.headers[-2:] == (("x", b"************4242"), ("************4242", b"1"))


def test_card_numbers_are_masked_in_key_value_and_headers() -> None:
    letter = dead_letter(record(key=CARD, value=b'{"note": "' + CARD + b'"}', headers=(("x", CARD),)), CARD_NUMBER)
    assert letter.key == b"************4242"
    assert letter.value == b'{"note": "************4242"}'
    assert letter.headers[-1] == ("x", b"************4242")


@pytest.mark.invariant("I12")
@pytest.mark.parametrize(
    "value",
    [
        b'{"note":"' + CARD,
        b"\xff" + CARD,
        b'{"a":1,"a":"' + CARD + b'"}',
        b'"' + CARD + b'"',
        b"[" + CARD + b"]",
        b'{"note":"' + CARD + b'"}',
        b'{"note":"' + CARD + b'","total":NaN}',
        '{"note":"4242424242424242"}'.encode("utf-16"),
        b'{"note":"' + b"".join(b"\\u00%02x" % c for c in CARD) + b'"}',
        b'{"note":"' + CARD + b'"}' + b" " * 300_000,
    ],
)
def test_no_rejected_record_leaves_a_card_number(value: bytes) -> None:
    answer = decode_order(value, timestamp_ms=0)
    assert isinstance(answer, Rejected)
    letter = dead_letter(record(value=value), answer)
    assert letter.value is not None
    assert not contains(letter.value.replace(b"\0", b"").decode("latin-1"))
    assert not contains(letter.value.decode("unicode_escape"))


def test_a_value_too_large_is_replaced_by_a_reference() -> None:
    value = b"x" * (DEAD_LETTER_VALUE_LIMIT_BYTES + 1)
    letter = dead_letter(record(value=value), Rejected(Reason.TOO_LARGE, "Too large."))
    assert letter.value is not None
    assert json.loads(letter.value) == {
        "topic": "orders.created",
        "partition": 2,
        "offset": 41,
        "bytes": len(value),
        "sha256": hashlib.sha256(value).hexdigest(),
    }
    assert dead_letter(record(value=value[:-1]), BAD_AMOUNT).value == value[:-1]


def test_a_key_too_long_is_replaced_by_its_hash() -> None:
    key = b"k" * (DEAD_LETTER_KEY_LIMIT_BYTES + 1)
    assert dead_letter(record(key=key), BAD_AMOUNT).key == hashlib.sha256(key).hexdigest().encode()
    assert dead_letter(record(key=key[:-1]), BAD_AMOUNT).key == key[:-1]


@pytest.mark.invariant("I11")
def test_the_number_and_size_of_headers_are_limited() -> None:
    many = tuple((f"h{i}", b"") for i in range(DEAD_LETTER_HEADERS_LIMIT + 1))
    assert dead_letter(record(headers=many), BAD_AMOUNT).headers == WHERE + many[:-1]
    just = (("a", b"x" * (DEAD_LETTER_HEADERS_LIMIT_BYTES - 1)),)
    assert dead_letter(record(headers=just), BAD_AMOUNT).headers == WHERE + just
    large = (("a", b"1"), ("b", b"x" * DEAD_LETTER_HEADERS_LIMIT_BYTES), ("c", b"1"))
    assert dead_letter(record(headers=large), BAD_AMOUNT).headers == (*WHERE, ("a", b"1"))


def test_headers_of_an_earlier_dead_letter_are_dropped() -> None:
    """A dead letter that is sent again and rejected again carries only its own position."""
    again = record(headers=(("dlq_reason", b"too_old"), ("traceparent", b"00-1")))
    assert dead_letter(again, BAD_AMOUNT).headers == (*WHERE, ("traceparent", b"00-1"))
