"""Parts of the environment that a command may read by themselves: the base of all settings, Kafka's and the database's."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Final, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, JsonValue, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from payment_service.config.kafka_properties import PREFIX, property_of, why_refused
from payment_service.config.secret_files import FILE_SUFFIX, SecretFileError, is_secret, read_named, read_secrets
from payment_service.config.validation_messages import say

# A variable that begins like one of ours and is none of ours is a typing error, and would silently do nothing.
_OUR_PREFIXES: Final = (
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
    "BANK_TRANSFER_",
    "TRUSTED_",
)
# Kubernetes puts such variables into every container, for each service of the namespace (one may be called "kafka").
_SERVICE_LINK: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_\w+)?)$")
_TLS_FILES: Final = {"sslrootcert", "sslcert", "sslkey", "sslcrl"}
_KNOWN: Final[dict[str, FieldInfo]] = {}


def about(change: str, *, needed_by: str = "") -> dict[str, JsonValue]:
    """Tell of a setting when to change it, and which provider can't run without it (empty: none)."""
    return {"change": change, "needed_by": needed_by}


class ConfigError(Exception):
    """The environment can't be used; the message says which variable and what to write."""


class Settings(BaseSettings):
    """A part of the environment that can be read by itself: a field's variable is its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: object) -> None:
        """Make the names of this part known, so that another part does not take them for typing errors."""
        if cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
            _KNOWN.update(cls.model_fields)

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment. Raises ConfigError with one line a person can act on."""
        if unknown := sorted(name for name in os.environ if _is_unknown(name)):
            raise ConfigError(
                f"Unknown variable {unknown[0]}: correct or remove it (docs/configuration.md has them all)."
            )
        try:
            return cls(**read_secrets(cls.model_fields), **cls._read_more())
        except ValidationError as error:
            raise ConfigError(cls._first_problem(error)) from None
        except SecretFileError as error:
            raise ConfigError(str(error)) from None

    @classmethod
    def _read_more(cls) -> dict[str, Any]:
        """Read what is no field by its name. Raises SecretFileError."""
        return {}

    @classmethod
    def _first_problem(cls, error: ValidationError) -> str:
        problem = error.errors(include_input=False, include_url=False)[0]
        name = str(problem["loc"][0]).upper() if problem["loc"] else ""
        if problem["type"] == "missing":
            return f"{name} is not set: {cls.model_fields[name.lower()].description}"
        return f"{name} can't be used: {say(problem)}." if name else f"{say(problem)}."


class KafkaSettings(Settings):
    """What is needed to make topics."""

    kafka_brokers: str = Field(
        description="Bootstrap servers of Kafka, host:port, comma-separated.",
        json_schema_extra=about("When brokers move. Name two or more, so that a start does not hang on one."),
    )
    kafka_client_id: str = Field(
        "payment-service",
        description="Name under which the service appears at the broker.",
        json_schema_extra=about("Where quotas or logs of the broker must tell installations apart."),
    )
    kafka_group_id: str = Field(
        "payment-service-group",
        description="Consumer group of the order intake.",
        json_schema_extra=about(
            "Before the first start, where two installations share a cluster. A new group reads from the oldest record on; an order that was taken stays taken."
        ),
    )
    kafka_session_timeout_ms: int = Field(
        6_000,
        ge=1_000,
        le=300_000,
        description="After this silence the group gives a member's partitions to others (ms).",
        json_schema_extra=about(
            "Raise it where frozen machines make partitions wander: so long the orders of a dead replica wait."
        ),
    )
    kafka_topic_partitions: int = Field(
        6,
        ge=1,
        le=1_000,
        description="Partitions of topics that `topics create` makes.",
        json_schema_extra=about(
            "Before the first start: at most so many replicas take orders. Later, more partitions move keys to others."
        ),
    )
    orders_cancelled: bool = Field(
        default=False,
        description="Whether orders.cancelled is read too, and what is unpaid of such orders canceled.",
        json_schema_extra=about("When the store announces cancellations; then run `topics create`."),
    )

    kafka_config: Annotated[tuple[tuple[str, SecretStr], ...], NoDecode] = Field(
        (),
        description="Any property of librdkafka: `KAFKA_CONFIG_SSL_CA_LOCATION` is `ssl.ca.location`.",
        json_schema_extra=about("For TLS and SASL. What guarantees rest on is refused."),
    )

    @classmethod
    def _read_more(cls) -> dict[str, Any]:
        named = read_named(PREFIX)
        return {"kafka_config": tuple((property_of(name), value) for name, value in named.items())} if named else {}

    @model_validator(mode="after")
    def _require_properties(self) -> Self:
        if self.kafka_config and (message := why_refused(self.kafka_properties)):
            raise ValueError(message)
        return self

    @property
    def kafka_properties(self) -> dict[str, str]:
        """What every client of Kafka is given beside its own settings."""
        return {name: value.get_secret_value() for name, value in self.kafka_config}

    @field_validator("kafka_brokers")
    @classmethod
    def _require_brokers(cls, value: str) -> str:
        if not all(re.fullmatch(r"\S+:[0-9]{1,5}", broker.strip()) for broker in value.split(",")):
            raise ValueError("write host:port, several separated by commas")
        return value


class RoleSettings(Settings):
    """What is needed to name the roles of the database."""

    db_role_prefix: str = Field(
        "payments",
        pattern="^[a-z][a-z0-9_]{0,31}$",
        description="Roles in PostgreSQL are this and _owner, _service, _reader.",
        json_schema_extra=about(
            "Where two installations share a server of PostgreSQL, whose roles belong to all of its databases."
        ),
    )


class DatabaseSettings(RoleSettings):
    """What is needed to migrate."""

    db_dsn: SecretStr = Field(
        description="PostgreSQL, as a URI or in libpq's key=value form; TLS by `sslmode=verify-full` and `sslrootcert`.",
        json_schema_extra=about("`serve` gets a role that may do little, `migrate` and `maintain` the owner."),
    )
    db_pool_size: int = Field(
        10,
        ge=2,
        le=200,
        description="Connections to PostgreSQL per process.",
        json_schema_extra=about(
            "Raise it where one process is to do more at once; `max_connections` must carry it for every replica."
        ),
    )

    @field_validator("db_dsn")
    @classmethod
    def _require_dsn(cls, value: SecretStr) -> SecretStr:
        try:
            parts = conninfo_to_dict(value.get_secret_value())
        except psycopg.ProgrammingError:
            # libpq's own message repeats parts of the text, and with them the password.
            raise ValueError("write postgresql://user:password@host:5432/database, or host=… dbname=… user=…") from None
        for name in _TLS_FILES & parts.keys():
            if not os.access(str(parts[name]), os.R_OK):
                raise ValueError(f"{name} names no file that this user may read")
        return value


def _is_unknown(name: str) -> bool:
    if not name.startswith(_OUR_PREFIXES) or name.startswith(PREFIX) or _SERVICE_LINK.search(name):
        return False
    field = _KNOWN.get(name.removesuffix(FILE_SUFFIX).lower())
    return field is None or (name.endswith(FILE_SUFFIX) and not is_secret(field))
