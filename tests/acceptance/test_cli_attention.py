"""`attention` as an operator runs it, with a real database and nothing else: list, show, retry, resolve, and refusals."""

from __future__ import annotations

import signal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from payment_service.contracts.operators import AttentionDetail, AttentionList, AttentionResult
from payment_service.domain.ids import payment_id
from tests.support.command import assert_fails, done, key_shown, run

pytestmark = pytest.mark.timeout(300)

PAYMENT = payment_id("default", "o-1", 1)
OPERATION = "00000000-0000-4000-8000-000000000001"
ROW = "00000000-0000-4000-8000-000000000002"
NOBODY = "00000000-0000-4000-8000-000000000000"
SETUP = (
    """
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
INSERT INTO quarantine (id, source, record_topic, record_partition, record_offset, reason, detail, created_at)
VALUES ('ROW_ID', 'kafka', 'orders.created', 0, 7, 'not_json', 'line 1', now() - interval '2 days');
""".replace("PAYMENT_ID", str(PAYMENT))
    .replace("OPERATION_ID", OPERATION)
    .replace("ROW_ID", ROW)
)

MORE = """
INSERT INTO quarantine (id, source, record_topic, reason, detail)
SELECT gen_random_uuid(), 'kafka', 'orders.created', 'not_json', '' FROM generate_series(1, 3)
"""


@pytest.fixture
def env(database_dsn: str, service_dsn: str) -> dict[str, str]:
    with psycopg.connect(database_dsn) as connection:
        connection.execute(SETUP.encode())
    return {"DB_DSN": service_dsn}


def rows(env: dict[str, str], sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(env["DB_DSN"]) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_every_item_is_listed_with_the_id_that_retries_it(env: dict[str, str]) -> None:
    listed = done(run("attention", "list", "--json", env=env))
    assert listed == AttentionList.model_validate(listed).model_dump(mode="json")
    assert [(one["what"], one["id"]) for one in listed["data"]] == [
        ("operation", OPERATION),
        ("event", "evt_1"),
        ("record", str(PAYMENT)),
        ("quarantine", ROW),
    ]
    assert {UUID(one["payment_id"]) for one in listed["data"] if one["what"] != "quarantine"} == {PAYMENT}
    filters = {
        ("--what", "event"): ["evt_1"],
        ("--reason", "not_json"): [ROW],
        ("--since", "1d", "--what", "quarantine"): [],
    }
    for words, expected in filters.items():
        found = done(run("attention", "list", *words, "--json", env=env))
        assert [one["id"] for one in found["data"]] == expected, words
    text = run("attention", "list", env=env)
    assert all(word in text.stdout for word in (OPERATION, "evt_1", "MSG_SIZE_TOO_LARGE", "req_1"))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_retry_killed_at_its_commit_takes_effect_once_when_repeated(env: dict[str, str], moment: str) -> None:
    crash = {**env, "CRASH_AT": f"change.attention.retry.commit.{moment}"}
    killed = run("attention", "retry", OPERATION, "--yes", "--key", "case-17", env=crash)
    assert killed.returncode == -signal.SIGKILL
    released = done(run("attention", "retry", OPERATION, "--yes", "--key", "case-17", "--json", env=env))
    assert released == AttentionResult.model_validate(released).model_dump(mode="json")
    assert released["done"] == "read_first"
    assert rows(env, "SELECT state, resolving, epoch FROM operations") == [("due", True, 1)]
    assert rows(env, "SELECT action, payment_id FROM audit") == [("attention.retry", PAYMENT)]


def test_no_kind_hides_another_in_a_limited_list(env: dict[str, str]) -> None:
    with psycopg.connect(env["DB_DSN"]) as connection:
        connection.execute(MORE.encode())
    listed = done(run("attention", "list", "--limit", "2", "--json", env=env))
    assert [one["what"] for one in listed["data"]] == ["operation", "event", "record", "quarantine", "quarantine"]
    assert (listed["data"][3]["id"], listed["has_more"]) == (ROW, True), "the oldest is first"
    text = run("attention", "list", "--limit", "2", env=env)
    assert "More items exist" in text.stderr


def test_each_kind_of_item_is_shown_by_its_id(env: dict[str, str]) -> None:
    for name, what in (
        (OPERATION, "operation"),
        ("stripe:evt_1", "event"),
        (str(PAYMENT), "record"),
        (ROW, "quarantine"),
    ):
        shown = done(run("attention", "show", name, "--json", env=env))
        assert shown == AttentionDetail.model_validate(shown).model_dump(mode="json")
        assert (shown["what"], shown["content"] is not None) == (what, what == "quarantine")
    assert f"payment-service show {PAYMENT}" in run("attention", "show", OPERATION, env=env).stderr


def test_a_parked_dead_letter_and_its_record_are_told_apart(env: dict[str, str]) -> None:
    """The dead letter of a quarantined record has the id of its row."""
    with psycopg.connect(env["DB_DSN"]) as connection:
        connection.execute(
            "INSERT INTO parked_aggregates (aggregateid, position, reason) VALUES (%s, 2, 'TOO_LARGE')", (ROW,)
        )
    for command in (("show", ROW), ("retry", ROW, "--yes")):
        assert_fails(run("attention", *command, env=env), 1, f"use one of record:{ROW}, quarantine:{ROW}.")
    assert done(run("attention", "show", f"record:{ROW}", "--json", env=env))["reason"] == "TOO_LARGE"
    assert done(run("attention", "retry", f"record:{ROW}", "--yes", "--json", env=env))["done"] == "tried_again"
    assert done(run("attention", "show", ROW, "--json", env=env))["what"] == "quarantine"


def test_each_kind_of_item_is_released_once(env: dict[str, str]) -> None:
    first = run("attention", "resolve", OPERATION, "--never", "--note", "not there, case 17", "--yes", env=env)
    assert first.returncode == 0, first.stderr
    assert key_shown(first)
    assert (
        run(
            "attention", "resolve", "evt_1", "--close", "--note", "refunded in the dashboard", "--yes", env=env
        ).returncode
        == 0
    )
    assert run("attention", "retry", str(PAYMENT), "--yes", env=env).returncode == 0
    closed = run("attention", "resolve", ROW, "--close", "--note", "sent again", "--yes", "--json", env=env)
    assert done(closed)["done"] == "closed"
    twice = run("attention", "resolve", ROW, "--close", "--note", "sent again", "--yes", env=env)
    assert_fails(twice, 1, "needs no attention any more")
    again = run("attention", "resolve", OPERATION, "--never", "--note", "not there, case 17", "--yes", env=env)
    assert_fails(again, 1, "needs no attention any more")
    assert rows(env, "SELECT status FROM payments") == [("failed",)]
    notes = rows(env, "SELECT action, detail ->> 'note' FROM audit ORDER BY id")
    assert notes == [
        ("attention.resolve", "not there, case 17"),
        ("attention.resolve", "refunded in the dashboard"),
        ("attention.retry", None),
        ("attention.resolve", "sent again"),
    ]
    empty = run("attention", "list", env=env)
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "Nothing needs attention.\n")


def test_an_open_difference_is_listed_shown_and_closed(env: dict[str, str]) -> None:
    name = "orphan_charge:ch_1"
    with psycopg.connect(env["DB_DSN"]) as connection:
        connection.execute(
            "INSERT INTO differences (code, subject, sides, detail, occurred_at) VALUES ('orphan_charge', 'ch_1', 'provider', 'x', now())"
        )
    [listed] = done(run("attention", "list", "--what", "difference", "--json", env=env))["data"]
    assert (listed["id"], listed["reason"]) == (name, "orphan_charge")
    assert done(run("attention", "show", name, "--json", env=env))["what"] == "difference"
    assert_fails(run("attention", "retry", name, "--yes", env=env), 1, "payment-service reconcile")
    close = ("attention", "resolve", name, "--close", "--note", "of another shop", "--yes")
    assert run(*close, env=env).returncode == 0
    assert_fails(run(*close, env=env), 4, "Nothing that needs attention")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("retry", OPERATION), 2, "use --yes"),
        (("retry", NOBODY, "--yes"), 4, "Nothing that needs attention has this id"),
        (("retry", "evt_\x1b[31m", "--yes"), 4, "Nothing that needs attention has this id"),
        (("resolve", OPERATION, "--note", "x", "--yes"), 2, "Use one of"),
        (("resolve", OPERATION, "--never", "--close", "--note", "x", "--yes"), 2, "Use one of"),
        (("resolve", OPERATION, "--never", "--note", " ", "--yes"), 2, "--note takes"),
        (("resolve", OPERATION, "--never", "--note", "a\nb", "--yes"), 2, "--note takes"),
        (("resolve", OPERATION, "--happened", "re 1", "--note", "x", "--yes"), 2, "--happened takes"),
        (("resolve", OPERATION, "--happened", "pi_1", "--note", "x", "--yes"), 1, "Retry it instead"),
        (("resolve", "evt_1", "--never", "--note", "x", "--yes"), 1, "--close for everything else"),
        (("retry", "evt_1", "--any-age", "--yes"), 2, "only for an order in quarantine"),
        (("resolve", ROW, "--never", "--note", "x", "--yes"), 1, "--close for everything else"),
        (("show", NOBODY), 4, "Nothing that needs attention has this id"),
        (("list", "--since", "tomorrow"), 2, "--since takes"),
        (("resolve", str(PAYMENT), "--never", "--note", "x", "--yes"), 1, "cannot be skipped"),
        (("list", "--what", "cake"), 2, "--what takes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_impossible_requests_fail_with_one_line(
    env: dict[str, str], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    assert_fails(run("attention", *arguments, env=env), code, sentence)
    assert rows(env, "SELECT count(*) FROM audit") == [(0,)]
