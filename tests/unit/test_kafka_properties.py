"""`KAFKA_CONFIG_…` sets any property of librdkafka except those that guarantees depend on. Values are never shown."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from payment_service.config.kafka_properties import REFUSED, property_name, variable_name
from payment_service.config.sections import ConfigError, KafkaSettings
from payment_service.kafka.consumer_settings import member_settings
from payment_service.kafka.producer import Producer
from tests.support.outbox import config_of

CANARY = "canary-of-the-suite"
ENV = {
    "DB_DSN": "postgresql://x@127.0.0.1:9/x",
    "KAFKA_BROKERS": "127.0.0.1:9",
    "STRIPE_SECRET_KEY": "sk_test_suite",
    "STRIPE_WEBHOOK_SECRET": "whsec_suite",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BROKERS", "kafka:9092")


def problem() -> str:
    with pytest.raises(ConfigError) as raised:
        KafkaSettings.from_environment()
    return str(raised.value)


def test_properties_are_passed_to_the_clients_by_their_own_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A secret may come from a file."""
    password = tmp_path / "password"
    password.write_text(f"{CANARY}\n")
    for name, value in {
        "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SASL_MECHANISM": "SCRAM-SHA-512",
        "SASL_USERNAME": "service",
        "SASL_PASSWORD_FILE": str(password),
    }.items():
        monkeypatch.setenv(f"KAFKA_CONFIG_{name}", value)
    settings = KafkaSettings.from_environment()
    assert settings.kafka_properties == {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "service",
        "sasl.password": CANARY,
    }
    assert CANARY not in repr(settings)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_properties_that_guarantees_depend_on_are_rejected_with_a_reason(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable_name(name), CANARY)
    assert property_name(variable_name(name)) == name
    assert problem() == f"{variable_name(name)} cannot be set: {REFUSED[name]}."


async def test_only_the_clients_set_properties_that_guarantees_depend_on() -> None:
    config = config_of(ENV)
    loop = asyncio.get_running_loop()

    producer = Producer(config, loop=loop, notify=lambda: None, now=lambda: datetime.now(UTC))
    ours = {*producer._settings(config), *member_settings(config, lambda _error: None)}
    await producer.close()
    assert ours - {"error_cb", "compression.type"} <= REFUSED.keys(), "what is set over would be ignored in silence"


async def test_records_are_not_compressed_unless_the_property_is_set() -> None:
    """Mainstream clients lack LZ4: kafkajs reads gzip alone by itself."""
    loop = asyncio.get_running_loop()
    used = []
    for properties in ((), (("compression.type", SecretStr("gzip")),)):
        config = config_of(ENV).model_copy(update={"kafka_config": properties})
        producer = Producer(config, loop=loop, notify=lambda: None, now=lambda: datetime.now(UTC))
        used.append(producer._settings(config)["compression.type"])
        await producer.close()
    assert used == ["none", "gzip"]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"NO_SUCH_THING": CANARY}, 'No such configuration property: "no.such.thing"'),
        ({"SECURITY_PROTOCOL": CANARY}, 'Invalid value "…" for configuration property "security.protocol"'),
        ({"SECURITY_PROTOCOL": "ssl", "SSL_CA_LOCATION": f"/{CANARY}"}, "ssl.ca.location"),
        ({"SECURITY_PROTOCOL": "sasl_ssl", "SASL_MECHANISM": CANARY}, "Unsupported SASL mechanism: …"),
    ],
)
def test_an_invalid_property_is_reported_in_one_line_before_the_start(
    variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"KAFKA_CONFIG_{name}", value)
    line = problem()
    assert sentence in line
    assert "\n" not in line
    assert CANARY not in line


def test_a_property_set_twice_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_CONFIG_SASL_PASSWORD", CANARY)
    monkeypatch.setenv("KAFKA_CONFIG_SASL_PASSWORD_FILE", "/run/secrets/password")
    assert (
        problem() == "KAFKA_CONFIG_SASL_PASSWORD and KAFKA_CONFIG_SASL_PASSWORD_FILE are both set: remove one of them."
    )
