"""Amounts as Stripe counts them (https://docs.stripe.com/currencies#zero-decimal): exact, or refused; never rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service_events.money import Money, MoneyError

if TYPE_CHECKING:
    from payment_service_events.currency import Currency

# Without decimals for the store, with two at Stripe: 5 ISK are sent as 500 (currencies page, "Special cases").
_SENT_TIMES_100: Final = frozenset({"isk", "ugx"})
# Stripe takes three-decimal amounts only in steps of ten minor units: 5.120 KWD is 5120, 5.124 is not accepted.
_THREE_DECIMALS: Final = 3
_THREE_DECIMALS_STEP: Final = 10


class AmountNotRepresentable(MoneyError):
    """The amount is no whole number on the other side. The message says which amounts are."""


def to_stripe(money: Money) -> int:
    """The integer to send as Stripe's `amount`. Raises `AmountNotRepresentable`."""
    currency = money.currency
    if currency.decimals == _THREE_DECIMALS and money.minor % _THREE_DECIMALS_STEP:
        message = f"Stripe charges {currency.code} only in amounts whose third decimal is 0, and {money.decimal_text} has another."
        raise AmountNotRepresentable(message)
    return money.minor * _factor(currency)


def from_stripe(amount: int, currency: Currency) -> Money:
    """What Stripe's integer is in our units. Raises `AmountNotRepresentable`, or `MoneyError` for what is no amount at all."""
    if type(amount) is not int:
        message = f"Stripe's amounts are integers, and this is a {type(amount).__name__}."
        raise MoneyError(message)
    minor, rest = divmod(amount, _factor(currency))
    if rest:
        message = f"Stripe counts {currency.code} in hundredths, and {amount} hundredths are no whole {currency.code}."
        raise AmountNotRepresentable(message)
    return Money(minor, currency)


def _factor(currency: Currency) -> int:
    return 100 if currency.code in _SENT_TIMES_100 else 1
