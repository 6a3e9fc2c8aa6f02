"""Verify, parse and translate Stripe's webhooks with this deployment's secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from payment_service.provider.stripe import signatures, webhooks
from payment_service.provider.stripe.unknown_values import report_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payment_service.config.config import Config
    from payment_service.provider.port import ProviderEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeDeliveries:
    """The webhook settings. `secrets`: accepted signing secrets; `livemode`: whether our events are of real money."""

    secrets: Sequence[str]
    deployment: str
    livemode: bool
    installation: str = ""

    @classmethod
    def of(cls, config: Config, *, installation: str = "") -> Self:
        """Read the settings from the configuration."""
        secrets = [secret.get_secret_value() for secret in config.stripe_webhook_secret]
        return cls(
            secrets=secrets,
            deployment=config.deployment,
            livemode=config.stripe_livemode,
            installation=installation,
        )

    def verify(self, body: bytes, headers: Mapping[str, str], *, now_s: int) -> str:
        """Verify the signature and return the name of its secret. Raise SignatureRefused."""
        return signatures.verify(body, headers.get("stripe-signature"), self.secrets, now_s=now_s)

    def parse(self, body: bytes) -> dict[str, Any]:
        """Parse a body, and count it if another API version rendered it. Raise BodyRefused."""
        event = webhooks.parse(body)
        report_version(event.get("api_version"))
        return event

    def translate(self, event: dict[str, Any]) -> ProviderEvent:
        """Translate an event for this deployment."""
        return webhooks.translate(
            event, deployment=self.deployment, livemode=self.livemode, installation=self.installation
        )
