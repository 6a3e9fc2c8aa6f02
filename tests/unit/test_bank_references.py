"""Creditor references derive from a payment's id and are found in free text."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from stdnum import iso11649

from payment_service.bank_transfer.references import find_references, reference_of

PAYMENT = UUID("ae21913b-5b2f-5c29-8abf-153dfb1cfa87")
OURS = reference_of(PAYMENT)


@given(st.uuids())
def test_a_reference_is_valid_iso_11649_and_deterministic(payment_id: UUID) -> None:
    reference = reference_of(payment_id)
    assert iso11649.validate(reference) == reference == reference_of(payment_id)
    assert len(reference) == 20


def test_references_stay_the_same_across_releases() -> None:
    """Customers store them in standing orders: a different rule would orphan their transfers."""
    assert OURS == "RF85HFFY4NDHEY5TH47J"
    assert iso11649.format(OURS) == "RF85 HFFY 4NDH EY5T H47J"


def test_ten_thousand_payments_have_distinct_references() -> None:
    assert len({reference_of(uuid4()) for _ in range(10_000)}) == 10_000


@given(st.text(max_size=40), st.text(max_size=40), st.lists(st.sampled_from(" -./\t"), min_size=19, max_size=19))
def test_a_reference_is_found_despite_case_separators_and_other_text(
    before: str, after: str, between: list[str]
) -> None:
    written = "".join(letter + gap for letter, gap in zip(OURS, [*between, ""], strict=True)).lower()
    assert OURS in find_references(f"{before} {written} {after}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "invoice 4711",
        OURS.replace("Y", "X"),
        OURS[:-1],
        f"RF{OURS[4:]}",
        "RF18539007547034",
        OURS.replace("H", "K"),
    ],
)
def test_invalid_references_are_not_found(text: str) -> None:
    assert find_references(text) == ()


def test_several_references_are_each_found_once() -> None:
    other = reference_of(UUID(int=7))
    assert find_references(f"{OURS}, {other} and again {iso11649.format(OURS)}") == (OURS, other)


@given(st.integers(0, 19), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_one_wrong_character_is_detected(place: int, letter: str) -> None:
    """Exchange a letter for a letter or a digit for a digit. Of the other exchanges, 96 in 97 are detected."""
    assume(letter.isdigit() == OURS[place].isdigit())
    wrong = OURS[:place] + letter + OURS[place + 1 :]
    assert wrong == OURS or OURS not in find_references(wrong)
    assert find_references(wrong) in {(), (OURS,)}
