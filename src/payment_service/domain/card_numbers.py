"""Find and mask card numbers, so that none is ever stored, logged or forwarded.

A card number has 13 to 19 digits, a network's prefix and length, and a valid check digit (Luhn, ISO/IEC 7812-1). The
digits may be of any script. Up to three spaces, dashes, dots or underscores may stand between any two of them, any number of
characters that nobody sees, and any other separator between groups as printed on a card. JSON escapes, percent encoding, HTML
entities, and base64 and hexadecimal of the digits are resolved, also one inside another. The number begins at a group of digits, and ends with one or with
an expiry date. A 13-digit number that is a valid bar code (GTIN-13) is not a card number: stores use bar codes, and no
network issues 13 digits any more.

The time is linear. A text with more than `CANDIDATES_MAX` places to check is treated as full of card numbers.
"""

from __future__ import annotations

import base64
import re
import sys
import unicodedata
from html.entities import html5
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Groups of digits to check: up to 20 ms of work. An order of 2,000 items with two long numbers each stays below it.
CANDIDATES_MAX: Final = 5_000
_LENGTH_MIN: Final = 13
_LENGTH_MAX: Final = 19
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
# Zero bytes are those of UTF-16 or UTF-32. Control characters, and what is folded to zero, are invisible.
_INVISIBLE: Final = r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]*+"
_SEPARATORS: Final = rf"{_INVISIBLE}(?:[ \t\r\n._-]{_INVISIBLE}){{0,3}}+"
_CLUSTER: Final = re.compile(rf"[0-9](?:{_SEPARATORS}[0-9])*+")
_GROUP: Final = re.compile(r"[0-9]+")
# A number in the groups that cards show, with the same separator of any kind between them.
_PRINTED: Final = re.compile(
    r"(?<![0-9])(?:[2-6][0-9]{3}([^0-9A-Za-z]{1,3})[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?"
    r"|3[0-9]{3}([^0-9A-Za-z]{1,3})[0-9]{6}\2[0-9]{4,5})(?![0-9])"
)
# A cheap test that rules out most texts: digits become 0 and separators vanish, or everything else becomes a letter or a dot.
_JOINED: Final = bytes.maketrans(b"123456789", b"000000000")
_SHAPES: Final = bytes(ord("0" if chr(c).isdecimal() else "x" if chr(c).isalnum() else ".") for c in range(256))
_SKIPPED: Final = bytes(range(0x20)) + b"\x7f ._-"
_LONG_NUMBER: Final = b"0" * _LENGTH_MIN
# The shapes of `_PRINTED`. UUIDs often have two groups of four digits, and rarely these.
_PRINTED_SHAPES: Final = tuple(
    separator.join(groups)
    for separator in (b".", b"..", b"...")
    for groups in ((b"0000", b"0000", b"0000", b"0000"), (b"0000", b"000000", b"0000"))
)
# An expiry date (MMYY, MMYYYY or YYMM) directly after the number, with or without the security code.
_EXPIRY: Final = re.compile(r"(?:(?:0[1-9]|1[0-2])(?:20)?[2-4][0-9]|[2-4][0-9](?:0[1-9]|1[0-2]))(?:[0-9]{3,4})?")
_NOT_DIGITS: Final = re.compile(r"[^0-9]+")
_ALL_DIGITS: Final = str.maketrans("0123456789", "*" * 10)
_VALUES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED: Final = bytes.maketrans(bytes(range(10)), bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
# An escape of JSON, JavaScript or Python may hide any character.
_ESCAPED: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|u\{0{0,4}([0-9a-fA-F]{1,4})\}|([tnrfb/\\]))")
_PERCENT: Final = re.compile(r"(?:%[0-9a-fA-F]{2})++")
_ENTITY: Final = re.compile(r"&(?:#0{0,8}([0-9]{1,7})|#[xX]0{0,8}([0-9a-fA-F]{1,6})|([A-Za-z]{2,16}));?")
# Bytes of digits in base64, at any position of a longer text: four characters stand for three digits.
_BASE64: Final = re.compile(
    r"(?:[A-Za-z0-9+/]{4})?(?:[MNO][DTjz][AEIMQUYcgk][w-z0-5]){4,}(?:[A-Za-z0-9+/]{2,4}={0,2})?"
)
_BASE64_SHAPES: Final = bytes(
    ord("a" if chr(c) in "MNOAEIQUYcgk" else "b" if chr(c) in "DTjzwxy012345" else ".") for c in range(256)
)
_BASE64_DIGITS: Final = b"abab" * 4
_HEXADECIMAL: Final = re.compile(r"(?:3[0-9]){13,}")
_SURROGATES_FIRST: Final = 0xD800
_SURROGATES_LAST: Final = 0xDFFF
_ENCODINGS_MAX: Final = 3  # one inside another


class TooManyCandidates(Exception):
    """The text has too many groups of digits to check."""


class _Budget:
    """The number of groups of digits that may still be checked."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = CANDIDATES_MAX

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise TooManyCandidates


def may_contain(text: str) -> bool:
    """Return whether a full search is needed. Fast; also true for text whose encoding could hide digits."""
    return not text.isascii() or "\\" in text or "%" in text or "&" in text or _maybe(text) or _maybe_base64(text)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans (start, end) of card numbers. They overlap if several readings are possible.

    Raise TooManyCandidates.
    """
    yield from _find(text, _Budget())


def contains(text: str) -> bool:
    """Return whether the text contains a card number, perhaps behind JSON escapes or percent encoding."""
    return contains_any((text,))


def contains_any(texts: Iterable[str]) -> bool:
    """Return whether a text contains a card number, or whether all together have too many candidates."""
    budget = _Budget()
    try:
        return any(next(_find(form, budget), None) is not None for text in texts for form in _forms(text))
    except TooManyCandidates:
        return True


def mask(text: str) -> str:
    """Replace every card number's digits except the last four by `*`. The length does not change.

    Encodings are resolved if they hide numbers. Every digit is replaced if there are too many candidates or encodings.
    """
    try:
        masked = _mask_plain(text)
        for _ in range(_ENCODINGS_MAX):
            if (hiding := _hiding_form(masked)) is None:
                return masked
            masked = _mask_plain(hiding)
    except TooManyCandidates:
        pass
    *_, plain = _forms(text)
    return _fold(plain)[0].translate(_ALL_DIGITS)


def _hiding_form(text: str) -> str | None:
    """Return what the text says after encodings are resolved, if that contains a card number."""
    budget = _Budget()
    forms = _forms(text)
    next(forms)
    return next((form for form in forms if next(_find(form, budget), None) is not None), None)


def mask_bytes(value: bytes) -> bytes:
    """Mask card numbers in raw bytes of any encoding. All other bytes stay unchanged."""
    return mask(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _forms(text: str) -> Iterator[str]:
    """Yield the text, and what it says after the encodings are resolved, from outside to inside."""
    yield text
    for _ in range(_ENCODINGS_MAX):
        before = text
        for resolve in (_resolve_escapes, _resolve_percent, _resolve_entities, _resolve_bytes):
            resolved = resolve(text)
            if resolved != text:
                text = resolved
                yield text
        if text == before:
            return


def _resolve_escapes(text: str) -> str:
    return _ESCAPED.sub(_unescape, text) if "\\" in text else text


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return match[4] if match[4] in "/\\" else " "
    character = chr(int(code, 16))
    return match[0] if unicodedata.category(character) == "Cs" else character  # half of a pair


def _resolve_percent(text: str) -> str:
    if "%" not in text:
        return text
    return _PERCENT.sub(lambda m: bytes.fromhex(m[0].replace("%", "")).decode(errors="surrogateescape"), text)


def _resolve_entities(text: str) -> str:
    return _ENTITY.sub(_character_of, text) if "&" in text else text


def _character_of(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if name:
        return html5.get(f"{name};", match[0])
    code = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(code) if code < _SURROGATES_FIRST or _SURROGATES_LAST < code <= sys.maxunicode else match[0]


def _resolve_bytes(text: str) -> str:
    """Resolve base64 and hexadecimal where they stand for digits."""
    if _maybe_base64(text):
        text = _BASE64.sub(lambda m: base64.b64decode(m[0].rstrip("=") + "==").decode("latin-1"), text)
    return _HEXADECIMAL.sub(lambda m: m[0][1::2], text)


def _maybe_base64(text: str) -> bool:
    return _BASE64_DIGITS in text.encode("ascii", "replace").translate(_BASE64_SHAPES)


def _maybe(text: str) -> bool:
    content = text.encode("ascii", "replace")
    if _LONG_NUMBER in content.translate(_JOINED, _SKIPPED):
        return True
    shapes = content.translate(_SHAPES)
    return any(shape in shapes for shape in _PRINTED_SHAPES)


def _find(text: str, budget: _Budget) -> Iterator[tuple[int, int]]:
    folded, origins = _fold(text)
    if not _maybe(folded):
        return
    for start, end in _find_folded(folded, budget):
        yield (start, end) if origins is None else (origins[start], origins[end - 1] + 1)


def _find_folded(text: str, budget: _Budget) -> Iterator[tuple[int, int]]:
    for cluster in _CLUSTER.finditer(text):
        if cluster.end() - cluster.start() >= _LENGTH_MIN:
            yield from _readings(text, cluster.start(), cluster.end(), budget)
    for match in _PRINTED.finditer(text):
        budget.spend()
        if _is_card_number(_NOT_DIGITS.sub("", match[0])):
            yield match.span()


def _readings(text: str, begin: int, end: int, budget: _Budget) -> Iterator[tuple[int, int]]:
    """Yield the card numbers in a cluster: each starts with a group of digits."""
    groups = _GROUP.finditer(text, begin, end)
    ahead: list[tuple[int, int]] = []
    for group in groups:
        ahead.append(group.span())
        digits = sum(stop - start for start, stop in ahead)
        while ahead and digits >= _LENGTH_MAX:
            yield from _starting_at(text, ahead, budget)
            digits -= ahead[0][1] - ahead[0][0]
            del ahead[0]
    while ahead:
        yield from _starting_at(text, ahead, budget)
        del ahead[0]


def _starting_at(text: str, groups: list[tuple[int, int]], budget: _Budget) -> Iterator[tuple[int, int]]:
    """Yield the card numbers that start with the first group and end with a group or before an expiry date."""
    if text[groups[0][0]] not in "23456":
        return
    budget.spend()
    before = ""
    for start, stop in groups:
        if len(before) >= _LENGTH_MAX:
            return
        digits = before + text[start:stop]
        for length in range(max(_LENGTH_MIN, len(before) + 1), min(_LENGTH_MAX, len(digits)) + 1):
            rest = digits[length : length + _LENGTH_MAX]
            if (not rest or _EXPIRY.fullmatch(rest)) and _is_card_number(digits[:length]):
                yield groups[0][0], start + length - len(before)
        before = digits


def _mask_plain(text: str) -> str:
    masked = _mask_once(text, _SHOWN_DIGITS)
    # Four visible digits may start another number together with later digits. Mask that number completely.
    return masked if masked is text else _mask_once(masked, 0)


def _mask_once(text: str, shown: int) -> str:
    spans = list(find(text))
    if not spans:
        return text
    masked = list(text)
    for start, end in spans:
        digits = [i for i in range(start, end) if _GROUP.search(text[i].translate(_FOLDED))]
        for i in digits[: len(digits) - shown]:
            masked[i] = "*"
    return "".join(masked)


def _fold(text: str) -> tuple[str, list[int] | None]:
    """Return the text in ASCII, and for each of its characters the position in the original (None: the same)."""
    if text.isascii():
        return text, None
    folded = text.translate(_FOLDED)
    if len(folded) == len(text):
        return folded, None
    return folded, [i for i, character in enumerate(text) for _ in character.translate(_FOLDED)]


class _FoldedCharacters(dict[int, str]):
    """The ASCII form of characters: digits of any script, spaces and dashes of any kind, compatibility forms (NFKC)."""

    def __missing__(self, code: int) -> str:
        folded = _fold_character(chr(code))
        if len(self) < _FOLDED_MAX:
            self[code] = folded
        return folded


# Letters and symbols without ink.
_BLANKS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def _fold_character(character: str) -> str:
    if character.isascii():
        return character
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category in {"Cf", "Mn", "Me", "Mc"} or character in _BLANKS:
        return "\0"
    if category in {"Zs", "Zl", "Zp"}:
        return " "
    if category == "Pd" or character == "\N{MINUS SIGN}":
        return "-"
    if (plain := unicodedata.normalize("NFKC", character)).isascii() and plain:
        return plain
    return "x" if character.isalnum() else "|"


_FOLDED_MAX: Final = 4_096  # the alphabets of a store's languages, in about 400 kB
_FOLDED: Final = _FoldedCharacters()


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
