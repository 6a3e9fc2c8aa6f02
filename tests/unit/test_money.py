"""Amounts are exact or rejected, in every currency."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.domain.money import AmountNotDecimalError, parse
from payment_service.provider.stripe.amounts import AmountNotRepresentable, from_stripe, to_stripe
from payment_service_events.currency import CURRENCIES, Currency, UnknownCurrency, currency
from payment_service_events.money import AMOUNT_MINOR_MAX, AmountOutOfRangeError, Money, MoneyError

EUR, JPY, KWD, ISK, UGX = (currency(code) for code in ("eur", "jpy", "kwd", "isk", "ugx"))
CODES = st.sampled_from(sorted(CURRENCIES))
MINORS = st.integers(0, AMOUNT_MINOR_MAX)


@st.composite
def amounts_as_written(draw: st.DrawFn) -> tuple[str, Currency]:
    """Draw any text that the contract lets a shop write, in any currency."""
    known = CURRENCIES[draw(CODES)]
    whole = draw(st.integers(0, AMOUNT_MINOR_MAX // 10**known.decimals))
    decimals = draw(st.integers(0, known.decimals))
    fraction = "." + "".join(draw(st.sampled_from("0123456789")) for _ in range(decimals)) if decimals else ""
    return f"{whole}{fraction}", known


@pytest.mark.invariant("I13")
@given(amounts_as_written())
def test_an_amount_round_trips_through_stripe_or_is_rejected(written: tuple[str, Currency]) -> None:
    text, known = written
    try:
        money = parse(text, known)
        amount = to_stripe(money)
    except MoneyError:
        assert known.decimals == 3  # only a third decimal that isn't 0 can be refused
        assert text[-1] != "0"
        return
    assert from_stripe(amount, known) == money


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_every_currency_round_trips_through_stripe(code: str) -> None:
    for minor in (0, 10, 1990, 100_000, AMOUNT_MINOR_MAX - AMOUNT_MINOR_MAX % 10):
        money = Money(minor, CURRENCIES[code])
        assert from_stripe(to_stripe(money), CURRENCIES[code]) == money


@given(amounts_as_written())
def test_parsed_amounts_are_written_with_all_decimals(written: tuple[str, Currency]) -> None:
    text, known = written
    whole, _, fraction = text.partition(".")
    padded = fraction.ljust(known.decimals, "0")
    assert parse(text, known).decimal_text == (f"{whole}.{padded}" if padded else whole)


@given(MINORS, CODES)
def test_written_amounts_parse_to_the_same_amount(minor: int, code: str) -> None:
    money = Money(minor, CURRENCIES[code])
    assert parse(money.decimal_text, money.currency) == money


@given(st.integers(0, AMOUNT_MINOR_MAX * 100), CODES)
def test_stripe_amounts_convert_exactly_or_are_rejected(amount: int, code: str) -> None:
    known = CURRENCIES[code]
    try:
        money = from_stripe(amount, known)
    except AmountNotRepresentable:
        assert known in (ISK, UGX)
        assert amount % 100
    except AmountOutOfRangeError:
        assert amount > AMOUNT_MINOR_MAX
    else:
        assert money.minor * (100 if known in (ISK, UGX) else 1) == amount


@given(st.text(max_size=20), CODES)
def test_any_text_parses_or_raises_a_money_error(text: str, code: str) -> None:
    try:
        money = parse(text, CURRENCIES[code])
    except MoneyError:
        return
    assert text.isascii()
    assert money.decimal_text.startswith(text.partition(".")[0])


@pytest.mark.parametrize(
    ("text", "known", "minor", "written"),
    [
        ("19.90", EUR, 1990, "19.90"),
        ("19.9", EUR, 1990, "19.90"),
        ("19", EUR, 1900, "19.00"),
        ("0.01", EUR, 1, "0.01"),
        ("0", EUR, 0, "0.00"),
        ("500", JPY, 500, "500"),
        ("1.234", KWD, 1234, "1.234"),
        ("9999999999.99", EUR, AMOUNT_MINOR_MAX, "9999999999.99"),
        ("999999999999", JPY, AMOUNT_MINOR_MAX, "999999999999"),
    ],
)
def test_amount_examples(text: str, known: Currency, minor: int, written: str) -> None:
    money = parse(text, known)
    assert money == Money(minor, known)
    assert money.decimal_text == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "-1",
        "01",
        "00",
        ".5",
        "1.",
        "1.999",
        "1,5",
        "1e3",
        "0x1",
        "NaN",
        "Infinity",
        "1_000",
        "\uff11",
        "٣",
        "1.0.0",
    ],
)
def test_text_that_is_no_plain_decimal_is_rejected(text: str) -> None:
    with pytest.raises(AmountNotDecimalError):
        parse(text, EUR)


def test_a_currency_without_decimals_rejects_a_decimal_point() -> None:
    with pytest.raises(AmountNotDecimalError, match="at most 0 decimals"):
        parse("500.00", JPY)


def test_an_amount_above_the_maximum_is_rejected() -> None:
    with pytest.raises(AmountOutOfRangeError):
        parse("10000000000.00", EUR)
    with pytest.raises(AmountOutOfRangeError, match=r"100\.00 eur"):
        parse("100.01", EUR, minor_max=10_000)
    assert parse("100.00", EUR, minor_max=10_000).minor == 10_000


@pytest.mark.parametrize("minor", [-1, AMOUNT_MINOR_MAX + 1, 1.0, True, "1", None])
def test_money_accepts_only_whole_minor_units(minor: object) -> None:
    with pytest.raises(MoneyError):
        Money(minor, EUR)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "code", "amount"),
    [
        ("500", "isk", 50_000),
        ("500", "ugx", 50_000),
        ("500", "jpy", 500),
        ("500", "mga", 500),
        ("5.120", "kwd", 5120),
        ("5", "huf", 500),
    ],
)
def test_currencies_with_special_units_at_stripe_are_converted(text: str, code: str, amount: int) -> None:
    assert to_stripe(parse(text, currency(code))) == amount


@pytest.mark.parametrize("code", ["bhd", "jod", "kwd", "omr", "tnd"])
def test_a_third_decimal_that_stripe_cannot_charge_is_rejected(code: str) -> None:
    with pytest.raises(AmountNotRepresentable, match="third decimal is 0"):
        to_stripe(parse("5.124", currency(code)))


@pytest.mark.parametrize("amount", [50_001, -100, 500.0, True, None, "500"])
def test_invalid_stripe_amounts_are_rejected(amount: object) -> None:
    with pytest.raises(MoneyError):
        from_stripe(amount, ISK)  # type: ignore[arg-type]


def test_currency_decimals_follow_iso_4217_except_for_the_ariary() -> None:
    by_decimals = {n: {c.code for c in CURRENCIES.values() if c.decimals == n} for n in (0, 2, 3)}
    assert by_decimals[0] == {
        "bif",
        "clp",
        "djf",
        "gnf",
        "isk",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "ugx",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    }
    assert by_decimals[3] == {"bhd", "jod", "kwd", "omr", "tnd"}
    assert len(CURRENCIES) == sum(len(codes) for codes in by_decimals.values()) == 140


@pytest.mark.parametrize("code", ["", "EUR", "zzz", "eu", "euro", "xau", "eur\n", "\u212awd", "4242424242424242"])
def test_an_unknown_currency_is_rejected_without_repeating_long_text(code: str) -> None:
    with pytest.raises(UnknownCurrency) as caught:
        currency(code)
    assert len(code) <= 3 or code not in str(caught.value).replace("'eur'", "")
