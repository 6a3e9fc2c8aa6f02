"""Filters of the templates: amounts, times, names and masks."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from payment_service_events.currency import CURRENCIES

# Characters of a personal value that stay readable, so that two values can be told apart.
_SHOWN: Final = 2
_MASK: Final = "•••"


def money(amount: str, currency: str) -> str:
    """Format `1234.50` of `eur` as `1,234.50 EUR`."""
    return f"{Decimal(amount):,.{CURRENCIES[currency].decimals}f} {currency.upper()}"


def moment(at: datetime) -> str:
    """Format a time in UTC to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def iso(at: datetime) -> str:
    """Format a time for machines."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def words(name: str) -> str:
    """Turn `requires_action` into `requires action`."""
    return name.replace("_", " ")


def masked(value: str) -> str:
    """Mask a personal value except for its first characters."""
    return value[:_SHOWN] + _MASK if value else ""


def count(number: int, noun: str) -> str:
    """Return `1 item` or `2 items`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
