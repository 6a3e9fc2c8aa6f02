"""Find and mask card numbers, so that none is ever stored, logged or forwarded.

A card number has 13 to 19 ASCII digits, a network's prefix and length, and a valid check digit (Luhn, ISO/IEC 7812-1).
Single spaces or dashes may separate the digits. The number begins and ends at a group boundary. A 13-digit number that
is a valid bar code (GTIN-13) is not a card number: stores use bar codes, and no network issues 13 digits any more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LENGTH_MIN: Final = 13
_SHOWN_DIGITS: Final = 4  # PCI DSS 3.4.1 allows the last four to be displayed

_NETWORKS: Final = re.compile(
    "|".join(  # noqa: FLY002 - one network a line
        [
            r"4[0-9]{12}(?:[0-9]{3}){0,2}",  # Visa: 13, 16, 19
            r"5[1-5][0-9]{14}",  # Mastercard
            r"2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}",  # Mastercard, 2221 to 2720
            r"3[47][0-9]{13}",  # American Express
            r"(?:30[0-59]|3[689][0-9])[0-9]{11,16}",  # Diners Club
            r"(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}",  # Discover
            r"35(?:2[89]|[3-8][0-9])[0-9]{12,15}",  # JCB
            r"62[0-9]{14,17}",  # UnionPay
            r"(?:50(?:18|20|38)|5893|6304|6759|676[1-3])[0-9]{9,15}",  # Maestro
        ]
    )
)
_GTIN_LENGTH: Final = 13
# A cheap test that rules out most texts.
_MAYBE: Final = re.compile(r"[2-6][0-9 -]{12}")
# Every start of a group of digits, with what follows it, up to 19 digits.
_CANDIDATE: Final = re.compile(r"(?<![0-9])(?=([2-6](?:[ -]?[0-9]){12,18}))")
_DIGIT: Final = re.compile(r"[0-9]")
_WITHOUT_SEPARATORS: Final = str.maketrans("", "", " -")
_VALUES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED: Final = bytes.maketrans(bytes(range(10)), bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
# In raw bytes, JSON escapes or the zero bytes of UTF-16 may hide digits, spaces and dashes.
_ESCAPED: Final = re.compile(r"\\u00(3[0-9]|20|2[dD])")


def may_contain(text: str) -> bool:
    """Return whether a full search is needed. Fast; also true for JSON text whose escapes could hide digits."""
    return _MAYBE.search(text) is not None or "\\u00" in text


def find(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans (start, end) of card numbers. They overlap if several readings are possible."""
    if _MAYBE.search(text) is None:
        return
    for match in _CANDIDATE.finditer(text):
        yield from _readings(text, match.start(), match[1])


def contains(text: str) -> bool:
    """Return whether the text contains a card number."""
    return next(find(text), None) is not None


def mask(text: str) -> str:
    """Replace every card number's digits except the last four by `*`. The length does not change."""
    masked = _mask_once(text, _SHOWN_DIGITS)
    # Four visible digits may start another number together with later digits. Mask that number completely.
    return masked if masked is text else _mask_once(masked, 0)


def mask_bytes(value: bytes) -> bytes:
    """Mask card numbers in raw bytes of any encoding.

    JSON escapes and zero bytes are resolved if they hide numbers. All other bytes stay unchanged.
    """
    masked = mask(value.decode("latin-1"))
    plain = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), masked.replace("\0", ""))
    return (mask(plain) if plain != masked and contains(plain) else masked).encode("latin-1")


def _mask_once(text: str, shown: int) -> str:
    masked: list[str] | None = None
    for start, end in find(text):
        masked = masked or list(text)
        digits = [i for i in range(start, end) if text[i].isdigit()]
        for i in digits[: len(digits) - shown]:
            masked[i] = "*"
    return text if masked is None else "".join(masked)


def _readings(text: str, start: int, candidate: str) -> Iterator[tuple[int, int]]:
    """Yield the card numbers that start with the candidate and end with one of its groups of digits."""
    digits = candidate.translate(_WITHOUT_SEPARATORS)
    lengths = [n for n in range(_LENGTH_MIN, len(digits) + 1) if _is_card_number(digits[:n])]
    if not lengths:
        return
    ends = [match.end() for match in _DIGIT.finditer(candidate)]
    for length in lengths:
        end = start + ends[length - 1]
        if not "0" <= text[end : end + 1] <= "9":
            yield start, end


def _is_card_number(digits: str) -> bool:
    if _NETWORKS.fullmatch(digits) is None or not _passes_luhn(digits):
        return False
    return len(digits) != _GTIN_LENGTH or not _is_gtin(digits)


def _passes_luhn(digits: str) -> bool:
    values = digits.encode().translate(_VALUES)
    return (sum(values[::-2]) + sum(values[-2::-2].translate(_DOUBLED))) % 10 == 0


def _is_gtin(digits: str) -> bool:
    values = digits.encode().translate(_VALUES)
    return (sum(values[::2]) + 3 * sum(values[1::2])) % 10 == 0
