"""The audit names the person at the command line, and why."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from payment_service.domain.ids import payment_id
from tests.support.command import assert_fails, done, run, run_on_terminal

INSERT_PAYMENT = """
INSERT INTO payments (id, order_id, provider, provider_payment_id, amount, currency, captured, status, order_topic, order_partition,
                      order_offset) VALUES (%s, 'o-1', 'stripe', 'pi_1', 1990, 'eur', 1990, 'succeeded', 'orders.created', 0, 0)
"""
# No variable names a person.
NOBODY = {"PAYMENT_SERVICE_AS": ""}


@pytest.fixture
def env(database_dsn: str) -> dict[str, str]:
    with psycopg.connect(database_dsn) as connection:
        connection.execute(INSERT_PAYMENT, (payment_id("default", "o-1", 1),))
    return {"DB_DSN": database_dsn}


def entries(env: dict[str, str], *filters: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = done(run("audit", "list", "--json", *filters, env=env))["data"]
    return found


def test_the_audit_and_the_timeline_show_who_and_why(env: dict[str, str]) -> None:
    made = run("refund", "o-1", "5.00", "--as", "ada", "--why", "ticket 4711", "--yes", env=env)
    assert made.returncode == 0, made.stderr
    [entry] = entries(env, "--by", "cli:ada")
    assert (entry["client"], entry["action"], entry["why"]) == ("cli:ada", "refund", "ticket 4711")
    assert "@" in entry["address"]
    assert entry["detail"]["amount"] == "5.00"
    [case] = done(run("show", "o-1", "--json", env=env))["data"]
    [request] = [one for one in case["timeline"] if one["kind"] == "request"]
    assert (request["client"], request["why"]) == ("cli:ada", "ticket 4711")
    assert request["text"].endswith("because: ticket 4711.")
    assert "ticket 4711" in run("audit", "list", "--payment", entry["payment_id"], env=env).stdout


def test_the_reason_is_no_part_of_the_request(env: dict[str, str]) -> None:
    """A colleague who repeats the command for another reason repeats the same refund."""
    first = done(run("refund", "o-1", "5.00", "--why", "ticket 1", "--yes", "--json", env=env))
    again = done(run("refund", "o-1", "5.00", "--as", "bob", "--why", "ticket 2", "--yes", "--json", env=env))
    assert first["id"] == again["id"]
    assert len(entries(env)) == 1


def test_the_variable_names_the_person_and_the_option_wins(env: dict[str, str]) -> None:
    named = env | {"PAYMENT_SERVICE_AS": "job@shop"}
    done(run("refund", "o-1", "5.00", "--yes", "--json", env=named))
    done(run("refund", "o-1", "6.00", "--as", "ada", "--yes", "--json", env=named))
    assert [entry["client"] for entry in entries(env)] == ["cli:ada", "cli:job@shop"]


def test_without_a_person_nothing_is_changed(env: dict[str, str]) -> None:
    """As in a container without a terminal, where all processes run under one account."""
    container = env | NOBODY | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert_fails(run("refund", "o-1", "--yes", env=container), 2, "use --as NAME, or set PAYMENT_SERVICE_AS")
    assert entries(env) == []


def test_a_terminal_asks_for_the_name(env: dict[str, str]) -> None:
    container = env | NOBODY | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    made = run_on_terminal("refund", "o-1", "--yes", answer="grace\n", env=container)
    assert made.returncode == 0, made.stderr
    assert "Your name, for the audit" in made.stderr
    assert [entry["client"] for entry in entries(env)] == ["cli:grace"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--as", "two words"), "--as takes a name"),
        (("--as", ""), "--as takes a name"),
        (("--as", "x" * 65), "--as takes a name"),
        (("--why", "4242 4242 4242 4242"), "--why takes one line"),
        (("--why", "two\nlines"), "--why takes one line"),
    ],
)
def test_a_wrong_name_or_reason_is_refused(env: dict[str, str], options: tuple[str, ...], sentence: str) -> None:
    assert_fails(run("refund", "o-1", "--yes", *options, env=env), 2, sentence)


def test_a_key_is_made_with_the_person_and_the_reason(database_dsn: str) -> None:
    env = {"DB_DSN": database_dsn}
    created = run("keys", "create", "--scope", "read", "--as", "ada", "--why", "new shop", env=env)
    assert created.returncode == 0
    [entry] = entries(env, "--action", "keys.create")
    assert (entry["client"], entry["why"]) == ("cli:ada", "new shop")
    assert created.stdout.strip() not in json.dumps(entry)
