"""Settings from the environment: each error is one clear line, and the docs list exactly the settings that are read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from payment_service.config.config import Config, ConfigError, DatabaseSettings, KafkaSettings
from payment_service.config.secret_files import is_secret
from scripts import document_configuration
from scripts.document_configuration import env_example, mark

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = {
    "KAFKA_BROKERS": "broker:9092",
    "DB_DSN": "postgresql://owner:hunter22@db/payments",
    "STRIPE_SECRET_KEY": "sk_test_canary",
    "STRIPE_WEBHOOK_SECRET": "whsec_canary1",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Config.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


def problem() -> str:
    with pytest.raises(ConfigError) as raised:
        Config.from_environment()
    return str(raised.value)


def test_required_settings_are_enough() -> None:
    config = Config.from_environment()
    assert config.kafka_group_id == "payment-service-group"
    assert config.service_port == 8082
    assert config.metrics_port == 9464
    assert config.order_max_age == timedelta(days=7)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_required_setting_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    assert problem().startswith(f"{name} is not set: ")


def test_every_missing_and_invalid_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REQUIRED:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DB_POOL_SIZE", "many")
    found = problem()
    assert all(f"{name} is not set: " in found for name in REQUIRED)
    assert "DB_POOL_SIZE must be a whole number." in found


@pytest.mark.parametrize("name", REQUIRED)
def test_an_empty_variable_counts_as_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert problem().startswith(f"{name} is not set: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_DSN", "payments"),
        ("DB_DSN", "host=db bogus=1 password=hunter22"),
        ("DB_POOL_SIZE", "1"),
        ("DEPLOYMENT", "Two words"),
        ("KAFKA_BROKERS", "broker"),
        ("KAFKA_SESSION_TIMEOUT_MS", "6s"),
        ("LOG_LEVEL", "loud"),
        ("MAX_AMOUNT_MINOR", "10.5"),
        ("ORDER_MAX_AGE", "a week"),
        ("ORDER_MAX_AGE", "5s"),
        ("PROVIDER_RATE_PER_SECOND", "0"),
        ("SERVICE_PORT", "65536"),
        ("SERVICE_PORT", "tcp://10.0.0.1:8082"),
        ("STRIPE_API_BASE", "api.stripe.com"),
        ("STRIPE_API_BASE", "https://api.stripe.com/v1"),
        ("STRIPE_PAYMENT_METHODS", ","),
        ("STRIPE_SECRET_KEY", "pk_test_canary"),
        ("STRIPE_SECRET_KEY", "sk_test_ca nary"),
        ("STRIPE_WEBHOOK_SECRET", ","),
        ("TRUSTED_PROXIES", "nginx"),
        ("TRUSTED_PROXIES", "10.0.0.1/24"),
        ("TRUSTED_PROXIES", "10.0.0.1, ::/0"),
        ("TRUSTED_PROXIES", "*"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_canary1,x"),
    ],
)
def test_an_invalid_value_is_reported_in_one_line_without_showing_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    line = problem()
    assert line.startswith(f"{name} ")
    assert "\n" not in line
    assert "canary" not in line
    assert "hunter22" not in line


@pytest.mark.parametrize("name", ["KAFKA_BROKER", "STRIPE_SECRET", "PROVIDER_RATE", "DB_URL", "ORDER_MAXAGE"])
def test_an_unknown_variable_with_our_prefix_stops_the_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a typo would have no effect, and nobody would notice."""
    monkeypatch.setenv(name, "1")
    assert problem().startswith(f"Unknown variable {name}: ")


@pytest.mark.parametrize(
    "name", ["KAFKA_SERVICE_HOST", "KAFKA_SERVICE_PORT_CLIENT", "DB_PORT", "DB_PORT_5432_TCP_ADDR"]
)
def test_kubernetes_service_variables_are_ignored(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:5432")
    assert Config.from_environment()


@pytest.mark.parametrize("key", ["sk_test_canary", "canary", "pk_", "pk_a b", "rk_test_canary", "pk_live_canary"])
def test_only_a_publishable_key_of_the_same_mode_is_accepted(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("STRIPE_PUBLISHABLE_KEY", key)
    with pytest.raises(ConfigError, match="STRIPE_PUBLISHABLE_KEY") as refused:
        Config.from_environment()
    assert "canary" not in str(refused.value)


def test_a_live_key_requires_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_canary")
    monkeypatch.setenv("STRIPE_API_BASE", "http://127.0.0.1:12111")
    assert problem() == "STRIPE_API_BASE must be https with a live key."


@pytest.mark.parametrize(
    ("text", "age"), [("90m", timedelta(minutes=90)), ("12h", timedelta(hours=12)), ("3600", timedelta(hours=1))]
)
def test_a_duration_has_a_unit_or_counts_seconds(text: str, age: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER_MAX_AGE", text)
    assert Config.from_environment().order_max_age == age


def test_several_webhook_secrets_are_accepted_during_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_canary1, whsec_canary2")
    secrets = Config.from_environment().stripe_webhook_secret
    assert [secret.get_secret_value() for secret in secrets] == ["whsec_canary1", "whsec_canary2"]


@pytest.mark.invariant("I12")
def test_printing_the_config_shows_no_secret() -> None:
    text = repr(Config.from_environment())
    assert "canary" not in text
    assert "hunter22" not in text


SECRETS = ("DB_DSN", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET")


def put_into_file(name: str, content: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Move a setting from its variable into a file."""
    (folder / name).write_bytes(content)
    monkeypatch.setenv(f"{name}_FILE", str(folder / name))
    monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_every_secret_can_be_read_from_a_file(end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trailing line end, as editors add it, is not part of the secret."""
    in_variables = Config.from_environment()
    for name in SECRETS:
        put_into_file(name, REQUIRED[name].encode() + end, tmp_path, monkeypatch)
    assert Config.from_environment() == in_variables


def test_every_masked_setting_can_be_read_from_a_file() -> None:
    assert tuple(name.upper() for name, field in Config.model_fields.items() if is_secret(field)) == (
        "ADMIN_OIDC_CLIENT_SECRET",
        *SECRETS,
    )


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_set_twice_is_rejected(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into_file(name, REQUIRED[name].encode(), tmp_path, monkeypatch)
    monkeypatch.setenv(name, REQUIRED[name])
    assert problem() == f"{name} and {name}_FILE are both set: remove one of them."


@pytest.mark.parametrize("name", SECRETS)
def test_an_empty_variable_does_not_conflict_with_its_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_into_file(name, REQUIRED[name].encode(), tmp_path, monkeypatch)
    monkeypatch.setenv(name, "")
    assert Config.from_environment()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "names a file that is empty: "),
        (b"\n\n", "names a file that is empty: "),
        (b"sk_canary" * 10_000, "names a file that is too large: "),
        (b"sk_canary\xff", "cannot be read: not UTF-8 text"),
    ],
)
def test_an_unusable_secret_file_is_reported_in_one_line(
    content: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_into_file("STRIPE_SECRET_KEY", content, tmp_path, monkeypatch)
    assert problem().startswith(f"STRIPE_SECRET_KEY_FILE {words}")
    assert "canary" not in problem()


@pytest.mark.parametrize("path", ["sk_test_canary", "/dev/", "/dev/null/canary", "canary" * 1_000])
def test_an_unreadable_secret_file_is_reported_without_its_path(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator may put the secret itself into the file variable: the log must not show it."""
    monkeypatch.delenv("STRIPE_SECRET_KEY")
    monkeypatch.setenv("STRIPE_SECRET_KEY_FILE", path)
    line = problem()
    assert line.startswith("STRIPE_SECRET_KEY_FILE cannot be read: ")
    assert "\n" not in line
    assert path not in line
    assert "canary" not in line


@pytest.mark.parametrize("name", ["SERVICE_PORT_FILE", "STRIPE_PUBLISHABLE_KEY_FILE", "STRIPE_SECRET_FILE", "DB_FILE"])
def test_only_secrets_are_read_from_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/run/secrets/x")
    assert problem().startswith(f"Unknown variable {name}: ")


def test_a_section_reads_only_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BROKERS", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"):
        monkeypatch.delenv(name)
    assert DatabaseSettings.from_environment().db_dsn.get_secret_value() == REQUIRED["DB_DSN"]
    with pytest.raises(ConfigError, match="KAFKA_BROKERS is not set"):
        KafkaSettings.from_environment()


def test_the_configuration_page_is_current() -> None:
    """Run `make docs` after a change of the settings."""
    assert document_configuration.PAGE.read_text() == document_configuration.document()


def test_every_setting_states_its_purpose_and_when_to_change_it() -> None:
    fields = document_configuration.FIELDS.items()
    assert [name for name, field in fields if not field.description or not mark(field, "change")] == []


def test_env_example_is_current() -> None:
    assert (ROOT / ".env.example").read_text() == env_example()


def test_env_example_sets_no_secret() -> None:
    lines = [line for line in env_example().splitlines() if line and not line.startswith("#")]
    assert sorted(lines) == sorted(f"{name}=" for name in REQUIRED)
