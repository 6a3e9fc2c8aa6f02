"""`parked` as an operator runs it, with a real database and nothing else: list, retry, resolve, and refusals."""

from __future__ import annotations

import signal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from payment_service.contracts.operators import ParkedList, Released
from payment_service.domain.ids import payment_id
from tests.support.command import assert_fails, done, key_shown, run

pytestmark = pytest.mark.timeout(300)

PAYMENT = payment_id("default", "o-1", 1)
OPERATION = "00000000-0000-4000-8000-000000000001"
NOBODY = "00000000-0000-4000-8000-000000000000"
SETUP = """
INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset)
VALUES ('PAYMENT_ID', 'o-1', 'stripe', 1990, 'eur', 'orders.created', 0, 0);
INSERT INTO operations (id, payment_id, provider, kind, state, cause, request_method, request_path, request_body, api_version,
                        outcome, outcome_code, provider_request_id, attempt, tries)
VALUES ('OPERATION_ID', 'PAYMENT_ID', 'stripe', 'create', 'parked', 'order', 'POST', '/v1/payment_intents', '', '', 'unexpected',
        'parameter_unknown', 'req_1', 1, 1);
INSERT INTO payment_events (payment_id, event_type, provider, provider_event_id, payload, processed, result, parked_reason, verified_by,
                            verified_at, occurred_at)
VALUES ('PAYMENT_ID', 'charge.succeeded', 'stripe', 'evt_1', '{}', false, 'conflict', 'conflict', 'secret-1', now(), now());
INSERT INTO parked_aggregates (aggregateid, position, reason) VALUES ('PAYMENT_ID', 1, 'MSG_SIZE_TOO_LARGE');
""".replace("PAYMENT_ID", str(PAYMENT)).replace("OPERATION_ID", OPERATION)


@pytest.fixture
def env(database_dsn: str, service_dsn: str) -> dict[str, str]:
    with psycopg.connect(database_dsn) as connection:
        connection.execute(SETUP.encode())
    return {"DB_DSN": service_dsn}


def rows(env: dict[str, str], sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(env["DB_DSN"]) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_every_parked_item_is_listed_with_the_id_that_retries_it(env: dict[str, str]) -> None:
    listed = done(run("parked", "list", "--json", env=env))
    assert listed == ParkedList.model_validate(listed).model_dump(mode="json")
    assert [(one["what"], one["id"]) for one in listed["data"]] == [
        ("operation", OPERATION),
        ("event", "evt_1"),
        ("record", str(PAYMENT)),
    ]
    assert {UUID(one["payment_id"]) for one in listed["data"]} == {PAYMENT}
    assert [one["id"] for one in done(run("parked", "list", "--what", "event", "--json", env=env))["data"]] == ["evt_1"]
    assert done(run("parked", "list", "--limit", "1", "--json", env=env))["has_more"] is True
    text = run("parked", "list", env=env)
    assert all(word in text.stdout for word in (OPERATION, "evt_1", "MSG_SIZE_TOO_LARGE", "req_1"))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_retry_killed_at_its_commit_takes_effect_once_when_repeated(env: dict[str, str], moment: str) -> None:
    crash = {**env, "CRASH_AT": f"change.parked.retry.commit.{moment}"}
    killed = run("parked", "retry", OPERATION, "--yes", "--key", "case-17", env=crash)
    assert killed.returncode == -signal.SIGKILL
    released = done(run("parked", "retry", OPERATION, "--yes", "--key", "case-17", "--json", env=env))
    assert released == Released.model_validate(released).model_dump(mode="json")
    assert released["done"] == "read_first"
    assert rows(env, "SELECT state, resolving, epoch FROM operations") == [("due", True, 1)]
    assert rows(env, "SELECT action, payment_id FROM audit") == [("parked.retry", PAYMENT)]


def test_each_kind_of_item_is_released_once(env: dict[str, str]) -> None:
    first = run("parked", "resolve", OPERATION, "--never", "--note", "not there, case 17", "--yes", env=env)
    assert first.returncode == 0, first.stderr
    assert key_shown(first)
    assert (
        run("parked", "resolve", "evt_1", "--close", "--note", "refunded in the dashboard", "--yes", env=env).returncode
        == 0
    )
    assert run("parked", "retry", str(PAYMENT), "--yes", env=env).returncode == 0
    again = run("parked", "resolve", OPERATION, "--never", "--note", "not there, case 17", "--yes", env=env)
    assert_fails(again, 1, "not parked any more")
    assert rows(env, "SELECT status FROM payments") == [("failed",)]
    notes = rows(env, "SELECT action, detail ->> 'note' FROM audit ORDER BY id")
    assert notes == [
        ("parked.resolve", "not there, case 17"),
        ("parked.resolve", "refunded in the dashboard"),
        ("parked.retry", None),
    ]
    empty = run("parked", "list", env=env)
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "Nothing needs attention.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("retry", OPERATION), 2, "use --yes"),
        (("retry", NOBODY, "--yes"), 4, "No parked item has this id"),
        (("retry", "evt_\x1b[31m", "--yes"), 4, "No parked item has this id"),
        (("resolve", OPERATION, "--note", "x", "--yes"), 2, "Use one of"),
        (("resolve", OPERATION, "--never", "--close", "--note", "x", "--yes"), 2, "Use one of"),
        (("resolve", OPERATION, "--never", "--note", " ", "--yes"), 2, "--note takes"),
        (("resolve", OPERATION, "--never", "--note", "a\nb", "--yes"), 2, "--note takes"),
        (("resolve", OPERATION, "--happened", "re 1", "--note", "x", "--yes"), 2, "--happened takes"),
        (("resolve", OPERATION, "--happened", "pi_1", "--note", "x", "--yes"), 1, "Retry it instead"),
        (("resolve", "evt_1", "--never", "--note", "x", "--yes"), 1, "Use --close for an event or a transfer"),
        (("resolve", str(PAYMENT), "--never", "--note", "x", "--yes"), 1, "cannot be skipped"),
        (("list", "--what", "cake"), 2, "--what takes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_impossible_requests_fail_with_one_line(
    env: dict[str, str], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    assert_fails(run("parked", *arguments, env=env), code, sentence)
    assert rows(env, "SELECT count(*) FROM audit") == [(0,)]
