"""The configuration, read once from the environment into one frozen object. Invalid or unknown variables stop the
start.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from payment_service.config.egress import proxy_for, require_authorities
from payment_service.config.pages import PagesSettings
from payment_service.config.sections import ConfigError, DatabaseSettings, KafkaSettings, RoleSettings, Settings, about
from payment_service_events.currency import UnknownCurrency, currency

__all__ = [
    "ROLES",
    "Config",
    "ConfigError",
    "DatabaseSettings",
    "Duration",
    "KafkaSettings",
    "RoleSettings",
    "Settings",
    "about",
]

ROLES: Final = ("intake", "dispatch", "relay", "http", "reconcile", "pages")

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

_PROVIDER: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


def _read_duration(value: object) -> object:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", value) if isinstance(value, str) else None
    return timedelta(**{_UNITS[match[2] or "s"]: int(match[1])}) if match else value


Secrets = SecretStr | tuple[SecretStr, ...]
Duration = Annotated[timedelta, BeforeValidator(_read_duration)]


class Config(DatabaseSettings, KafkaSettings, PagesSettings):
    """All settings. The environment variable is the field's name in capitals."""

    providers: Annotated[tuple[str, ...], NoDecode] = Field(
        ("stripe",),
        description="Enabled payment providers, comma-separated. The first is the default for new orders.",
        json_schema_extra=about(
            "To accept bank transfers or to add your own provider. Keep a provider while it has open payments: its calls wait otherwise."
        ),
    )
    provider_by_currency: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Default provider by currency, comma-separated: `sek:acme`.",
        json_schema_extra=about("To use another provider for a currency. Existing payments keep their provider."),
    )
    stripe_secret_key: SecretStr = Field(
        SecretStr(""),
        validate_default=True,
        description="Stripe's secret or restricted key (sk_… or rk_…).",
        json_schema_extra=about(
            "When you rotate the key; restart afterwards. A wrong key fails no order.", needed_by="stripe"
        ),
    )
    stripe_webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        validate_default=True,
        description="Webhook signing secrets, comma-separated during a rotation.",
        json_schema_extra=about(
            "During a rotation, set both secrets. Remove the old one after Stripe has dropped it.", needed_by="stripe"
        ),
    )
    stripe_publishable_key: str = Field(
        "",
        description="Stripe's publishable key (pk_…), for the shop's page.",
        json_schema_extra=about("When customers pay on your own page. Its mode must match the secret key's."),
    )
    stripe_api_base: str = Field(
        "https://api.stripe.com",
        description="URL of Stripe's API, or of the sandbox in development. HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE apply to it.",
        json_schema_extra=about("To use the sandbox, or a proxy to Stripe. A live key requires https."),
    )
    stripe_payment_methods: Annotated[tuple[str, ...], NoDecode] = Field(
        ("card",),
        description="Payment method types to offer, comma-separated.",
        json_schema_extra=about(
            "To offer more payment methods. Enable each in Stripe's dashboard. Existing payments keep theirs."
        ),
    )
    service_port: int = Field(
        8082,
        ge=0,
        le=65_535,
        description="Port of webhooks and the API.",
        json_schema_extra=about("When the port is in use. 0 selects a free port, for tests."),
    )
    service_host: str = Field(
        "0.0.0.0",  # noqa: S104 - a container's only address
        description="Address that SERVICE_PORT listens on, and METRICS_PORT too without METRICS_HOST.",
        json_schema_extra=about("Set 127.0.0.1 if only a proxy on the same machine may connect."),
    )
    metrics_host: str = Field(
        "",
        description="Address that METRICS_PORT listens on. Default: SERVICE_HOST.",
        json_schema_extra=about("Set the address of the internal network: this port needs no key."),
    )
    metrics_port: int = Field(
        9464,
        ge=0,
        le=65_535,
        description="Port of metrics and API documentation.",
        json_schema_extra=about("When the port is in use. It needs no key: keep it on the internal network."),
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of trusted proxies, comma-separated. X-Forwarded-For is used from these only.",
        json_schema_extra=about(
            "When the service runs behind a proxy. Otherwise audit rows and rate limits use the proxy's address."
        ),
    )
    deployment: str = Field(
        "default",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
        description="Name of this installation; part of every generated id.",
        json_schema_extra=about(
            "Before the first order, and never after: ids and keys at the provider derive from it. Installations that share a Stripe account need different names."
        ),
    )
    provider_rate_per_second: float = Field(
        20,
        gt=0,
        le=100_000,
        description="Calls per second to the provider, for all replicas together (Stripe allows 25).",
        json_schema_extra=about(
            "When calls wait (`payments_oldest_unfinished_operation_seconds`) and Stripe allows the account more. Stripe refuses calls above its limit."
        ),
    )
    provider_concurrency: int = Field(
        16,
        ge=1,
        le=512,
        description="Concurrent calls to the provider, per process.",
        json_schema_extra=about(
            "When the rate limit is not reached. A process needs about its rate times the seconds per call."
        ),
    )
    provider_timeout_s: float = Field(
        10,
        gt=0,
        le=60,
        description="Timeout of a call to the provider in seconds; its outcome is unknown after that.",
        json_schema_extra=about(
            "Rarely. Lower values turn more calls into unknown outcomes, which must be read again."
        ),
    )
    order_max_age: Duration = Field(
        timedelta(days=7),
        ge=timedelta(minutes=1),
        description="Quarantine order records that are older than this and have no payment: 7d, 12h, 90m or seconds.",
        json_schema_extra=about("Raise it before you start the service after a long outage."),
    )
    capture_method: str = Field(
        "automatic",
        pattern="^(automatic|manual)$",
        description="Default for orders: automatic captures at once, manual authorizes and waits for a capture.",
        json_schema_extra=about(
            "When you charge at shipping. A card authorization ends after 5 to 7 days: a payment shows when."
        ),
    )
    payment_expires_after: Duration = Field(
        timedelta(hours=24),
        ge=timedelta(),
        description="Cancel unpaid payments after this time: 24h, 30m, 7d or seconds; 0: never. An order's `expires_at` takes precedence.",
        json_schema_extra=about("The time that customers have to pay, and for which you reserve stock."),
    )
    reconcile_interval: Duration = Field(
        timedelta(hours=1),
        ge=timedelta(),
        description="Time between two reconciliations of the last 24 h, once a day of the last 8 days: 1h, 30m; 0: never.",
        json_schema_extra=about(
            "To compare more often, or not at all. A reconciliation uses calls that nothing else needs."
        ),
    )
    orders_cancelled_refund: bool = Field(
        default=False,
        description="Refund paid orders when they are canceled. If false, the cancellation is too late.",
        json_schema_extra=about("To refund canceled orders without an operator."),
    )
    max_amount_minor: int = Field(
        999_999_999_999,
        ge=1,
        le=999_999_999_999,
        description="Largest order accepted, in minor units.",
        json_schema_extra=about("Lower it to your largest realistic order. Larger orders go to quarantine."),
    )
    allow_card_like_ids: bool = Field(
        default=False,
        description="Accept values of `order_id`, `user_id`, `product_id` and `id` that look like card numbers.",
        json_schema_extra=about(
            "If the store's ids are numbers of 13 to 19 digits: about 2 % of them pass for card numbers and go to quarantine."
        ),
    )
    webhook_body_limit_bytes: int = Field(
        262_144,
        ge=16_384,
        le=4_194_304,
        description="Largest webhook body in bytes.",
        json_schema_extra=about("When `payments_webhooks_refused_total` counts `too_large`. nginx has its own limit."),
    )
    shutdown_grace_s: float = Field(
        20,
        ge=1,
        le=600,
        description="Seconds to finish running work after SIGTERM.",
        json_schema_extra=about("Keep it below your platform's kill timeout (`docker stop --time 30`)."),
    )
    log_level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="Minimum log level.",
        json_schema_extra=about("Set `debug` to investigate a fault."),
    )

    @field_validator(
        "providers",
        "provider_by_currency",
        "stripe_webhook_secret",
        "stripe_payment_methods",
        "trusted_proxies",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if not (parts := tuple(part.strip() for part in value.split(",") if part.strip())):
            raise ValueError("must contain a value between its commas")
        return parts

    @field_validator("providers")
    @classmethod
    def _require_providers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value) or not all(_PROVIDER.fullmatch(name) for name in value):
            raise ValueError("must be names of payment providers such as stripe, each once, comma-separated")
        return value

    @field_validator("provider_by_currency")
    @classmethod
    def _require_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        codes = [rule.partition(":")[0].strip().lower() for rule in value]
        if len(set(codes)) < len(codes) or not all(_is_rule(rule) for rule in value):
            raise ValueError("must be currency:provider such as sek:acme, each currency once, comma-separated")
        return value

    @field_validator("stripe_secret_key")
    @classmethod
    def _require_key(cls, value: SecretStr) -> SecretStr:
        if value and not re.fullmatch(r"(sk|rk)_\S+", value.get_secret_value()):
            raise ValueError("must begin with sk_ or rk_ (put the publishable key, pk_…, into STRIPE_PUBLISHABLE_KEY)")
        return value

    @field_validator("stripe_publishable_key")
    @classmethod
    def _require_publishable(cls, value: str) -> str:
        # Every customer receives this value.
        if value and not re.fullmatch(r"pk_[!-~]+", value):
            raise ValueError("must begin with pk_")
        return value

    @field_validator("stripe_api_base")
    @classmethod
    def _require_url(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/]+/?", value):
            raise ValueError("must be https://host, without a path")
        return value

    @field_validator("stripe_webhook_secret")
    @classmethod
    def _require_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        # An empty secret would verify a signature made with an empty key, which anyone can forge.
        if any(len(secret.get_secret_value()) < 8 for secret in value):  # noqa: PLR2004 - said in the message
            raise ValueError("must be secrets of 8 characters or more")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _require_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            open_to_all = any(ipaddress.ip_network(proxy).prefixlen == 0 for proxy in value)
        except ValueError:
            raise ValueError(
                "must be addresses or networks, such as 10.0.0.7 or 10.0.1.0/24, comma-separated"
            ) from None
        if open_to_all:
            raise ValueError("would let every client choose its address: list only the proxies")
        return value

    @field_validator("stripe_payment_methods")
    @classmethod
    def _require_methods(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(method.isascii() and method.replace("_", "").isalnum() for method in value):
            raise ValueError("must be payment method types such as card, comma-separated")
        return value

    @property
    def providers_by_currency(self) -> dict[str, str]:
        """Return the default provider by currency, in lower case."""
        rules = (rule.partition(":") for rule in self.provider_by_currency)
        return {code.strip().lower(): name.strip() for code, _, name in rules}

    @property
    def metrics_address(self) -> str:
        """Return the address that METRICS_PORT listens on."""
        return self.metrics_host or self.service_host

    def of_worker(self, n: int) -> Self:
        """Return the configuration of a worker, from 0: all share SERVICE_PORT, and each shows its own metrics."""
        return self.model_copy(update={"metrics_port": self.metrics_port + n}) if self.metrics_port else self

    @property
    def stripe_livemode(self) -> bool:
        """Return True if the secret key is of live mode."""
        return "_live_" in self.stripe_secret_key.get_secret_value()

    @field_validator("stripe_secret_key", "stripe_webhook_secret")
    @classmethod
    def _require_stripe(cls, value: Secrets, info: ValidationInfo) -> Secrets:
        # `providers` is validated before. It is absent here if it is invalid itself.
        if not value and "stripe" in info.data.get("providers", ()):
            raise PydanticCustomError("missing", "is missing")
        return value

    @model_validator(mode="after")
    def _require_known_providers(self) -> Self:
        if unknown := sorted(set(self.providers_by_currency.values()) - set(self.providers)):
            raise ValueError(
                f"PROVIDER_BY_CURRENCY contains {unknown[0]}, which is not in PROVIDERS: add it there or remove it"
            )
        return self

    @model_validator(mode="after")
    def _require_one_mode_and_https(self) -> Self:
        if self.stripe_publishable_key and self.stripe_livemode != ("_live_" in self.stripe_publishable_key):
            raise ValueError(
                "STRIPE_PUBLISHABLE_KEY and STRIPE_SECRET_KEY differ in mode: use two live or two test keys"
            )
        if self.stripe_livemode and not self.stripe_api_base.startswith("https://"):
            raise ValueError("STRIPE_API_BASE must be https with a live key")
        return self

    @model_validator(mode="after")
    def _require_way_to_stripe(self) -> Self:
        if "stripe" in self.providers:
            proxy_for(self.stripe_api_base)
            require_authorities()
        return self


def _is_rule(rule: str) -> bool:
    code, _, provider = rule.partition(":")
    try:
        currency(code.strip().lower())
    except UnknownCurrency:
        return False
    return _PROVIDER.fullmatch(provider.strip()) is not None
