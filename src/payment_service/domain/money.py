"""Money as an integer of minor units with its currency. Nothing here rounds or uses floats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from payment_service.domain.currency import Currency

# Stripe accepts card amounts of up to 12 digits
# (https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts). 12 digits times 100 fit a bigint, and a JSON
# number that every parser reads exactly.
AMOUNT_MINOR_MAX: Final = 999_999_999_999

# The longest text is 12 digits, a point and three decimals. ASCII digits only: `[0-9]`, never `\d`.
_DECIMAL_TEXT: Final = {
    0: re.compile(r"(0|[1-9][0-9]{0,11})"),
    2: re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,2}))?"),
    3: re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,3}))?"),
}


class MoneyError(ValueError):
    """The text or number is not a valid amount. The message is one sentence that says what to do."""


class AmountNotDecimalError(MoneyError):
    """The text is not a plain decimal with at most the currency's decimals."""


class AmountOutOfRangeError(MoneyError):
    """The amount is negative or exceeds the limit."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount. `minor`: minor units of the currency (cents for eur, whole yen for jpy), 0 to `AMOUNT_MINOR_MAX`.

    Raise `MoneyError` for anything else, including floats and bools.
    """

    minor: int
    currency: Currency

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            message = f"Money needs an integer of minor units, not a {type(self.minor).__name__}."
            raise MoneyError(message)
        if not 0 <= self.minor <= AMOUNT_MINOR_MAX:
            message = f"An amount must have 0 to {AMOUNT_MINOR_MAX} minor units."
            raise AmountOutOfRangeError(message)

    @property
    def decimal_text(self) -> str:
        """Return the amount with exactly the currency's decimals: `19.90`, `500`, `1.234`."""
        decimals = self.currency.decimals
        if decimals == 0:
            return str(self.minor)
        digits = str(self.minor).zfill(decimals + 1)
        return f"{digits[:-decimals]}.{digits[-decimals:]}"

    def __str__(self) -> str:
        return f"{self.decimal_text} {self.currency.code}"


def parse(text: str, currency: Currency, *, minor_max: int = AMOUNT_MINOR_MAX) -> Money:
    """Parse what the store writes: `19.90`, `19.9`, `19`, never `1,000`, `+1`, `1e3` or ` 1`.

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
