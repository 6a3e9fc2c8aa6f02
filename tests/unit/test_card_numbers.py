"""Card numbers are found and masked in every notation; lookalikes are left alone."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.domain.card_numbers import CANDIDATES_MAX, contains, find, mask, mask_bytes, may_contain

# Prefix and length, one per range that a network issues from.
PREFIXES = [
    ("4", 16), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15), ("37", 15), ("6011", 16), ("65", 16),
    ("644", 16), ("649", 19), ("36", 14), ("38", 14), ("300", 14), ("305", 16), ("3528", 16), ("3589", 16), ("62", 16), ("62", 19),
    ("6759", 16), ("5018", 18),
]  # fmt: skip
# Stripe's documented test cards (https://docs.stripe.com/testing#cards), and the classic Visa of 13 digits.
TEST_CARDS = [
    "4242424242424242", "4000056655665556", "5555555555554444", "2223003122003222", "5200828282828210", "378282246310005",
    "371449635398431", "6011111111111117", "3056930009020004", "36227206271667", "3566002020360505", "6200000000000005",
    "6205500000000000004", "4000000000000002", "4222222222222",
]  # fmt: skip


def luhn_digit(digits: str) -> str:
    """Return the check digit that makes these digits a valid number."""
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits))]
    return str(-sum(n // 10 + n % 10 for n in doubled) % 10)


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    """Draw any number of any network, of 14 digits or more."""
    prefix, length = draw(st.sampled_from(PREFIXES))
    digits = prefix + draw(st.text("0123456789", min_size=length - len(prefix) - 1, max_size=length - len(prefix) - 1))
    return digits + luhn_digit(digits)


@st.composite
def written_card_numbers(draw: st.DrawFn) -> str:
    """Draw a card number with single spaces or dashes anywhere between its digits."""
    digits = draw(card_numbers())
    return "".join(d + draw(st.sampled_from(["", "", "", " ", "-"])) for d in digits[:-1]) + digits[-1]


# Text that cannot lengthen a number: it holds no digit, and no separator that would join other digits to it.
BESIDE = st.text(st.characters(codec="utf-8", categories=["Lu", "Ll", "Lo"]), max_size=10)


@given(BESIDE, written_card_numbers(), BESIDE)
def test_a_card_number_is_found_anywhere_in_a_text(before: str, number: str, after: str) -> None:
    text = before + number + after
    assert may_contain(text)
    assert (len(before), len(before) + len(number)) in list(find(text))


@given(BESIDE, written_card_numbers(), BESIDE)
def test_masking_keeps_the_text_and_at_most_the_last_four_digits(before: str, number: str, after: str) -> None:
    masked = mask(before + number + after)
    assert len(masked) == len(before + number + after)
    assert masked.startswith(before)
    assert masked.endswith(after)
    shown = [c for c in masked[len(before) : len(before) + len(number)] if c in "0123456789"]
    digits = number.replace(" ", "").replace("-", "")
    assert len(shown) <= 4
    assert digits.endswith("".join(shown))


@given(st.lists(st.one_of(written_card_numbers(), st.text("0123456789 -x", max_size=12)), max_size=8).map(" ".join))
def test_masked_text_contains_no_card_number(text: str) -> None:
    masked = mask(text)
    assert not contains(masked)
    assert mask(masked) == masked


def test_digits_left_after_masking_do_not_form_another_number() -> None:
    """The last four digits of a number can form another number with the next twelve digits."""
    masked = mask("4242424242424242 424242424242 424242424242")
    assert masked == "**************** ************ 424242424242"
    assert not contains(masked)


@given(st.text())
def test_text_without_card_numbers_is_unchanged(text: str) -> None:
    assert contains(text) or mask(text) == text


@given(st.binary())
def test_any_bytes_can_be_masked(value: bytes) -> None:
    assert not contains(mask_bytes(value).decode("latin-1"))


@pytest.mark.parametrize("number", TEST_CARDS)
def test_stripe_test_cards_are_found(number: str) -> None:
    assert contains(number)
    assert contains(" ".join(number[i : i + 4] for i in range(0, len(number), 4)))
    assert mask(f"card {number}.") == f"card {'*' * (len(number) - 4)}{number[-4:]}."


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4242 4242 4242 4242", "**** **** **** 4242"),
        ("4242-4242-4242-4242 123", "****-****-****-4242 123"),
        ("1 4242 4242 4242 4242", "1 **** **** **** 4242"),
        ("visa4242424242424242", "visa************4242"),
        ("4242.4242.4242.4242", "****.****.****.4242"),
        ("4242_4242_4242_4242", "****_****_****_4242"),
        ("4242  4242  4242  4242", "****  ****  ****  4242"),
        (
            "4242\N{NO-BREAK SPACE}4242\N{NO-BREAK SPACE}4242\N{NO-BREAK SPACE}4242",
            "****\N{NO-BREAK SPACE}****\N{NO-BREAK SPACE}****\N{NO-BREAK SPACE}4242",
        ),
        ("4242\N{EN DASH}4242\N{EN DASH}4242\N{EN DASH}4242", "****\N{EN DASH}****\N{EN DASH}****\N{EN DASH}4242"),
        ("4242\N{ZERO WIDTH SPACE}424242424242", "****\N{ZERO WIDTH SPACE}********4242"),
        ("４２４２４２４２４２４２４２４２", "************４２４２"),  # noqa: RUF001 - full width
        ("4242|4242|4242|4242", "****|****|****|4242"),
        ("4242 / 4242 / 4242 / 4242", "**** / **** / **** / 4242"),
        ("4242424242424242 12/26", "************4242 12/26"),
        ("42424242424242421226", "************42421226"),
        ("42424242424242421226123", "************42421226123"),
        ("3782,822463,10005", "****,******,*0005"),
        ("2 x 4242424242424242 and 5555555555554444", "2 x ************4242 and ************4444"),
    ],
)
def test_masking_examples(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.test/?card=4242%204242%204242%204242",
        "4242%2D4242%2D4242%2D4242",
        r'{"card":"\u0034242424242424242"}',
        r"\x34242424242424242",
        r"\u{34}242424242424242",
        r"\\u0034242424242424242",
        "%2534242424242424242",
        r"\u002534242424242424242",
        "&#52;242424242424242",
        "&#x34;242424242424242",
        "&amp;#52;242424242424242",
        "4242&nbsp;4242&nbsp;4242&ndash;4242",
        "".join(f"&#{ord(digit)};" for digit in "4242424242424242"),
        base64.b64encode(b"4242424242424242").decode(),
        f"token={base64.b64encode(b'a card 4242424242424242').decode()}",
        quote(base64.b64encode(b"4242424242424242")),
        b"4242424242424242".hex(),
    ],
)
def test_encoded_card_numbers_are_found_and_masked(text: str) -> None:
    assert contains(text)
    assert not contains(mask(text))
    assert mask(text).endswith(("4242", '4242"}'))


@pytest.mark.parametrize(
    "invisible",
    ["\0", "\x01", "\N{ZERO WIDTH SPACE}", "\N{SOFT HYPHEN}", "\N{COMBINING ACUTE ACCENT}", "\N{DEVANAGARI SIGN VISARGA}",
     "\N{VARIATION SELECTOR-16}", "\N{HANGUL FILLER}", "\N{BRAILLE PATTERN BLANK}", "\N{TAG SPACE}"],
)  # fmt: skip
def test_any_number_of_invisible_characters_hides_no_card_number(invisible: str) -> None:
    for times in (1, 4, 50):
        hidden = (invisible * times).join("4242424242424242")
        assert contains(hidden)
        assert [c for c in mask(hidden) if c in "42"] == list("4242")


# Whole and broken pieces of what the search resolves.
PIECES = ["4242", "42", "4", " ", "-", "&#", "52", "x34", ";", "&nbsp;", "&amp;", "&", "\\u", "\\x", "\\", "{34}", "0034", "d800", "%", "34", "25",
          "NDI0MjQyNDI0MjQyNDI0Mg==", "NDI0", "Mg=", "343234323432343234323432", "\0", "\u0301", "\ud800", "９", "x"]  # fmt: skip  # noqa: RUF001


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_broken_and_nested_encodings_are_masked_and_never_fail(text: str) -> None:
    assert not contains(mask(text))


@pytest.mark.parametrize(
    "unit",
    [
        "4 2 ",
        "4242 4242 ",
        "4242,",
        "42\N{NO-BREAK SPACE}",
        "5555555555554444 ",
        "&#52; ",
        "%34 ",
        "NDI0MjQyNDI0MjQyNDI0Mg== ",
    ],
)
def test_text_with_too_many_candidates_is_masked_completely(unit: str) -> None:
    """A search of every place would take more than a second (case 1 of the hostile inputs)."""
    text = unit * (5 * CANDIDATES_MAX)
    assert contains(text)
    assert not any(character.isdecimal() for character in mask(text))


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",  # the check digit is wrong
        "42424242424242424242",  # 20 digits
        "4242    4242 4242 4242",  # four spaces: two things
        "4242:4242-4242:4242",  # two kinds of separators that cards do not have
        "1234567812345670",  # Luhn, but no network
        "356938035643809",  # an IMEI: 15 digits, Luhn, but no network's
        "1790000000000000",  # microseconds since 1970
        "4006381333931",  # a bar code (GTIN-13)
        "4012345678901",
        "+49 30 901820 1234",
        "2026-01-31T23:59:59.123456Z",
        "3c2f6a53-5c7a-5f0e-9d3c-6f0f8f6f2b11",
        "pi_3MtwBwLkdIwHu7ix28a3tqPa",
        "R&D; 4242 &#42424242;",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_numbers_that_resemble_card_numbers_are_left_alone(text: str) -> None:
    assert not contains(text)
    assert mask(text) == text


def test_a_thirteen_digit_number_is_treated_as_a_bar_code() -> None:
    """Shops write bar codes in orders; no network issues 13 digits any more."""
    both = next(
        number
        for number in (f"400000{n:06d}{luhn_digit(f'400000{n:06d}')}" for n in range(1000))
        if sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(number)) % 10 == 0
    )
    assert not contains(both)


@pytest.mark.parametrize(
    "value",
    [
        b'{"note":"4242424242424242"',
        b"\xff\xfe 4242 4242 4242 4242",
        b'{"note":"\\u0034242\\u002d4242-4242\\u002D4242"}',
        b'{"note":"' + "".join(f"\\u00{ord(c):02x}" for c in "4242 4242 4242 4242").encode() + b'"}',
        "4242424242424242".encode("utf-16"),
    ],
)
def test_bytes_that_cannot_be_decoded_are_masked(value: bytes) -> None:
    assert b"************4242" in mask_bytes(value).translate(None, b"\0 -")


@given(written_card_numbers(), st.booleans())
def test_card_numbers_in_escaped_json_are_masked(number: str, escaped: bool) -> None:
    text = "".join(f"\\u{ord(c):04x}" for c in number) if escaped else number
    masked = mask_bytes(f'{{"note": "{text}"}}'.encode())
    assert not contains(json.loads(masked)["note"])
