"""Money as an integer of minor units with its currency. Nothing here rounds or uses floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from payment_service_events.currency import Currency

# Stripe accepts card amounts of up to 12 digits
# (https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts). 12 digits times 100 fit a bigint, and a JSON
# number that every parser reads exactly.
AMOUNT_MINOR_MAX: Final = 999_999_999_999


class MoneyError(ValueError):
    """The text or number is not a valid amount. The message is one sentence that says what to do."""


class AmountOutOfRangeError(MoneyError):
    """The amount is negative or exceeds the limit."""


@dataclass(frozen=True)
class Money:
    """An amount. `minor`: minor units of the currency (cents for eur, whole yen for jpy), 0 to `AMOUNT_MINOR_MAX`.

    Raises `MoneyError` for anything else, including floats and bools.
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
