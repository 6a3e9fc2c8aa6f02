"""What commands need of the environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import NoDecode

from payment_service.config.config import Config, ConfigError


class CommandSettings(Config):
    """What a command needs that asks for a change: the database. It words requests and leaves the sending to the service.

    What stands here in the place of secrets and addresses is never sent anywhere; where one is needed, `require_stripe_key`.
    """

    kafka_brokers: str = Field("unset:9", description=Config.model_fields["kafka_brokers"].description)
    stripe_secret_key: SecretStr = Field(
        SecretStr("sk_unset"), description=Config.model_fields["stripe_secret_key"].description
    )
    stripe_webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (SecretStr("whsec_unset"),), description=Config.model_fields["stripe_webhook_secret"].description
    )

    def require_stripe_key(self, reason: str) -> None:
        """Raise ConfigError where no key for Stripe is set. `why`: a clause that says what it is needed for."""
        if "stripe_secret_key" not in self.model_fields_set:
            raise ConfigError(f"STRIPE_SECRET_KEY is not set: {reason}.")
