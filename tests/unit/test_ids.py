"""Ids are names: the same things give the same id, other things another."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.domain.ids import event_record_id, operation_id, payment_id, quarantine_id

PAYMENT = UUID("3c2f6a53-5c7a-5f0e-9d3c-6f0f8f6f2b11")
PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)


def test_ids_stay_what_they_are() -> None:
    """Another value would give every payment of every deployment another id."""
    assert payment_id("default", "order-1", 1) == UUID("d66098da-adf0-55f9-90a0-a86cb6465dc5")
    assert operation_id(PAYMENT, "create", "system", "1") == UUID("b17554b1-31e7-5d5c-8cd6-932726d4c174")
    assert event_record_id(PAYMENT, "payments.succeeded", "pi_1:succeeded") == UUID(
        "325d80e1-c9d2-58b1-a96c-47a19c920d5d"
    )
    assert quarantine_id("orders.created", 0, 41) == UUID("bade8e4b-e21f-524d-b876-8855ecabc405")


@given(st.lists(st.tuples(PRINTABLE, PRINTABLE), min_size=2, max_size=2, unique=True))
def test_no_punctuation_makes_two_orders_one(named: list[tuple[str, str]]) -> None:
    (one, another) = named
    assert payment_id(*one, 1) != payment_id(*another, 1)
    assert operation_id(PAYMENT, "refund", *one) != operation_id(PAYMENT, "refund", *another)
    assert event_record_id(PAYMENT, *one) != event_record_id(PAYMENT, *another)


@pytest.mark.parametrize(
    ("one", "another"), [(("a", "b:c"), ("a:b", "c")), (("a|b", "c"), ("a", "b|c")), (("a ", "b"), ("a", " b"))]
)
def test_parts_do_not_run_into_each_other(one: tuple[str, str], another: tuple[str, str]) -> None:
    assert payment_id(*one, 1) != payment_id(*another, 1)


def test_each_kind_of_id_is_its_own_though_its_parts_are_the_same() -> None:
    assert len({payment_id("a", "1", 2), quarantine_id("a", 1, 2)}) == 2


def test_a_newline_in_a_part_is_refused() -> None:
    """It separates the parts, so with it one name could be read as two others."""
    with pytest.raises(ValueError, match="newline"):
        payment_id("default", "a\n1", 1)
    with pytest.raises(ValueError, match="newline"):
        operation_id(PAYMENT, "refund", "shop\nkey", "1")
    with pytest.raises(ValueError, match="newline"):
        event_record_id(PAYMENT, "payments.failed", "ch_1\ndeclined")
    with pytest.raises(ValueError, match="newline"):
        quarantine_id("orders\ncreated", 0, 1)
