"""The running providers by name, and the choice of a provider for an order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from payment_service.provider.port import ImmediateCapture, PaymentExpiry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from payment_service.provider.port import Provider


class UnknownProvider(LookupError):
    """No provider of this name runs. The message names those that do."""


@dataclass(frozen=True, slots=True)
class Providers:
    """The running providers. The first of `by_name` is the default. `by_currency`: lower-case code to name."""

    by_name: Mapping[str, Provider]
    by_currency: Mapping[str, str] = field(default_factory=dict)

    def named(self, name: str) -> Provider:
        """Return the provider of a payment. Raise UnknownProvider."""
        if (found := self.by_name.get(name)) is None:
            message = f"No such payment provider is configured. Configured: {', '.join(self.by_name)}."
            raise UnknownProvider(message)
        return found

    def for_order(self, wanted: str | None, currency_code: str) -> Provider:
        """Return the provider that the order names, or its currency's, or the default. Raise UnknownProvider."""
        return self.named(wanted or self.by_currency.get(currency_code) or next(iter(self.by_name)))

    def expires_after(self, name: str, usual: timedelta) -> timedelta:
        """Return how long a provider's payments stay open if their orders set no expiry; 0 means never."""
        found = self.by_name.get(name)
        return found.expires_after if isinstance(found, PaymentExpiry) else usual

    def supports_manual_capture(self, name: str) -> bool:
        """Return whether a provider can authorize money and capture it later."""
        found = self.by_name.get(name)
        return not found.captures_at_once if isinstance(found, ImmediateCapture) else True

    async def close(self) -> None:
        """Close the connections of all providers."""
        for provider in self.by_name.values():
            await provider.close()
