"""Ids are deterministic: equal inputs give equal ids, and different inputs give different ids."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.domain.ids import event_record_id, operation_id, payment_id, quarantine_id

PAYMENT = UUID("3c2f6a53-5c7a-5f0e-9d3c-6f0f8f6f2b11")
PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)


def test_ids_stay_the_same_across_releases() -> None:
    """A different value would change the id of every payment of every deployment."""
    assert payment_id("default", "order-1", 1) == UUID("d66098da-adf0-55f9-90a0-a86cb6465dc5")
    assert operation_id(PAYMENT, "create", "system", "1") == UUID("b17554b1-31e7-5d5c-8cd6-932726d4c174")
    assert event_record_id(PAYMENT, "payments.succeeded", "pi_1:succeeded") == UUID(
        "325d80e1-c9d2-58b1-a96c-47a19c920d5d"
    )
    assert quarantine_id("orders.created", 0, 41) == UUID("bade8e4b-e21f-524d-b876-8855ecabc405")


@given(st.lists(st.tuples(PRINTABLE, PRINTABLE), min_size=2, max_size=2, unique=True))
def test_punctuation_never_makes_two_ids_equal(named: list[tuple[str, str]]) -> None:
    (one, another) = named
    assert payment_id(*one, 1) != payment_id(*another, 1)
    assert operation_id(PAYMENT, "refund", *one) != operation_id(PAYMENT, "refund", *another)
    assert event_record_id(PAYMENT, *one) != event_record_id(PAYMENT, *another)


@pytest.mark.parametrize(
    ("one", "another"), [(("a", "b:c"), ("a:b", "c")), (("a|b", "c"), ("a", "b|c")), (("a ", "b"), ("a", " b"))]
)
def test_parts_of_an_id_are_separated(one: tuple[str, str], another: tuple[str, str]) -> None:
    assert payment_id(*one, 1) != payment_id(*another, 1)


def test_kinds_of_ids_differ_even_with_equal_parts() -> None:
    assert len({payment_id("a", "1", 2), quarantine_id("a", 1, 2)}) == 2


def test_a_newline_in_a_part_is_rejected() -> None:
    """A newline separates the parts, so a part that contains one would be ambiguous."""
    with pytest.raises(ValueError, match="newline"):
        payment_id("default", "a\n1", 1)
    with pytest.raises(ValueError, match="newline"):
        operation_id(PAYMENT, "refund", "shop\nkey", "1")
    with pytest.raises(ValueError, match="newline"):
        event_record_id(PAYMENT, "payments.failed", "ch_1\ndeclined")
    with pytest.raises(ValueError, match="newline"):
        quarantine_id("orders\ncreated", 0, 1)
