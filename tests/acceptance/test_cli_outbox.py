"""`outbox` as an operator runs it, with a real database and nothing else."""

from __future__ import annotations

import signal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from payment_service.contracts.operators import OutboxStatus, Republished
from tests.support.command import assert_fails, done, key_shown, run

pytestmark = pytest.mark.timeout(300)

WRITE = """
INSERT INTO outbox (id, aggregatetype, aggregateid, sequence, type, headers)
SELECT gen_random_uuid(), 'payment', %s, n, 'payments.initiated', '[]' FROM generate_series(1, 3) n
"""


@pytest.fixture
def payment(database_dsn: str) -> UUID:
    """A payment with three published records."""
    name = uuid4()
    with psycopg.connect(database_dsn) as connection:
        connection.execute(WRITE, (name,))
    return name


@pytest.fixture
def env(service_dsn: str, payment: UUID) -> dict[str, str]:
    return {"DB_DSN": service_dsn}


def rows(env: dict[str, str], sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(env["DB_DSN"]) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_status_shows_pending_records_and_the_leader(env: dict[str, str], payment: UUID) -> None:
    empty = done(run("outbox", "status", "--json", env=env))
    assert empty == OutboxStatus.model_validate(empty).model_dump(mode="json")
    assert (empty["pending"], empty["oldest_at"], empty["lag_s"], empty["leader"]) == (0, None, 0, None)
    with psycopg.connect(env["DB_DSN"]) as connection:
        connection.execute(
            "INSERT INTO outbox_pending SELECT position, aggregateid, now() - interval '1 h' FROM outbox"
        )
        connection.execute("INSERT INTO parked_aggregates VALUES (%s, 1, 'payments.initiated', 'REFUSED')", (payment,))
        connection.execute("UPDATE relay_lease SET holder = gen_random_uuid(), epoch = 7, expires_at = 'infinity'")
    status = done(run("outbox", "status", "--json", env=env))
    assert (status["pending"], status["lag_s"] >= 3600, status["lease_epoch"]) == (3, True, 7)
    assert status["leader"] is not None
    assert [(topic["topic"], topic["waiting"]) for topic in status["refusing_topics"]] == [("payments.initiated", 1)]
    assert "payments.initiated" in run("outbox", "status", env=env).stdout


def test_a_dry_run_counts_and_changes_nothing(env: dict[str, str], payment: UUID) -> None:
    counted = done(run("outbox", "republish", "--since", "1h", "--dry-run", "--json", env=env))
    assert counted == Republished(records=3, dry_run=True).model_dump(mode="json")
    assert rows(env, "SELECT (SELECT count(*) FROM outbox_pending), (SELECT count(*) FROM audit)") == [(0, 0)]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_republish_resumes_under_its_key(env: dict[str, str], payment: UUID, moment: str) -> None:
    line = ("outbox", "republish", "--since", "2020-01-01T00:00Z", "--payment", str(payment), "--key", "case-17")
    crash = {**env, "CRASH_AT": f"change.outbox.republish.commit.{moment}"}
    assert run(*line, env=crash).returncode == -signal.SIGKILL
    first, again = run(*line, "--json", env=env), run(*line, "--json", env=env)
    assert done(first) == done(again) == {"records": 3, "dry_run": False}
    assert key_shown(first) == "case-17"
    assert rows(env, "SELECT count(*), min(position) = (SELECT min(position) FROM outbox) FROM outbox_pending") == [
        (3, True)
    ]
    assert set(rows(env, "SELECT action, payment_id FROM audit")) == {("outbox.republish", payment)}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--since", "yesterday"), "--since takes"),
        (("--since", "2026-01-01T00:00"), "--since takes"),
        (("--since", "2999-01-01T00:00Z"), "--since takes"),
        (("--since", "999999d"), "--since takes"),
        (("--since", "1h", "--topic", "payments.cake"), "--topic takes"),
        (("--since", "1h", "--key", "a b"), "--key takes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_invalid_arguments_are_rejected_with_one_line(
    env: dict[str, str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert_fails(run("outbox", "republish", *arguments, env=env), 2, sentence)
