"""Read an amount of money from the decimal text that the store writes."""

from __future__ import annotations

import re
from typing import Final

from payment_service_events.currency import Currency
from payment_service_events.money import AMOUNT_MINOR_MAX, AmountOutOfRangeError, Money, MoneyError

# The longest text is 12 digits, a point and three decimals. ASCII digits only: `[0-9]`, never `\d`.
_DECIMAL_TEXT: Final = {
    0: re.compile(r"(0|[1-9][0-9]{0,11})"),
    2: re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,2}))?"),
    3: re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,3}))?"),
}


class AmountNotDecimalError(MoneyError):
    """The text is not a plain decimal with at most the currency's decimals."""


def parse(text: str, currency: Currency, *, minor_max: int = AMOUNT_MINOR_MAX) -> Money:
    """Read `19.90`, `19.9` or `19`, never `1,000`, `+1`, `1e3` or ` 1`.

    `minor_max` lowers the largest amount, in minor units. Raise `AmountNotDecimalError`, `AmountOutOfRangeError`.
    """
    match = _DECIMAL_TEXT[currency.decimals].fullmatch(text)
    if match is None:
        message = (
            f"Use a plain decimal without a sign and with at most {currency.decimals} decimals, as {currency.code} has."
        )
        raise AmountNotDecimalError(message)
    whole, fraction = match[1], match[2] if currency.decimals else None
    minor = int(whole + (fraction or "").ljust(currency.decimals, "0"))
    largest = min(minor_max, AMOUNT_MINOR_MAX)
    if minor > largest:
        message = f"The largest amount allowed is {Money(largest, currency)}."
        raise AmountOutOfRangeError(message)
    return Money(minor, currency)
