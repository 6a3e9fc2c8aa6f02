"""The format of amounts, durations and secrets on the pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stripe_sandbox.errors import ApiError
from stripe_sandbox.pages import money
from stripe_sandbox.pages.formatting import duration, masked
from stripe_sandbox.resources.currencies import SUPPORTED


@given(st.integers(0, 99_999_999_999), st.sampled_from(sorted(SUPPORTED)))
def test_formatted_amount_is_parsed_to_the_same_value(amount: int, currency: str) -> None:
    assert money.parse(money.plain(amount, currency), currency) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1999, "eur", "19.99 EUR"),
        (5, "usd", "0.05 USD"),
        (120_000, "jpy", "120,000 JPY"),
        (1_234_560, "kwd", "1,234.560 KWD"),
        (50_000, "isk", "500.00 ISK"),
        (-12_345_678, "gbp", "-123,456.78 GBP"),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(amount: int, currency: str, text: str) -> None:
    assert money.formatted(amount, currency) == text


@pytest.mark.parametrize(("text", "currency"), [("1.5", "jpy"), ("1.234", "eur"), ("1,000", "eur"), ("", "eur")])
def test_invalid_amount_is_rejected(text: str, currency: str) -> None:
    with pytest.raises(ApiError):
        money.parse(text, currency)


def test_durations_are_rounded_and_secrets_are_masked() -> None:
    assert [duration(s) for s in (0, 59, 3600, 90_061, 604_800)] == ["0 s", "59 s", "1 h", "1 d 1 h", "7 d"]
    assert [masked(s) for s in ("whsec_0123456789abcdef", "whsec_short", "nothing")] == ["whsec_…cdef", "whsec_…", "…"]
