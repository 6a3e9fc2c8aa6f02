"""The commands as an operator or a script uses them: exit codes, and one clear line for each failure."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from tests.support.command import NOWHERE, assert_fails, done, run
from tests.support.databases import DatabaseServer
from tests.support.kafka import TOPICS, topic_names
from tests.support.service import StartService


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.returncode == 0
    for command in (
        "serve",
        "migrate",
        "maintain",
        "topics",
        "keys",
        "show",
        "refund",
        "capture",
        "cancel",
        "sandbox",
        "doctor",
        "demo",
    ):
        assert re.search(rf"^  {command} ", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("topics",),
        ("keys",),
        ("frobnicate",),
        ("migrate", "--frob"),
        ("keys", "create"),
        ("keys", "create", "--scope", "x"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, env={"DB_DSN": NOWHERE})
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("serve",), "KAFKA_BROKERS is not set"),
        (("doctor",), "KAFKA_BROKERS is not set"),
        (("migrate",), "DB_DSN is not set"),
        (("maintain",), "DB_DSN is not set"),
        (("keys", "create", "--scope", "read"), "DB_DSN is not set"),
        (("topics", "create"), "KAFKA_BROKERS is not set"),
        (("serve", "--only", "intake,cooking"), "--only takes intake, dispatch, relay, http, reconcile"),
        (("serve", "--only", ","), "--only takes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_invalid_configuration_exits_with_2_and_one_line(arguments: tuple[str, ...], sentence: str) -> None:
    assert_fails(run(*arguments), 2, sentence)


@pytest.mark.parametrize(
    "arguments", [("migrate",), ("maintain",), ("keys", "create", "--scope", "read")], ids=" ".join
)
def test_an_unreachable_database_exits_with_1_and_one_line(arguments: tuple[str, ...]) -> None:
    assert_fails(run(*arguments, env={"DB_DSN": NOWHERE}), 1, "payment-service: ")


def test_migrate_needs_only_the_database_and_reports_its_changes(empty_database_dsn: str) -> None:
    env = {"DB_DSN": empty_database_dsn}
    first, again = run("migrate", env=env), run("migrate", env=env)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith(
        "schema migrated from revision None to 1\ntables of the provider bank_transfer migrated to revision 1\n"
        "created payment_events_"
    )
    assert (again.returncode, again.stdout) == (0, "schema is at revision 1\n")


def test_migrate_sql_needs_no_settings() -> None:
    result = run("migrate", "--sql")
    assert result.returncode == 0
    assert "CREATE TABLE payments (" in result.stdout


def test_migrate_roles_prints_privileges_without_a_database() -> None:
    result = run("migrate", "--roles", env={"DB_ROLE_PREFIX": "shop"})
    assert result.returncode == 0
    assert "GRANT SELECT, INSERT, DELETE ON audit_unsealed TO shop_service;" in result.stdout
    assert "GRANT SELECT ON audit TO shop_reader;" in result.stdout
    assert "api_keys TO shop_reader" not in result.stdout


def test_maintain_has_nothing_to_do_after_migrate(database_dsn: str) -> None:
    result = run("maintain", env={"DB_DSN": database_dsn})
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("arguments", [("maintain",), ("keys", "create", "--scope", "read")], ids=" ".join)
def test_a_command_without_a_schema_exits_with_3_and_names_the_fix(
    arguments: tuple[str, ...], empty_database_dsn: str
) -> None:
    assert_fails(run(*arguments, env={"DB_DSN": empty_database_dsn}), 3, "run `payment-service migrate`")


@pytest.mark.kafka
def test_topics_create_reports_new_topics_and_can_run_again(broker: str) -> None:
    env = {"KAFKA_BROKERS": broker}
    first, again = run("topics", "create", env=env), run("topics", "create", env=env)
    assert (first.returncode, first.stderr) == (0, "")
    assert sorted(first.stdout.split()) == sorted(word for name in topic_names(broker) for word in ("created", name))
    assert (again.returncode, again.stdout) == (0, "all topics exist\n")


def test_an_unreachable_broker_exits_with_1_and_one_line() -> None:
    result = run("topics", "create", env={"KAFKA_BROKERS": "127.0.0.1:9"})
    assert_fails(result, 1, "Request to Kafka failed")


@pytest.mark.invariant("I12")
def test_a_new_key_is_printed_alone_and_stored_hashed(database_dsn: str) -> None:
    result = run(
        "keys", "create", "--client", "shop", "--scope", "read", "--scope", "refund", env={"DB_DSN": database_dsn}
    )
    assert (result.returncode, result.stderr) == (0, "")
    key = result.stdout.removesuffix("\n")
    assert re.fullmatch(r"psk_\S+", key)
    with psycopg.connect(database_dsn) as connection:
        rows = connection.execute("SELECT client, scopes, hash FROM api_keys").fetchall()
        text = connection.execute("SELECT api_keys::text FROM api_keys").fetchone()
    assert rows == [("shop", ["read", "refund"], hashlib.sha256(key.encode()).digest())]
    assert key not in str(text)


@pytest.mark.parametrize(("moment", "made"), [("before", 0), ("after", 1)])
def test_a_key_of_a_killed_command_can_be_found_and_revoked(database_dsn: str, moment: str, made: int) -> None:
    env = {"DB_DSN": database_dsn}
    point = f"change.keys.create.commit.{moment}"
    killed = run("keys", "create", "--client", "shop", "--scope", "read", env=env | {"CRASH_AT": point})
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "")
    assert f"crash point reached: {point}" in killed.stderr
    keys = done(run("keys", "list", "--json", env=env))["data"]
    with psycopg.connect(database_dsn) as connection:
        noted = connection.execute("SELECT detail ->> 'prefix' FROM audit").fetchall()
    assert ([key["client"] for key in keys], noted) == (["shop"] * made, [(key["prefix"],) for key in keys])
    for key in keys:
        done(run("keys", "revoke", key["id"], "--json", env=env))
    shown = run("keys", "create", "--client", "shop", "--scope", "read", env=env)
    assert (shown.returncode, shown.stdout[:4]) == (0, "psk_")


def test_serve_without_a_schema_exits_with_3_and_names_the_fix(
    service_env: dict[str, str], empty_database_dsn: str
) -> None:
    result = run("serve", env={**service_env, "DB_DSN": empty_database_dsn, "SERVICE_PORT": "0", "METRICS_PORT": "0"})
    assert result.returncode == 3
    assert "run `payment-service migrate`" in result.stderr


def test_serve_without_privileges_exits_with_3_and_points_to_doctor(
    service_env: dict[str, str], database: DatabaseServer, database_dsn: str
) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute(f"REVOKE ALL ON alembic_version FROM {database.roles.service}".encode())
    result = run("serve", env={**service_env, "SERVICE_PORT": "0", "METRICS_PORT": "0"})
    assert (result.returncode, result.stderr) == (
        3,
        "PostgreSQL refused the request: permission denied for table alembic_version. Run `payment-service doctor` for the missing privileges.\n",
    )


def test_serve_on_a_schema_that_is_too_new_exits_with_3(service_env: dict[str, str], database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9'")
        connection.execute("UPDATE schema_minimum SET revision = 9")
    result = run("serve", env={**service_env, "SERVICE_PORT": "0", "METRICS_PORT": "0"})
    assert result.returncode == 3
    assert "deploy a newer version" in result.stderr


def test_serve_runs_on_a_newer_compatible_schema(
    service_env: dict[str, str], database_dsn: str, start_service: StartService
) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9'")
    assert start_service("http").ready()


def test_serve_without_topics_exits_with_3_and_names_them(service_env: dict[str, str]) -> None:
    from payment_service_demo.embedded.broker import EmbeddedBroker  # noqa: PLC0415

    with EmbeddedBroker() as empty:
        env = {**service_env, "KAFKA_BROKERS": empty.bootstrap_servers, "SERVICE_PORT": "0", "METRICS_PORT": "0"}
        result = run("serve", env=env)
    assert result.returncode == 3
    assert "payment-service topics create" in result.stderr
    assert TOPICS[0] in result.stderr


def test_serve_names_the_port_that_is_in_use(service_env: dict[str, str], start_service: StartService) -> None:
    running = start_service()
    env = {**service_env, "SERVICE_HOST": "127.0.0.1", "SERVICE_PORT": "0", "METRICS_PORT": str(running.metrics_port)}
    result = run("serve", env=env)
    assert result.returncode == 1
    assert str(running.metrics_port) in result.stderr
    assert "Traceback" not in result.stderr


def test_metrics_can_listen_on_another_address_than_the_api(start_service: StartService) -> None:
    """So that the network of customers cannot reach them. The image's health check finds the address."""
    running = start_service(METRICS_HOST="127.0.0.2")
    with urlopen(f"http://127.0.0.2:{running.metrics_port}/metrics") as answer:
        assert b"payments_" in answer.read()
    for address in (("127.0.0.1", running.metrics_port), ("127.0.0.2", running.service_port)):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
    probe = [sys.executable, "-m", "payment_service.healthcheck"]
    assert subprocess.run(probe, env=running.env, check=False).returncode == 0


def test_the_sandbox_command_shows_its_options(tmp_path: Path) -> None:
    result = run("sandbox", "--help")
    assert result.returncode == 0
    for option in ("--port", "--state", "--webhook", "--webhook-secret"):
        assert option in result.stdout


def test_a_file_of_variables_is_read_and_the_environment_takes_precedence(database_dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "payments.env"
    file.write_text(f"# the database\nDB_DSN='{database_dsn}'\nDB_POOL_SIZE=none\n")
    env = {"DB_POOL_SIZE": "2"}
    assert run("--env-file", str(file), "maintain", env=env).returncode == 0
    assert_fails(run("--env-file", str(file), "maintain"), 2, "DB_POOL_SIZE must be a whole number")
    assert_fails(run("serve", "--env-file", str(file), env=env), 2, "KAFKA_BROKERS is not set")


def test_a_file_of_variables_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "payments.env"
    assert_fails(run("--env-file", str(file), "maintain"), 2, "cannot be read: No such file or directory")
    file.write_text("KAFKA_BROKERS=127.0.0.1:9\nSTRIPE_SECRET_KEY sk_test_hunter22\n")
    assert_fails(run("serve", "--env-file", str(file)), 2, f"Line 2 of {file} is not NAME=value")
