"""Settings of commands."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import NoDecode

from payment_service.config.config import Config, ConfigError


class CommandSettings(Config):
    """Settings of a command that requests a change. It needs the database; the service makes the calls.

    Placeholders replace secrets and addresses; they are never sent. A command that needs Stripe's key calls
    `require_stripe_key`.
    """

    kafka_brokers: str = Field("unset:9", description=Config.model_fields["kafka_brokers"].description)
    stripe_secret_key: SecretStr = Field(
        SecretStr("sk_unset"), description=Config.model_fields["stripe_secret_key"].description
    )
    stripe_webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (SecretStr("whsec_unset"),), description=Config.model_fields["stripe_webhook_secret"].description
    )

    def require_stripe_key(self, reason: str) -> None:
        """Raise ConfigError if STRIPE_SECRET_KEY is not set. `reason` is a clause that says why it is needed."""
        if "stripe_secret_key" not in self.model_fields_set:
            raise ConfigError(f"STRIPE_SECRET_KEY is not set: {reason}.")
