"""Format and parse amounts with integer arithmetic only."""

from __future__ import annotations

import re

from stripe_sandbox.errors import ApiError, invalid

# Decimals of Stripe's smallest unit where there are not two: https://docs.stripe.com/currencies
_NO_DECIMALS = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_THREE_DECIMALS = "bhd jod kwd omr tnd"
DECIMALS = dict.fromkeys(_NO_DECIMALS.split(), 0) | dict.fromkeys(_THREE_DECIMALS.split(), 3)

_AMOUNT = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,3}))?")


def formatted(amount: int, currency: str) -> str:
    """Format `1234567` of `eur` as `12,345.67 EUR`."""
    decimals = DECIMALS.get(currency, 2)
    whole, rest = divmod(abs(amount), 10**decimals)
    fraction = f".{rest:0{decimals}d}" if decimals else ""
    return f"{'-' if amount < 0 else ''}{whole:,}{fraction} {currency.upper()}"


def plain(amount: int, currency: str) -> str:
    """Format without separators and currency, as `parse` accepts it."""
    return formatted(amount, currency).rpartition(" ")[0].replace(",", "")


def parse(text: str, currency: str) -> int:
    """Parse `12.34` into minor units. Raises `ApiError` 400 if it is not an amount in this currency."""
    decimals = DECIMALS.get(currency, 2)
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or len(match[2] or "") > decimals:
        raise invalid_amount(currency)
    return int(match[1] + (match[2] or "").ljust(decimals, "0"))


def invalid_amount(currency: str) -> ApiError:
    return invalid(f"Enter the amount as {plain(1234, currency)}, in {currency.upper()}.", "amount")
