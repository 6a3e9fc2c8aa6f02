"""Parse a bank statement in CSV, line by line. A bad line is reported with its number and affects no other. Pure.

The first line names the columns `booking_date` (2026-12-25), `amount` (a decimal with a point), `currency` (ISO 4217),
`reference` (the customer's text) and `transaction_id` (the bank's), in any order; others are ignored. The format is UTF-8
with commas, quotes as in RFC 4180, and one line per transfer. Outgoing money (a negative amount) is skipped.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from payment_service.domain.guard import clean
from payment_service.domain.money import parse
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service_events.currency import UnknownCurrency, currency
from payment_service_events.money import MoneyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from payment_service_events.money import Money

COLUMNS: Final = ("booking_date", "amount", "currency", "reference", "transaction_id")
# A hundred lines of remittance information. A longer line belongs to another kind of file.
LINE_LIMIT_BYTES: Final = 16_384
# SEPA carries 140 characters, SWIFT four lines of 35, some banks all of both.
REFERENCE_LIMIT_CHARACTERS: Final = 1_000
# East of here it may be tomorrow already.
_AHEAD_MAX: Final = timedelta(days=1)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_DAY: Final = date(2000, 1, 1)
_TRANSACTION: Final = re.compile(r"[\x21-\x7e]{1,100}")
_OUTGOING: Final = re.compile(r"-[0-9]+(\.[0-9]+)?")


class StatementRefused(Refusal):
    """The file is not a readable statement. The message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(RefusalReason.INVALID, message)


class _BadError(ValueError):
    """A line cannot be parsed; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """An incoming transfer. `text` is what the customer wrote."""

    transaction_id: str
    amount: Money
    booked_on: date
    text: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be parsed: its number in the file, from 1, and the problem. It repeats none of the content."""

    number: int
    problem: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A line of outgoing money."""

    number: int


def read_statement(lines: Iterable[bytes], *, today: date) -> Iterator[tuple[int, Transfer] | BadLine | Outgoing]:
    """Yield each transfer with its line number. Raise StatementRefused if the first line does not name the columns."""
    numbered = enumerate(lines, 1)
    columns = _read_columns(next((line for _, line in numbered), b""))
    for number, line in numbered:
        if not line.strip():
            continue
        try:
            fields = _split(line)
            if len(fields) != len(columns):
                raise _BadError(f"it has {len(fields)} fields, the first line {len(columns)}")
            row = dict(zip(columns, fields, strict=True))
            yield Outgoing(number) if _OUTGOING.fullmatch(row["amount"]) else (number, _read_transfer(row, today))
        except _BadError as problem:
            yield BadLine(number, str(problem))


def read_transfer(row: Mapping[str, str], *, today: date) -> Transfer:
    """Parse one transfer from texts by column name. Raise StatementRefused."""
    try:
        return _read_transfer(row, today)
    except _BadError as problem:
        raise StatementRefused(f"The transfer cannot be accepted: {problem}.") from None


def _read_columns(line: bytes) -> list[str]:
    try:
        columns = [name.strip().lower() for name in _split(line.removeprefix(b"\xef\xbb\xbf"))]
    except _BadError as problem:
        raise StatementRefused(f"The first line cannot be read: {problem}.") from None
    for name in COLUMNS:
        if columns.count(name) != 1:
            raise StatementRefused(f"The first line must name the columns {', '.join(COLUMNS)}, each once.")
    return columns


def _split(line: bytes) -> list[str]:
    if len(line) > LINE_LIMIT_BYTES:
        raise _BadError(f"it has more than {LINE_LIMIT_BYTES} bytes")
    try:
        text = line.decode("utf-8").rstrip("\r\n")
        return next(csv.reader([text], strict=True), [])
    except UnicodeDecodeError:
        raise _BadError("it is not UTF-8") from None
    except csv.Error:
        raise _BadError("its quotes do not match") from None


def _read_transfer(row: Mapping[str, str], today: date) -> Transfer:
    if _TRANSACTION.fullmatch(row["transaction_id"]) is None:
        raise _BadError("transaction_id must have 1 to 100 printable ASCII characters without spaces")
    if clean(row["transaction_id"]) != row["transaction_id"]:
        raise _BadError(
            "transaction_id looks like a card number, which is never stored: put letters between its digits"
        )
    text = "".join(one if one.isprintable() else " " for one in row["reference"])
    if len(text) > REFERENCE_LIMIT_CHARACTERS:
        raise _BadError(f"reference has more than {REFERENCE_LIMIT_CHARACTERS} characters")
    return Transfer(
        transaction_id=row["transaction_id"],
        amount=_read_amount(row["amount"], row["currency"]),
        booked_on=_read_date(row["booking_date"], today),
        text=clean(text),
    )


def _read_amount(text: str, code: str) -> Money:
    try:
        amount = parse(text, currency(code.lower()))
    except UnknownCurrency:
        raise _BadError("currency must be an ISO 4217 code such as EUR") from None
    except MoneyError:
        raise _BadError("amount must be a plain decimal such as 19.90, with at most the currency's decimals") from None
    if amount.minor == 0:
        raise _BadError("amount must be more than 0")
    return amount


def _read_date(text: str, today: date) -> date:
    try:
        booked_on = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        booked_on = None
    if booked_on is None:
        raise _BadError("booking_date must be a day such as 2026-12-25")
    if not _FIRST_DAY <= booked_on <= today + _AHEAD_MAX:
        raise _BadError("booking_date must lie between 2000-01-01 and tomorrow")
    return booked_on
