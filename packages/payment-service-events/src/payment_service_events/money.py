"""Money: an integer of minor units with its currency. Nothing here rounds, and nothing here is a float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from payment_service_events.currency import Currency

# Stripe takes card amounts of up to 12 digits (https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts), and
# 12 digits times 100 still fit a bigint and a JSON number that every reader holds exactly.
AMOUNT_MINOR_MAX: Final = 999_999_999_999


class MoneyError(ValueError):
    """Something is not an amount of money. The message is one sentence that says what to do."""


class AmountOutOfRangeError(MoneyError):
    """The amount is negative, or more than is allowed."""


@dataclass(frozen=True)
class Money:
    """`minor`: minor units of the currency (cents for eur, whole yen for jpy), 0 to `AMOUNT_MINOR_MAX`.

    Raises `MoneyError` for anything else, a float or a bool included.
    """

    minor: int
    currency: Currency

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            message = f"Money is made of whole minor units, not of a {type(self.minor).__name__}."
            raise MoneyError(message)
        if not 0 <= self.minor <= AMOUNT_MINOR_MAX:
            message = f"An amount has 0 to {AMOUNT_MINOR_MAX} minor units; this one is outside."
            raise AmountOutOfRangeError(message)

    @property
    def decimal_text(self) -> str:
        """The amount with exactly the currency's decimals: `19.90`, `500`, `1.234`."""
        decimals = self.currency.decimals
        if decimals == 0:
            return str(self.minor)
        digits = str(self.minor).zfill(decimals + 1)
        return f"{digits[:-decimals]}.{digits[-decimals:]}"

    def __str__(self) -> str:
        return f"{self.decimal_text} {self.currency.code}"
