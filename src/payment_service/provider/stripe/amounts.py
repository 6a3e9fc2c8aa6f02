"""Convert amounts to Stripe's units (https://docs.stripe.com/currencies#zero-decimal). Conversions are exact or
refused, never rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service_events.money import Money, MoneyError

if TYPE_CHECKING:
    from payment_service_events.currency import Currency

# No decimals in the store, but two at Stripe: 5 ISK are sent as 500 (currencies page, "Special cases").
_SENT_TIMES_100: Final = frozenset({"isk", "ugx"})
# Stripe accepts three-decimal amounts only in steps of ten minor units: 5.120 KWD is 5120, 5.124 is refused.
_THREE_DECIMALS: Final = 3
_THREE_DECIMALS_STEP: Final = 10


class AmountNotRepresentable(MoneyError):
    """The amount has no integer representation in the other unit. The message says which amounts have."""


def to_stripe(money: Money) -> int:
    """Return the integer for Stripe's `amount`. Raise `AmountNotRepresentable`."""
    currency = money.currency
    if currency.decimals == _THREE_DECIMALS and money.minor % _THREE_DECIMALS_STEP:
        message = (
            f"Stripe charges {currency.code} only in amounts whose third decimal is 0: change {money.decimal_text}."
        )
        raise AmountNotRepresentable(message)
    return money.minor * _factor(currency)


def from_stripe(amount: int, currency: Currency) -> Money:
    """Convert Stripe's integer to money. Raise `AmountNotRepresentable`, or `MoneyError` for an invalid amount."""
    if type(amount) is not int:
        message = f"Stripe's amounts are integers, not a {type(amount).__name__}."
        raise MoneyError(message)
    minor, rest = divmod(amount, _factor(currency))
    if rest:
        message = f"Stripe counts {currency.code} in hundredths: {amount} hundredths are not a whole {currency.code}."
        raise AmountNotRepresentable(message)
    return Money(minor, currency)


def _factor(currency: Currency) -> int:
    return 100 if currency.code in _SENT_TIMES_100 else 1
