"""The environment, read once into one frozen Config. What is wrong or unknown stops the start with one clear line."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode
from stdnum import iban

from payment_service.config.sections import ConfigError, DatabaseSettings, KafkaSettings, RoleSettings, Settings, about
from payment_service_events.currency import UnknownCurrency, currency

__all__ = [
    "ROLES",
    "BankTransferSettings",
    "Config",
    "ConfigError",
    "DatabaseSettings",
    "KafkaSettings",
    "RoleSettings",
    "Settings",
]

ROLES: Final = ("intake", "dispatch", "relay", "http")

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

_PROVIDER: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


def _read_duration(value: object) -> object:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", value) if isinstance(value, str) else None
    return timedelta(**{_UNITS[match[2] or "s"]: int(match[1])}) if match else value


Duration = Annotated[timedelta, BeforeValidator(_read_duration)]


class BankTransferSettings(Settings):
    """What the provider `bank_transfer` needs."""

    bank_transfer_iban: str = Field(
        description="Account to which customers transfer, an IBAN.",
        json_schema_extra=about(
            "When customers are to transfer to another account; open payments keep their reference.",
            needed_by="bank_transfer",
        ),
    )
    bank_transfer_holder: str = Field(
        min_length=1,
        max_length=70,  # what a SEPA transfer carries of a name
        description="Holder of that account, as customers write it.",
        json_schema_extra=about("With the account.", needed_by="bank_transfer"),
    )
    bank_transfer_expires_after: Duration = Field(
        timedelta(days=14),
        ge=timedelta(),
        description="In the place of PAYMENT_EXPIRES_AFTER, since transfers take days: 14d, 36h; 0: never.",
        json_schema_extra=about("As long as stock is kept for customers who transfer; weekends and holidays count."),
    )

    @field_validator("bank_transfer_iban")
    @classmethod
    def _require_iban(cls, value: str) -> str:
        if not iban.is_valid(value):
            raise ValueError("write an IBAN whose check digits are right")
        return iban.compact(value)

    @field_validator("bank_transfer_holder")
    @classmethod
    def _require_holder(cls, value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError("write a name of printable characters")
        return value.strip()


class Config(DatabaseSettings, KafkaSettings):
    """Every setting. The environment variable is the field's name in capitals."""

    providers: Annotated[tuple[str, ...], NoDecode] = Field(
        ("stripe",),
        description="Payment providers that run, comma-separated; the first takes the orders that nothing sends elsewhere.",
        json_schema_extra=about(
            "To take bank transfers, or a provider of your own. One with open payments stays, or its calls wait."
        ),
    )
    provider_by_currency: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Providers of orders that name none, by currency, comma-separated: `sek:bank_transfer`.",
        json_schema_extra=about("When a currency is to be paid elsewhere. Payments that exist stay where they are."),
    )
    stripe_secret_key: SecretStr = Field(
        SecretStr(""),
        description="Stripe's secret or restricted key (sk_… or rk_…).",
        json_schema_extra=about("When it is rotated: then restart. A wrong one fails no order.", needed_by="stripe"),
    )
    stripe_webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Webhook signing secrets, comma-separated while one is rotated.",
        json_schema_extra=about(
            "While it is rotated, name both; drop the old one when Stripe has.", needed_by="stripe"
        ),
    )
    stripe_publishable_key: str = Field(
        "",
        description="Stripe's publishable key (pk_…), for the shop's page.",
        json_schema_extra=about("Set it where customers pay on a page of yours; it is of the secret key's mode."),
    )
    stripe_api_base: str = Field(
        "https://api.stripe.com",
        description="Stripe's address; the sandbox's for development.",
        json_schema_extra=about("For the sandbox, or a proxy towards Stripe. With a live key it must be https."),
    )
    stripe_payment_methods: Annotated[tuple[str, ...], NoDecode] = Field(
        ("card",),
        description="Payment method types offered, comma-separated.",
        json_schema_extra=about(
            "To offer more ways to pay; each must be switched on in Stripe's dashboard. Payments that exist keep theirs."
        ),
    )
    service_port: int = Field(
        8082,
        ge=0,
        le=65_535,
        description="Port of webhooks and the API.",
        json_schema_extra=about("Where the port is taken. 0: any that is free, for tests."),
    )
    service_host: str = Field(
        "0.0.0.0",  # noqa: S104 - a container's only address
        description="Address that both ports listen on.",
        json_schema_extra=about("127.0.0.1, where only a proxy on the same machine may reach it."),
    )
    metrics_port: int = Field(
        9464,
        ge=0,
        le=65_535,
        description="Port of metrics and API documentation.",
        json_schema_extra=about("Where the port is taken. It asks for no key: keep it inside."),
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of proxies whose X-Forwarded-For names the client, comma-separated; nobody else's does.",
        json_schema_extra=about(
            "Behind a proxy: without it, audit rows and limits show and count the proxy's address."
        ),
    )
    deployment: str = Field(
        "default",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
        description="Name of this installation; part of every id that is made.",
        json_schema_extra=about(
            "Before the first order, and never after: ids and keys at the provider are made of it. Each installation that shares an account at Stripe needs its own."
        ),
    )
    provider_rate_per_second: float = Field(
        20,
        gt=0,
        le=100_000,
        description="Calls a second to the provider, all replicas together (Stripe allows 25).",
        json_schema_extra=about(
            "When calls wait (`payments_oldest_due_operation_seconds`) and Stripe allows the account more. Above its limit, Stripe refuses."
        ),
    )
    provider_concurrency: int = Field(
        16,
        ge=1,
        le=512,
        description="Calls to the provider at once, per process.",
        json_schema_extra=about(
            "When the rate is not reached: about the rate times the seconds that a call takes, in each process."
        ),
    )
    provider_timeout_s: float = Field(
        10,
        gt=0,
        le=60,
        description="After this time a call's outcome is unknown (s).",
        json_schema_extra=about("Hardly ever. Shorter, and more outcomes are unknown and must be read again."),
    )
    order_max_age: Duration = Field(
        timedelta(days=7),
        ge=timedelta(minutes=1),
        description="An order record older than this and without a payment is quarantined: 7d, 12h, 90m or seconds.",
        json_schema_extra=about("Raise it before the service starts again after a longer standstill."),
    )
    capture_method: str = Field(
        "automatic",
        pattern="^(automatic|manual)$",
        description="Of orders that say nothing: automatic takes the money at once, manual only holds it until it is captured.",
        json_schema_extra=about("When you charge at shipping. Stripe keeps a card's hold for about seven days."),
    )
    payment_expires_after: Duration = Field(
        timedelta(hours=24),
        ge=timedelta(),
        description="A payment that is unpaid for so long is canceled: 24h, 30m, 7d or seconds; 0: never. An order's `expires_at` goes first.",
        json_schema_extra=about("As long as a customer may take to pay, and stock is kept for them."),
    )
    orders_cancelled_refund: bool = Field(
        default=False,
        description="Whether a cancelled order that is paid is refunded; else it was too late.",
        json_schema_extra=about("When a cancellation of a paid order is to give the money back without a person."),
    )
    max_amount_minor: int = Field(
        999_999_999_999,
        ge=1,
        le=999_999_999_999,
        description="Largest order accepted, in minor units.",
        json_schema_extra=about(
            "Lower it to your dearest basket: what is above can only be a mistake, and goes to quarantine."
        ),
    )
    webhook_body_limit_bytes: int = Field(
        262_144,
        ge=16_384,
        le=4_194_304,
        description="Largest webhook body read (bytes).",
        json_schema_extra=about(
            "When `payments_webhooks_refused_total` counts `too_large`; nginx has a limit of its own."
        ),
    )
    shutdown_grace_s: float = Field(
        20,
        ge=1,
        le=600,
        description="Time to finish what has begun after SIGTERM (s).",
        json_schema_extra=about("Keep it below the time after which your platform kills (`docker stop --time 30`)."),
    )
    log_level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="Least level that is logged.",
        json_schema_extra=about("`debug`, to look for a fault."),
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
            raise ValueError("has nothing between its commas")
        return parts

    @field_validator("providers")
    @classmethod
    def _require_providers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value) or not all(_PROVIDER.fullmatch(name) for name in value):
            raise ValueError("needs names of payment providers such as stripe, each once, comma-separated")
        return value

    @field_validator("provider_by_currency")
    @classmethod
    def _require_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        codes = [rule.partition(":")[0].strip().lower() for rule in value]
        if len(set(codes)) < len(codes) or not all(_is_rule(rule) for rule in value):
            raise ValueError("write currency:provider such as sek:bank_transfer, each currency once, comma-separated")
        return value

    @field_validator("stripe_secret_key")
    @classmethod
    def _require_key(cls, value: SecretStr) -> SecretStr:
        if value and not re.fullmatch(r"(sk|rk)_\S+", value.get_secret_value()):
            raise ValueError(
                "a secret key begins with sk_ or rk_ (the publishable one, pk_…, goes to STRIPE_PUBLISHABLE_KEY)"
            )
        return value

    @field_validator("stripe_publishable_key")
    @classmethod
    def _require_publishable(cls, value: str) -> str:
        # Whatever stands here is given to every customer.
        if value and not re.fullmatch(r"pk_[!-~]+", value):
            raise ValueError("a publishable key begins with pk_")
        return value

    @field_validator("stripe_api_base")
    @classmethod
    def _require_url(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/]+/?", value):
            raise ValueError("write https://host, without a path")
        return value

    @field_validator("stripe_webhook_secret")
    @classmethod
    def _require_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        # An empty secret would verify a signature made with an empty key, which anyone can forge.
        if any(len(secret.get_secret_value()) < 8 for secret in value):  # noqa: PLR2004 - said in the message
            raise ValueError("needs secrets of 8 characters or more")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _require_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            open_to_all = any(ipaddress.ip_network(proxy).prefixlen == 0 for proxy in value)
        except ValueError:
            raise ValueError("write addresses or networks, such as 10.0.0.7 or 10.0.1.0/24, comma-separated") from None
        if open_to_all:
            raise ValueError("it would let everybody say who they are: name the proxies alone")
        return value

    @field_validator("stripe_payment_methods")
    @classmethod
    def _require_methods(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(method.isascii() and method.replace("_", "").isalnum() for method in value):
            raise ValueError("needs payment method types such as card, comma-separated")
        return value

    @property
    def providers_by_currency(self) -> dict[str, str]:
        """Which provider takes a currency (its code in lower case)."""
        rules = (rule.partition(":") for rule in self.provider_by_currency)
        return {code.strip().lower(): name.strip() for code, _, name in rules}

    @property
    def stripe_livemode(self) -> bool:
        """Whether Stripe moves real money under our key."""
        return "_live_" in self.stripe_secret_key.get_secret_value()

    @model_validator(mode="after")
    def _require_stripe(self) -> Self:
        for name in ("stripe_secret_key", "stripe_webhook_secret"):
            if "stripe" in self.providers and not getattr(self, name):
                message = f"{name.upper()} is not set: {type(self).model_fields[name].description}"
                raise ValueError(message.removesuffix("."))
        return self

    @model_validator(mode="after")
    def _require_known_providers(self) -> Self:
        if unknown := sorted(set(self.providers_by_currency.values()) - set(self.providers)):
            raise ValueError(f"PROVIDER_BY_CURRENCY names {unknown[0]}, which PROVIDERS does not")
        return self

    @model_validator(mode="after")
    def _require_one_mode_and_https(self) -> Self:
        if self.stripe_publishable_key and self.stripe_livemode != ("_live_" in self.stripe_publishable_key):
            raise ValueError("STRIPE_PUBLISHABLE_KEY and STRIPE_SECRET_KEY must be of one mode, both live or both test")
        if self.stripe_livemode and not self.stripe_api_base.startswith("https://"):
            raise ValueError("STRIPE_API_BASE must be https with a live key")
        return self


def _is_rule(rule: str) -> bool:
    code, _, provider = rule.partition(":")
    try:
        currency(code.strip().lower())
    except UnknownCurrency:
        return False
    return _PROVIDER.fullmatch(provider.strip()) is not None
