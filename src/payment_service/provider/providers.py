"""The providers that run, by name, and which of them takes an order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from payment_service.provider.port import ImmediateCapture, PaymentExpiry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from payment_service.provider.port import Provider


class UnknownProvider(LookupError):
    """No provider of this name runs. The message says which do."""


@dataclass(frozen=True, slots=True)
class Providers:
    """`by_name`: at least one, the first takes what no rule sends elsewhere. `by_currency`: lower-case code to name."""

    by_name: Mapping[str, Provider]
    by_currency: Mapping[str, str] = field(default_factory=dict)

    def named(self, name: str) -> Provider:
        """Give the provider of a payment. Raises UnknownProvider."""
        if (found := self.by_name.get(name)) is None:
            message = f"No such payment provider runs; these do: {', '.join(self.by_name)}."
            raise UnknownProvider(message)
        return found

    def for_order(self, wanted: str | None, currency_code: str) -> Provider:
        """Give the provider that an order names, else its currency's, else the first. Raises UnknownProvider."""
        return self.named(wanted or self.by_currency.get(currency_code) or next(iter(self.by_name)))

    def expires_after(self, name: str, usual: timedelta) -> timedelta:
        """How long a provider's payments may stay unpaid where their orders don't say; 0: for ever."""
        found = self.by_name.get(name)
        return found.expires_after if isinstance(found, PaymentExpiry) else usual

    def supports_manual_capture(self, name: str) -> bool:
        """Whether a provider can hold money, to be captured later."""
        found = self.by_name.get(name)
        return not found.captures_at_once if isinstance(found, ImmediateCapture) else True

    async def close(self) -> None:
        """Close their connections."""
        for provider in self.by_name.values():
            await provider.close()
