"""Bank statements in CSV are parsed strictly, line by line."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.bank_transfer.statement import (
    BadLine,
    Outgoing,
    StatementRefused,
    Transfer,
    read_statement,
)
from payment_service_events.currency import CURRENCIES
from payment_service_events.money import Money

TODAY = date(2026, 12, 25)
HEADER = b"booking_date,amount,currency,reference,transaction_id\n"
GOOD = b"2026-12-24,19.90,EUR,RF38 thanks,t-1\n"


def read(*lines: bytes, header: bytes = HEADER) -> list[tuple[int, Transfer] | BadLine | Outgoing]:
    return list(read_statement([header, *lines], today=TODAY))


def test_a_valid_line_becomes_a_transfer() -> None:
    assert read(GOOD) == [
        (
            2,
            Transfer(
                transaction_id="t-1",
                amount=Money(1990, CURRENCIES["eur"]),
                booked_on=date(2026, 12, 24),
                text="RF38 thanks",
            ),
        )
    ]


def test_columns_are_found_by_name_despite_bom_quotes_and_crlf() -> None:
    header = b"\xef\xbb\xbfvalue_date,Transaction_ID,reference,currency,amount,booking_date\r\n"
    line = b'2026-12-23,t-1,"Bill, with ""quotes""",eur,5,2026-12-24\r\n'
    [(number, transfer)] = read(line, b"\r\n", header=header)  # type: ignore[misc]
    assert (number, transfer.text, transfer.amount.minor) == (2, 'Bill, with "quotes"', 500)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"2026-12-24,19.90,EUR,text\n", "fields"),
        (b"2026-12-24,19.90,EUR,text,t-1,more\n", "fields"),
        (b'2026-12-24,19.90,EUR,"text,t-1\n', "quotes"),
        (b"2026-12-24,19.90,EUR,\xff,t-1\n", "UTF-8"),
        (b"2026-12-24,19.90,EUR," + b"x" * 20_000 + b",t-1\n", "bytes"),
        (b"2026-12-24,19.90,EUR," + b"x" * 1_001 + b",t-1\n", "reference"),
        (b"2026-12-24,19.90,EUR,text,\n", "transaction_id"),
        (b"2026-12-24,19.90,EUR,text,t 1\n", "transaction_id"),
        (b"2026-12-24,19.90,ZZZ,text,t-1\n", "currency"),
        (b'2026-12-24,"19,90",EUR,text,t-1\n', "amount"),
        (b"2026-12-24,19.905,EUR,text,t-1\n", "amount"),
        (b"2026-12-24,1e3,EUR,text,t-1\n", "amount"),
        (b"2026-12-24,+19.90,EUR,text,t-1\n", "amount"),
        (b"2026-12-24,NaN,EUR,text,t-1\n", "amount"),
        (b"2026-12-24,0.00,EUR,text,t-1\n", "more than 0"),
        (b"2026-12-24,9999999999999,EUR,text,t-1\n", "amount"),
        (b"24.12.2026,19.90,EUR,text,t-1\n", "booking_date"),
        (b"20261224,19.90,EUR,text,t-1\n", "booking_date"),
        (b"2026-02-30,19.90,EUR,text,t-1\n", "booking_date"),
        (b"2026-12-27,19.90,EUR,text,t-1\n", "tomorrow"),
        (b"1999-12-31,19.90,EUR,text,t-1\n", "2000-01-01"),
    ],
)
def test_a_bad_line_is_reported_by_number_and_the_rest_is_read(line: bytes, problem: str) -> None:
    before, bad, after = read(GOOD, line, GOOD)
    assert isinstance(bad, BadLine)
    assert bad.number == 3
    assert problem in bad.problem
    assert isinstance(before, tuple)
    assert after == (4, before[1])


def test_outgoing_money_is_skipped() -> None:
    assert read(b"2026-12-24,-19.90,EUR,rent,t-9\n") == [Outgoing(2)]


@pytest.mark.parametrize("header", [b"", b"\n", b"a,b\n", HEADER[:-1] + b",amount\n", b"\xff\xfe\n", b'"\n'])
def test_a_file_without_the_columns_is_rejected_as_a_whole(header: bytes) -> None:
    with pytest.raises(StatementRefused):
        read(GOOD, header=header)


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_every_line_of_any_file_is_read_or_reported(lines: list[bytes]) -> None:
    for found in read(*lines):
        match found:
            case (int(), Transfer(amount=amount)):
                assert amount.minor > 0
            case BadLine(problem=problem):
                assert problem
            case Outgoing():
                pass


def test_control_characters_in_the_reference_become_spaces() -> None:
    [(_, transfer)] = read(b"2026-12-24,1,EUR,a\x00b\x1b[0m,t-1\n")  # type: ignore[misc]
    assert transfer.text == "a b [0m"
