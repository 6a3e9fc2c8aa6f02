"""`show`, `keys`, shell completion, and output that is safe for terminals."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from payment_service.contracts.operators import ApiKeys, Cases
from payment_service.domain.ids import payment_id
from tests.support.command import COMMAND, NOWHERE, assert_fails, done, key_shown, run

NOBODY = "00000000-0000-4000-8000-000000000000"
INSERT_PAYMENT = """
INSERT INTO payments (id, order_id, provider, provider_payment_id, amount, currency, captured, status, order_topic, order_partition,
                      order_offset) VALUES (%s, %s, 'stripe', 'pi_1', 1990, 'eur', 1990, 'succeeded', 'orders.created', 0, 0)
"""
INSERT_EVENT = """
INSERT INTO payment_events (payment_id, event_type, provider, provider_event_id, payload, processed, result, verified_by, verified_at,
                            occurred_at) VALUES (%s, 'charge.succeeded', 'stripe', 'evt_1', '{}', false, %s, 'secret-1', now(), now())
"""


@contextmanager
def database(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def payment(database_dsn: str) -> UUID:
    name = payment_id("default", "o-1", 1)
    with database(database_dsn) as connection:
        connection.execute(INSERT_PAYMENT, (name, "o-1"))
    return name


def test_a_payment_is_found_by_its_id_and_by_its_order_id(database_dsn: str, payment: UUID) -> None:
    env = {"DB_DSN": database_dsn}
    by_order, by_id = done(run("show", "o-1", "--json", env=env)), done(run("show", str(payment), "--json", env=env))
    assert by_order == by_id == Cases.model_validate(by_id).model_dump(mode="json")
    [case] = by_id["data"]
    assert (case["payment"]["id"], case["payment"]["amount_captured"]) == (str(payment), "19.90")
    text = run("show", "o-1", env=env)
    assert (text.returncode, text.stderr) == (0, "")
    assert "19.90" in text.stdout


def test_an_order_id_in_the_form_of_a_payment_id_is_found(database_dsn: str) -> None:
    order = str(uuid4())
    with database(database_dsn) as connection:
        connection.execute(INSERT_PAYMENT, (payment_id("default", order, 1), order))
    [case] = done(run("show", order, "--json", env={"DB_DSN": database_dsn}))["data"]
    assert case["payment"]["order_id"] == order


@pytest.mark.parametrize("name", ["o-2", NOBODY, "", " ", "ö", "x" * 5000, "a\x1b[31mb", "'; DROP TABLE payments"])
def test_an_unknown_payment_or_order_exits_with_4_and_one_line(database_dsn: str, name: str) -> None:
    assert_fails(run("show", name, env={"DB_DSN": database_dsn}), 4, "No payment and no order")


def test_show_escapes_control_characters(database_dsn: str, payment: UUID) -> None:
    """Escape sequences, C1 controls, DEL, and characters that reverse text must never reach a terminal."""
    evil = "\x1b]0;owned\x07\x9b31m\x7f\u202e[red]x[/red]"
    with database(database_dsn) as connection:
        connection.execute(INSERT_EVENT, (payment, evil))
    env = {"DB_DSN": database_dsn}
    text, document = run("show", "o-1", env=env), run("show", "o-1", "--json", env=env)
    for shown in (text.stdout, document.stdout):
        assert not set("\x1b\x07\x9b\x7f\u202e") & set(shown)
    assert "\\x1b]0;owned\\x07\\x9b31m\\x7f\\u202e[red]x[/red]" in text.stdout
    assert [entry["result"] for entry in done(document)["data"][0]["timeline"] if entry["kind"] == "webhook"] == [evil]


def test_keys_are_listed_without_secrets_and_revoked_once(database_dsn: str) -> None:
    env = {"DB_DSN": database_dsn}
    secret = run("keys", "create", "--client", "shop", "--scope", "read", env=env).stdout.strip()
    listed = run("keys", "list", "--json", env=env)
    assert secret not in listed.stdout
    [key] = done(listed)["data"]
    assert done(listed) == ApiKeys.model_validate(done(listed)).model_dump(mode="json")
    assert (key["client"], key["scopes"], key["revoked_at"]) == ("shop", ["read"], None)
    assert secret.startswith(key["prefix"])

    first = run("keys", "revoke", key["id"], "--json", env=env)
    again = run("keys", "revoke", key["id"], "--json", "--key", key_shown(first), env=env)
    later = run("keys", "revoke", "--client", "shop", "--json", env=env)
    assert done(first)["data"][0]["revoked_at"] is not None
    assert done(first) == done(again) == done(later)
    assert done(run("keys", "list", "--json", env=env))["data"] == []
    assert [one["id"] for one in done(run("keys", "list", "--all", "--json", env=env))["data"]] == [key["id"]]
    with database(database_dsn) as connection:
        rows = connection.execute("SELECT client, action FROM audit ORDER BY id").fetchall()
    assert [action for _, action in rows] == ["keys.create", "keys.revoke", "keys.revoke"]
    assert all(client.startswith("cli:") and len(client) > len("cli:") for client, _ in rows)


def test_a_key_with_limits_is_rotated(database_dsn: str) -> None:
    """The new key has the client, the limits and the lifetime of the old one, which ends after the overlap."""
    env = {"DB_DSN": database_dsn}
    options = ["--expires", "90d", "--network", "10.0.1.0/24", "--requests-per-second", "20", "--refunds-per-day", "50"]
    options += [
        "--refund-amount-per-day",
        "eur:500.00",
        "--refund-amount-per-day",
        "jpy:9000",
        "--refund-amount-max",
        "eur:99.5",
    ]
    secret = run("keys", "create", "--client", "shop", "--scope", "refund", *options, env=env).stdout.strip()
    [old] = done(run("keys", "list", "--json", env=env))["data"]
    assert (old["networks"], old["requests_per_second"], old["refunds_per_day"]) == (["10.0.1.0/24"], 20, 50)
    assert (old["refund_amounts_per_day"], old["refund_amounts_max"]) == ({"eur": 50_000, "jpy": 9_000}, {"eur": 9_950})

    rotated = run("keys", "rotate", old["id"], "--overlap", "2h", env=env)
    assert (rotated.returncode, rotated.stdout[:4]) == (0, "psk_")
    assert "The old key of shop works until" in rotated.stderr
    assert rotated.stdout.strip() != secret
    first, second = done(run("keys", "list", "--json", env=env))["data"]
    same = ("client", "scopes", "networks", "requests_per_second", "refunds_per_day", "refund_amounts_max")
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
    assert first["expires_at"] < old["expires_at"] <= second["expires_at"]
    with database(database_dsn) as connection:
        audited = connection.execute("SELECT action, detail ->> 'id' FROM audit ORDER BY id").fetchall()
    assert audited == [("keys.create", None), ("keys.rotate", old["id"])]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("keys", "create", "--scope", "read", "--expires", "soon"), 2, "--expires takes a duration"),
        (("keys", "create", "--scope", "read", "--network", "10.0.0.1/8"), 2, "--network takes"),
        (
            ("keys", "create", "--scope", "read", "--refund-amount-max", "500"),
            2,
            "--refund-amount-max takes a currency",
        ),
        (
            ("keys", "create", "--scope", "read", "--refund-amount-per-day", "eur:1,5"),
            2,
            "takes a currency and an amount",
        ),
        (("keys", "rotate", NOBODY), 4, "No such key exists"),
        (("keys", "rotate", NOBODY, "--overlap", "1 day"), 2, "--overlap takes a duration"),
        (("keys", "revoke", NOBODY), 4, "No such key exists"),
        (("keys", "revoke", "--client", "nobody"), 4, "No such key exists"),
        (("keys", "revoke"), 2, "Give either"),
        (("keys", "revoke", NOBODY, "--client", "shop"), 2, "Give either"),
        (("keys", "revoke", "--client", "shop", "--key", "two words"), 2, "--key takes"),
        (("keys", "create", "--scope", "read", "--client", "cli"), 2, "uses these names itself"),
        (("keys", "create", "--scope", "read", "--client", "system:x"), 2, "uses these names itself"),
        (("keys", "create", "--scope", "read", "--client", ""), 2, "1 to 64 printable"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_impossible_key_requests_fail_with_one_line(
    database_dsn: str, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    assert_fails(run(*arguments, env={"DB_DSN": database_dsn}), code, sentence)


READING = [("show", "o-1"), ("keys", "list"), ("keys", "revoke", "--client", "a")]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_show_and_keys_need_only_the_database(empty_database_dsn: str, arguments: tuple[str, ...]) -> None:
    assert_fails(run(*arguments), 2, "DB_DSN is not set")
    assert_fails(run(*arguments, env={"DB_DSN": NOWHERE}), 1, "Cannot connect to PostgreSQL")
    assert_fails(run(*arguments, env={"DB_DSN": empty_database_dsn}), 3, "run `payment-service migrate`")


def complete(words: str) -> set[str]:
    """Return the completions that bash would offer, by the script of `--install-completion`."""
    script = f"""
        eval "$(_PAYMENT_SERVICE_COMPLETE=source_bash {COMMAND})"
        COMP_WORDS=({words}) COMP_CWORD={len(words.split()) - 1}
        _payment_service_completion {COMMAND}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    shell = ["bash", "--norc", "--noprofile", "-c", script]
    return set(subprocess.run(shell, capture_output=True, text=True, check=True, timeout=50).stdout.split())


def test_bash_completes_commands_and_options() -> None:
    assert complete(f"{COMMAND} sh") == {"show"}
    assert {"create", "list", "revoke"} <= complete(f"{COMMAND} keys ''")
    assert complete(f"{COMMAND} keys revoke --cl") == {"--client"}
