"""`attention` for quarantined records as an operator runs it, with a real database and nothing else."""

from __future__ import annotations

import signal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from payment_service.contracts.operators import AttentionDetail, AttentionResult
from payment_service.domain.ids import payment_id, quarantine_id
from tests.support.command import assert_fails, done, run, run_on_terminal

pytestmark = pytest.mark.timeout(300)

GOOD, EVIL, HOOK = quarantine_id("orders.created", 0, 7), quarantine_id("orders.created", 0, 8), UUID(int=9)
NOBODY = "00000000-0000-4000-8000-000000000000"
ORDER = b'{"order_id": "o-1", "user_id": "user-1", "total": "19.90", "currency": "EUR"}'
# Escape sequences, C1 controls, invalid UTF-8, and a character that reverses the direction of text.
BYTES = b"\x1b]0;owned\x07\x9b31m\xff" + "\u202e".encode()
INSERT = """
INSERT INTO quarantine (id, source, record_topic, record_partition, record_offset, reason, detail, record_key, record_value, record_headers,
                        recorded_at, created_at)
VALUES (%s, %s, 'orders.created', 0, %s, %s, 'reason', %s, %s, '[["dlq_reason", "x"]]', now() - interval '9 days', now() - %s * interval '1 h')
"""


@pytest.fixture
def env(database_dsn: str) -> dict[str, str]:
    with psycopg.connect(database_dsn) as connection:
        connection.execute(INSERT, (GOOD, "kafka", 7, "too_old", b"o-1", ORDER, 1))
        connection.execute(INSERT, (EVIL, "kafka", 8, "not_utf8", BYTES, BYTES, 48))
        connection.execute(INSERT, (HOOK, "webhook", None, "not_an_event", None, b'{"x": "4242424242424242"}', 72))
    return {"DB_DSN": database_dsn}


@pytest.fixture
def service_settings(env: dict[str, str]) -> dict[str, str]:
    """Return an environment in which the service would start."""
    secrets = {"STRIPE_SECRET_KEY": "sk_test_suite", "STRIPE_WEBHOOK_SECRET": "whsec_suite"}
    return {**env, "KAFKA_BROKERS": "127.0.0.1:9", **secrets}


def rows(env: dict[str, str], sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(env["DB_DSN"]) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_a_quarantined_record_is_shown_without_control_characters(env: dict[str, str]) -> None:
    text = run("attention", "show", str(EVIL), env=env)
    document = run("attention", "show", str(EVIL), "--json", env=env)
    for shown in (text.stdout, document.stdout):
        assert not set("\x1b\x07\x9b\u202e\ufffd") & set(shown)
    assert "\\x1b]0;owned\\x07\\x9b31m\\xff\\u202e" in text.stdout
    assert done(document) == AttentionDetail.model_validate(done(document)).model_dump(mode="json")
    assert done(document)["content"]["value_bytes"] == len(BYTES)
    masked = run("attention", "show", str(HOOK), env=env)
    assert "4242424242424242" not in masked.stdout
    assert "************4242" in masked.stdout


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_replay_killed_at_its_commit_completes_when_repeated(
    env: dict[str, str], service_settings: dict[str, str], moment: str
) -> None:
    line = ("attention", "retry", str(GOOD), "--any-age", "--yes")
    killed = run(*line, env={**service_settings, "CRASH_AT": f"change.attention.retry.commit.{moment}"})
    assert killed.returncode == -signal.SIGKILL
    replayed = done(run(*line, "--json", env=service_settings))
    assert replayed == AttentionResult.model_validate(replayed).model_dump(mode="json")
    if moment == "before":
        assert replayed["payment_id"] == str(payment_id("default", "o-1", 1))
    assert rows(env, "SELECT order_id, amount FROM payments") == [("o-1", 1990)]
    assert rows(env, "SELECT count(*) FROM operations") == [(1,)]
    assert [one["id"] for one in done(run("attention", "list", "--json", env=env))["data"]] == [str(HOOK), str(EVIL)]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("show", NOBODY), 4, "Nothing that needs attention has this id"),
        (("retry", NOBODY), 4, "Nothing that needs attention has this id"),
        (("retry", str(GOOD), "--yes"), 1, "It is rejected again (too_old)"),
        (("retry", str(EVIL)), 1, "It is rejected again (binary_format)"),
        (("retry", str(HOOK)), 1, "The provider that sent it is not configured"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_impossible_requests_fail_with_one_line(
    env: dict[str, str], service_settings: dict[str, str], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    assert_fails(run("attention", *arguments, env=service_settings), code, sentence)
    assert rows(env, "SELECT count(*) FROM audit") == [(0,)]


def test_a_replayed_order_requires_the_settings_of_the_service(
    env: dict[str, str], service_settings: dict[str, str]
) -> None:
    """With DB_DSN alone, defaults would apply to the order: immediate capture, by card."""
    line = ("attention", "retry", str(GOOD), "--any-age")
    assert_fails(run(*line, "--yes", env=env), 2, "An order from quarantine uses the service's settings")
    assert_fails(run(*line, env=service_settings), 2, "use --yes")
    of_service = {
        **service_settings,
        "CAPTURE_METHOD": "manual",
        "PAYMENT_EXPIRES_AFTER": "PT0S",
        "STRIPE_PAYMENT_METHODS": "card,link",
    }
    no = run_on_terminal(*line, answer="n\n", env=of_service)
    asked = "Accept order o-1 of 19.90 eur, paid by stripe, captured on request, without expiry?"
    assert (no.returncode, asked in no.stderr) == (1, True), no.stderr
    assert rows(env, "SELECT count(*) FROM payments") == [(0,)]
    assert run_on_terminal(*line, answer="y\n", env=of_service).returncode == 0
    assert rows(env, "SELECT capture_method, expires_at FROM payments") == [("manual", None)]
    [(body,)] = rows(env, "SELECT request_body FROM operations")
    assert all(word in body for word in ("capture_method=manual", "=card", "=link"))
    again = done(run(*line, "--json", env=env))
    assert again["done"] == "accepted_before", "a repeated replay needs no settings"
