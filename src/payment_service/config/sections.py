"""Parts of the configuration that a command may read alone: the base class, Kafka and the database."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import Field, JsonValue, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from payment_service.config.dsn import SYSTEM_ROOTS, parameters, read_dsn
from payment_service.config.kafka_properties import PREFIX, property_name, unusable_reason
from payment_service.config.secret_files import FILE_SUFFIX, SecretFileError, is_secret, read_named, read_secrets
from payment_service.config.validation_messages import validation_message

# An unknown variable with one of these prefixes is a typing error, and would otherwise have no effect. A provider adds its
# own with its settings.
_PREFIXES: Final = {
    "ADMIN_",
    "KAFKA_",
    "STRIPE_",
    "PROVIDER_",
    "SERVICE_",
    "METRICS_",
    "ORDER_",
    "DB_",
    "WEBHOOK_",
    "MAX_AMOUNT_",
    "CAPTURE_",
    "PAYMENT_EXPIRES_",
    "ORDERS_",
    "TRUSTED_",
    "RECONCILE_",
}
# Kubernetes sets such variables in every container, for each service of the namespace (one may be called "kafka").
_SERVICE_LINK: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_\w+)?)$")
_TLS_FILES: Final = {"sslrootcert", "sslcert", "sslkey", "sslcrl"}
_KNOWN: Final[dict[str, FieldInfo]] = {}


def about(change: str, *, needed_by: str = "") -> dict[str, JsonValue]:
    """Return a setting's documentation: when to change it, and the provider that requires it (empty: none)."""
    return {"change": change, "needed_by": needed_by}


class ConfigError(Exception):
    """The configuration is invalid; the message names the variable and the fix."""


class Settings(BaseSettings):
    """A part of the configuration that can be read alone. The variable is the field's name in capitals.

    A provider sets `prefix` to the prefix of its variables, such as `ACME_`. Then an unknown variable with it stops the
    start.
    """

    prefix: ClassVar[str] = ""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: object) -> None:
        """Register the names of this part, so that other parts do not report them as unknown."""
        if cls.prefix or cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
            _KNOWN.update(cls.model_fields)
        if cls.prefix:
            _PREFIXES.add(cls.prefix)

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment. Raises ConfigError with one line that says what to do."""
        if unknown := sorted(name for name in os.environ if _is_unknown(name)):
            raise ConfigError(f"Unknown variable {unknown[0]}: correct or remove it (see docs/configuration.md).")
        try:
            return cls(**read_secrets(cls.model_fields), **cls._read_more())
        except ValidationError as error:
            raise ConfigError(cls._problems(error)) from None
        except SecretFileError as error:
            raise ConfigError(str(error)) from None

    @classmethod
    def _read_more(cls) -> dict[str, Any]:
        """Read settings whose variables are not field names. Raises SecretFileError."""
        return {}

    @classmethod
    def _problems(cls, error: ValidationError) -> str:
        """Return a sentence for each problem, so that one start names them all."""
        return " ".join(map(cls._problem, error.errors(include_input=False, include_url=False)))

    @classmethod
    def _problem(cls, problem: ErrorDetails) -> str:
        name = str(problem["loc"][0]).upper() if problem["loc"] else ""
        if problem["type"] == "missing":
            return f"{name} is not set: {cls.model_fields[name.lower()].description}"
        return f"{name} {validation_message(problem)}." if name else f"{validation_message(problem)}."


class KafkaSettings(Settings):
    """Settings needed to create topics."""

    kafka_brokers: str = Field(
        description="Bootstrap servers of Kafka, host:port, comma-separated.",
        json_schema_extra=about("When brokers move. List two or more, so that a start does not depend on one."),
    )
    kafka_client_id: str = Field(
        "payment-service",
        description="Client id at the broker.",
        json_schema_extra=about("When the broker's quotas or logs must distinguish installations."),
    )
    kafka_group_id: str = Field(
        "payment-service-group",
        description="Consumer group of the order intake.",
        json_schema_extra=about(
            "Before the first start, if two installations share a cluster. A new group reads from the oldest record; repeated orders change nothing."
        ),
    )
    kafka_session_timeout_ms: int = Field(
        6_000,
        ge=1_000,
        le=300_000,
        description="Milliseconds without a heartbeat after which the group reassigns a consumer's partitions.",
        json_schema_extra=about(
            "Raise it if paused machines cause rebalances. The orders of a dead replica wait this long."
        ),
    )
    kafka_topic_partitions: int = Field(
        6,
        ge=1,
        le=1_000,
        description="Number of partitions for `topics create`.",
        json_schema_extra=about(
            "Before the first start: at most this many replicas read orders. Adding partitions later moves keys to other partitions."
        ),
    )
    orders_cancelled: bool = Field(
        default=False,
        description="Consume orders.cancelled, and cancel the unpaid payments of those orders.",
        json_schema_extra=about("When the store publishes cancellations. Then run `topics create`."),
    )

    kafka_config: Annotated[tuple[tuple[str, SecretStr], ...], NoDecode] = Field(
        (),
        description="Any property of librdkafka: `KAFKA_CONFIG_SSL_CA_LOCATION` is `ssl.ca.location`.",
        json_schema_extra=about("For TLS and SASL. Properties that guarantees depend on are refused."),
    )

    @classmethod
    def _read_more(cls) -> dict[str, Any]:
        named = read_named(PREFIX)
        return {"kafka_config": tuple((property_name(name), value) for name, value in named.items())} if named else {}

    @model_validator(mode="after")
    def _require_properties(self) -> Self:
        if self.kafka_config and (message := unusable_reason(self.kafka_properties)):
            raise ValueError(message)
        return self

    @property
    def kafka_properties(self) -> dict[str, str]:
        """Return the properties that every Kafka client gets besides its own."""
        return {name: value.get_secret_value() for name, value in self.kafka_config}

    @field_validator("kafka_brokers")
    @classmethod
    def _require_brokers(cls, value: str) -> str:
        if not all(re.fullmatch(r"\S+:[0-9]{1,5}", broker.strip()) for broker in value.split(",")):
            raise ValueError("must be host:port, comma-separated")
        return value


class RoleSettings(Settings):
    """Settings needed for the database roles."""

    db_role_prefix: str = Field(
        "payments",
        pattern="^[a-z][a-z0-9_]{0,31}$",
        description="Prefix of the PostgreSQL roles: this name, and with _owner, _service and _reader.",
        json_schema_extra=about("When two installations share a PostgreSQL server: roles are global to the server."),
    )


class DatabaseSettings(RoleSettings):
    """Settings needed to migrate."""

    db_dsn: SecretStr = Field(
        description="PostgreSQL connection, as a URI or in libpq's key=value form. For TLS add `sslmode=verify-full` and `sslrootcert`.",
        json_schema_extra=about("Use the restricted role for `serve`, and the owner for `migrate` and `maintain`."),
    )
    db_pool_size: int = Field(
        10,
        ge=2,
        le=200,
        description="Connections to PostgreSQL per process, without the three for reads of the API and the one for signals.",
        json_schema_extra=about(
            "Raise it for more concurrency per process. `max_connections` must cover all replicas."
        ),
    )

    @field_validator("db_dsn")
    @classmethod
    def _require_dsn(cls, value: SecretStr) -> SecretStr:
        read_dsn(value.get_secret_value())
        parts = parameters(value.get_secret_value())
        for name in sorted(_TLS_FILES & parts.keys()):
            if parts[name] != SYSTEM_ROOTS and not os.access(str(parts[name]), os.R_OK):
                raise ValueError(f"must name a readable file as {name}")
        return value


def _is_unknown(name: str) -> bool:
    if not name.startswith(tuple(_PREFIXES)) or name.startswith(PREFIX) or _SERVICE_LINK.search(name):
        return False
    field = _KNOWN.get(name.removesuffix(FILE_SUFFIX).lower())
    return field is None or (name.endswith(FILE_SUFFIX) and not is_secret(field))
