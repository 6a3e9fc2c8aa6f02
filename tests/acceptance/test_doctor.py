"""`payment-service doctor` with real parts: it reports each problem, and the suggested fix works."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socket import create_server
from typing import Any

import psycopg
import pytest

from payment_service.db.clock_skew import SKEW_MAX_S
from payment_service.db.maintain import AHEAD
from payment_service.provider.stripe.api_versions import API_VERSION
from payment_service_demo.embedded.broker import EmbeddedBroker
from tests.support.command import run
from tests.support.databases import DatabaseServer
from tests.support.kafka import TOPICS, create_topics
from tests.support.sandbox import SandboxProcess


def examine(env: Mapping[str, str], **changes: str) -> tuple[int, list[list[str]]]:
    """Return the exit code and the lines as [verdict, rest]."""
    result = run("doctor", env={**env, **changes})
    assert result.stderr == ""
    return result.returncode, [line.split(maxsplit=1) for line in result.stdout.splitlines()]


def failures(lines: list[list[str]]) -> list[str]:
    return [rest for verdict, rest in lines if verdict == "failed"]


@pytest.fixture
def stripe(tmp_path: Path) -> Iterator[SandboxProcess]:
    sandbox = SandboxProcess(tmp_path, in_memory=True)
    sandbox.start("http://127.0.0.1:9/webhooks/stripe")
    yield sandbox
    sandbox.clean_up()


@pytest.fixture
def env(service_env: dict[str, str], stripe: SandboxProcess) -> dict[str, str]:
    return {**service_env, "STRIPE_API_BASE": stripe.base_url}


@pytest.mark.kafka
def test_a_healthy_installation_has_no_failures(env: dict[str, str]) -> None:
    code, lines = examine(env)
    assert (code, failures(lines)) == (0, [])
    text = "\n".join(" ".join(line) for line in lines)
    for found in (
        "PostgreSQL",
        "matches this version",
        "for",
        "all",
        "valid, mode: test",
        "receives every needed event",
        "agrees with",
    ):
        assert found in text


def test_all_failures_are_reported_at_once(service_env: dict[str, str]) -> None:
    """An unreachable part does not hide other failures, and no password is shown."""
    code, lines = examine(
        service_env,
        DB_DSN="postgresql://someone:hunter22@127.0.0.1:9/x",
        KAFKA_BROKERS="127.0.0.1:9",
        STRIPE_API_BASE="http://127.0.0.1:9",
    )
    assert code == 1
    assert [line.split()[0] for line in failures(lines)] == ["database", "broker", "stripe"]
    assert "hunter22" not in str(lines)
    assert all("→" in line for line in failures(lines))


def test_a_database_without_a_schema_is_reported_with_migrate_as_fix(
    env: dict[str, str], empty_database_dsn: str
) -> None:
    code, lines = examine(env, DB_DSN=empty_database_dsn)
    assert code == 1
    assert failures(lines) == ["schema      The database has no schema → run `payment-service migrate`."]


def test_missing_topics_are_named(env: dict[str, str]) -> None:
    with EmbeddedBroker() as other:
        create_topics(other.bootstrap_servers, [name for name in TOPICS if name != "payments.failed"])
        code, lines = examine(env, KAFKA_BROKERS=other.bootstrap_servers)
    assert code == 1
    assert failures(lines) == ["topics      missing: payments.failed → run `payment-service topics create`"]


def test_topics_with_few_partitions_are_a_warning(env: dict[str, str]) -> None:
    code, lines = examine(env, KAFKA_TOPIC_PARTITIONS="12")
    assert code == 0
    assert [rest for verdict, rest in lines if verdict == "warning" and rest.startswith("topics      fewer than 12")]


def test_a_key_that_stripe_rejects_is_reported(env: dict[str, str], stripe: SandboxProcess) -> None:
    stripe.accept_keys("sk_test_another")
    code, lines = examine(env)
    assert code == 1
    assert failures(lines)[0].startswith("stripe key  Stripe refuses it → ")


def test_a_missing_webhook_endpoint_is_reported_with_the_events_to_add(
    service_env: dict[str, str], tmp_path: Path
) -> None:
    sandbox = SandboxProcess(tmp_path, in_memory=True)
    sandbox.start()
    try:
        code, lines = examine(service_env, STRIPE_API_BASE=sandbox.base_url)
    finally:
        sandbox.clean_up()
    assert code == 1
    assert failures(lines)[0].startswith("webhook     no endpoint ends in /webhooks/stripe → add https://")
    assert "payment_intent.succeeded" in failures(lines)[0]


def test_missing_future_partitions_are_a_failure(env: dict[str, str], database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        names = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox'::regclass ORDER BY 1 DESC"
        ).fetchall()
        for (name,) in [row for row in names if not row[0].endswith("default")][: AHEAD.days // 7]:
            connection.execute(f"DROP TABLE {name}".encode())
    code, lines = examine(env)
    assert code == 1
    assert failures(lines)[0].endswith("run `payment-service maintain` daily, as the owner of the tables")


def test_items_that_need_attention_are_a_warning(env: dict[str, str], database_dsn: str) -> None:
    assert ["ok", "attention   nothing needs attention"] in examine(env)[1]
    with psycopg.connect(database_dsn) as connection:
        connection.execute(
            "INSERT INTO bank_transfers (account, transaction_id, amount, currency, booked_on, text, outcome) "
            "VALUES ('DE1', 't-1', 1, 'eur', now(), '', 'transfer.unmatched')"
        )
    code, lines = examine(env)
    found = "attention   needs attention: 1 unmatched transfer → payment-service attention list"
    assert (code, ["warning", found] in lines) == (0, True)


def test_calls_for_a_provider_that_is_not_enabled_are_a_failure(env: dict[str, str], database_dsn: str) -> None:
    """Nothing makes these calls, so their payments cannot proceed."""
    assert ["ok", "calls       none waits for a disabled provider"] in examine(env)[1]
    with psycopg.connect(database_dsn) as connection:
        connection.execute(
            "WITH made AS (INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset) "
            "VALUES (gen_random_uuid(), 'o-1', 'elsewhere', 1, 'eur', 'orders.created', 0, 0) RETURNING id) "
            "INSERT INTO operations (id, payment_id, provider, kind, cause, request_method, request_path, request_body, api_version) "
            "SELECT gen_random_uuid(), id, 'elsewhere', 'create', 'order', 'POST', '/', '', '1' FROM made"
        )
    code, lines = examine(env)
    found = "calls       waiting for a disabled provider: 1 for elsewhere → add it to PROVIDERS"
    assert (code, failures(lines)) == (1, [found])


def test_a_checkout_scope_without_a_publishable_key_is_a_warning(env: dict[str, str], database_dsn: str) -> None:
    def checkout_lines(**changes: str) -> list[list[str]]:
        return [line for line in examine(env, **changes)[1] if line[1].startswith("checkout")]

    assert checkout_lines() == [["ok", "checkout    not used: no API key has its scope"]]
    with psycopg.connect(database_dsn) as connection:
        connection.execute(
            "INSERT INTO api_keys (client, prefix, hash, scopes, revoked_at) VALUES "
            "('page', 'psk_1', sha256('1'), '{checkout}', NULL), ('old', 'psk_2', sha256('2'), '{checkout}', now())"
        )
    [[verdict, found]] = checkout_lines()
    assert verdict == "warning"
    assert "STRIPE_PUBLISHABLE_KEY is not set, so checkouts for page do not contain it" in found
    assert checkout_lines(STRIPE_PUBLISHABLE_KEY="pk_test_suite") == []


def test_keys_that_end_soon_are_a_warning(env: dict[str, str], database_dsn: str) -> None:
    """Not those that a rotation has replaced."""
    with psycopg.connect(database_dsn) as connection:
        connection.execute(
            "INSERT INTO api_keys (client, prefix, hash, scopes, family, created_at, expires_at) VALUES "
            "('shop', 'psk_1', sha256('1'), '{read}', gen_random_uuid(), now(), now() + interval '6 days'), "
            "('page', 'psk_2', sha256('2'), '{read}', gen_random_uuid(), now(), now() + interval '8 days'), "
            "('jobs', 'psk_3', sha256('3'), '{read}', '00000000-0000-4000-8000-000000000000', now(), now() + interval '1 day'), "
            "('jobs', 'psk_4', sha256('4'), '{read}', '00000000-0000-4000-8000-000000000000', now() + interval '1 s', NULL)"
        )
    [[verdict, found]] = [line for line in examine(env)[1] if line[1].startswith("api keys")]
    named = [client for client in ("shop", "page", "jobs") if f"one of {client} at " in found]
    assert (verdict, named) == ("warning", ["shop"])


def test_an_audit_that_no_process_seals_is_a_failure(env: dict[str, str], database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute(
            "WITH written AS (INSERT INTO audit (at, client, action) VALUES (now() - interval '2 min', 'x', 'refund') RETURNING id) "
            "INSERT INTO audit_unsealed SELECT id FROM written"
        )
    code, lines = examine(env)
    found = "audit       1 entry waits for longer than a minute to be sealed → run a process of `serve` with the role dispatch"
    assert (code, failures(lines)) == (1, [found])


def role_lines(lines: list[list[str]]) -> list[str]:
    return [f"{verdict}: {rest.removeprefix('role').strip()}" for verdict, rest in lines if rest.startswith("role ")]


def test_the_role_of_the_service_has_exactly_its_privileges(env: dict[str, str], database: DatabaseServer) -> None:
    assert role_lines(examine(env)[1]) == [f"ok: {database.roles.service} has the privileges it needs, and no more"]


def test_missing_privileges_are_named_and_granted_by_migrate(
    env: dict[str, str], database: DatabaseServer, database_dsn: str
) -> None:
    role = database.roles.service
    with psycopg.connect(database_dsn, autocommit=True) as owner:
        owner.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}".encode())
        owner.execute(f"GRANT SELECT ON payments TO {role}".encode())
        code, lines = examine(env)
        assert code == 1
        [line] = role_lines(lines)
        assert line.startswith(f"failed: {role} is missing SELECT on alembic_version, INSERT on api_key_refunds, ")
        assert "more → run `payment-service migrate` as the owner" in line
        database.migrate(database_dsn)
        code, lines = examine(env)
        assert (code, failures(lines)) == (0, [])


def test_excess_privileges_are_a_warning(env: dict[str, str], database: DatabaseServer, database_dsn: str) -> None:
    role = database.roles.service
    with psycopg.connect(database_dsn, autocommit=True) as owner:
        owner.execute(f"GRANT UPDATE, DELETE ON audit TO {role}".encode())
        owner.execute(f"GRANT INSERT ON api_keys TO {role}".encode())
        owner.execute(f"GRANT UPDATE (amount) ON payments TO {role}".encode())
        owner.execute(f"GRANT CREATE ON SCHEMA public TO {role}".encode())
        code, lines = examine(env)
        assert code == 0
        [line] = role_lines(lines)
        assert line.startswith(
            f"warning: {role} has excess privileges: CREATE in the schema, INSERT on api_keys, DELETE on audit, "
            "UPDATE on audit, UPDATE (amount) on payments → "
        )


def test_serving_as_the_owner_is_a_warning(env: dict[str, str], database_dsn: str) -> None:
    code, lines = examine(env, DB_DSN=database_dsn)
    assert code == 0
    [line] = role_lines(lines)
    assert "has excess privileges: " in line
    assert "payment-service migrate --roles" in line


@pytest.mark.parametrize(
    ("version", "cost"),
    [("2025-02-24.acacia", ""), ("2020-08-27", "; each event of an unsupported version costs a read")],
)
@pytest.mark.invariant("I17")
def test_an_endpoint_of_another_api_version_is_a_warning(
    service_env: dict[str, str], tmp_path: Path, version: str, cost: str
) -> None:
    sandbox = SandboxProcess(tmp_path, in_memory=True)
    sandbox.start()
    try:
        client: Any = sandbox.client()
        url = "https://shop.example/webhooks/stripe"
        client.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"], "api_version": version})
        code, lines = examine(service_env, STRIPE_API_BASE=sandbox.base_url)
    finally:
        sandbox.clean_up()
    found = f"api version service {API_VERSION}, endpoint {version}, account {API_VERSION}{cost}"
    fix = f"add an endpoint with API version {API_VERSION}, then remove the old one"
    assert (code, ["warning", f"{found} → {fix}"] in lines) == (0, True), lines


@contextmanager
def stripe_with_clock_offset(off_s: float) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "12")
            self.end_headers()
            self.wfile.write(b'{"data": []}')

        def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002 - the library's signature
            return super().date_time_string(time.time() + off_s)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002, ARG002 - the library's signature
            return

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_clock_difference_is_reported(env: dict[str, str]) -> None:
    with stripe_with_clock_offset(SKEW_MAX_S + 30) as base:
        code, lines = examine(env, STRIPE_API_BASE=base)
    assert code == 1
    assert any("behind Stripe's clock → synchronize it" in line for line in failures(lines))


def test_silent_servers_do_not_hang_the_doctor(env: dict[str, str]) -> None:
    with closing(create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        code, lines = examine(
            env,
            DB_DSN=f"postgresql://x@127.0.0.1:{port}/x",
            KAFKA_BROKERS=f"127.0.0.1:{port}",
            STRIPE_API_BASE=f"http://127.0.0.1:{port}",
        )
    assert code == 1
    assert len(failures(lines)) == 3
