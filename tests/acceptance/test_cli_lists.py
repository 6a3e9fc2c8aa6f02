"""`search`, `open`, and the lists with their filters, cursors and CSV."""

from __future__ import annotations

import csv
import io
from typing import Any
from uuid import UUID

import psycopg
import pytest

from payment_service.contracts.api import AuditEntry, Dispute, Page, Payment, Refund, SearchResult
from payment_service.domain.ids import payment_id
from tests.support.command import assert_fails, done, run

INSERT_PAYMENT = """
INSERT INTO payments (id, order_id, user_id, provider, provider_payment_id, amount, currency, captured, status, order_topic, order_partition,
                      order_offset, created_at)
VALUES (%s, %s, %s, 'stripe', %s, 1990, 'eur', 1990, 'succeeded', 'orders.created', 0, 0, now() - %s * interval '1 h')
"""
FORMULA = '=HYPERLINK("https://evil.example","1,2")'


def insert(dsn: str, order_id: str, user_id: str = "user-1", hours_ago: int = 0) -> UUID:
    name = payment_id("default", order_id, 1)
    with psycopg.connect(dsn) as connection:
        connection.execute(INSERT_PAYMENT, (name, order_id, user_id, f"pi_{order_id}", hours_ago))
    return name


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def env(database_dsn: str) -> dict[str, str]:
    return {"DB_DSN": database_dsn}


def test_payments_are_listed_by_pages_and_filters(database_dsn: str, env: dict[str, str]) -> None:
    for number in range(3):
        insert(database_dsn, f"o-{number}", hours_ago=number)
    first = done(run("payments", "list", "--limit", "2", "--json", env=env))
    assert first == Page[Payment].model_validate(first).model_dump(mode="json")
    rest = done(run("payments", "list", "--limit", "2", "--json", "--cursor", first["next_cursor"], env=env))
    assert [one["order_id"] for one in first["data"] + rest["data"]] == ["o-0", "o-1", "o-2"]
    recent = done(
        run("payments", "list", "--since", "90m", "--user", "user-1", "--status", "succeeded", "--json", env=env)
    )
    assert [one["order_id"] for one in recent["data"]] == ["o-0", "o-1"]
    text = run("payments", "list", "--limit", "2", env=env)
    assert "o-0" in text.stdout
    assert f"--cursor {first['next_cursor']}" in text.stderr


def test_csv_has_all_rows_of_the_filter(database_dsn: str, env: dict[str, str]) -> None:
    """More than a page, in RFC 4180: lines end with CRLF."""
    for number in range(101):
        insert(database_dsn, f"o-{number}", hours_ago=number)
    exported = run("payments", "list", "--csv", "--status", "succeeded", env=env)
    assert exported.returncode == 0
    assert exported.stdout.count("\r\n") == 102
    rows = rows_of(exported.stdout)
    assert [row["order_id"] for row in rows] == [f"o-{number}" for number in range(101)]
    assert (rows[0]["amount"], rows[0]["payment_method.last4"]) == ("19.90", "")
    assert len(rows_of(run("payments", "list", "--csv", "--order", "o-7", env=env).stdout)) == 1


def test_a_formula_in_a_csv_is_text(database_dsn: str, env: dict[str, str]) -> None:
    insert(database_dsn, "o-1", user_id=FORMULA)
    [row] = rows_of(run("payments", "list", "--csv", env=env).stdout)
    assert row["user_id"] == f"'{FORMULA}"


@pytest.mark.parametrize(("name", "model"), [("refunds", Refund), ("disputes", Dispute), ("audit", AuditEntry)])
def test_every_list_can_be_empty(env: dict[str, str], name: str, model: Any) -> None:
    listed = done(run(name, "list", "--json", env=env))
    assert listed == Page[model](data=[], has_more=False, next_cursor=None).model_dump(mode="json")
    text = run(name, "list", env=env)
    assert (text.returncode, text.stdout) == (0, "")
    exported = run(name, "list", "--csv", env=env).stdout
    assert exported.startswith("id,")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("payments", "list", "--status", "paid"), "--status must be"),
        (("payments", "list", "--currency", "bitcoin"), "--currency must be"),
        (("payments", "list", "--cursor", "abc"), "cursor is not valid"),
        (("payments", "list", "--since", "tomorrow"), "--since takes a past time"),
        (("disputes", "list", "--to-answer", "--status", "lost"), "excludes other filters"),
        (("audit", "list", "--by", "cli:a", "--action", "refund"), "at most one"),
        (("audit", "list", "--payment", "7"), "--payment must be a UUID"),
    ],
)
def test_a_wrong_filter_is_refused_in_one_sentence(
    env: dict[str, str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert_fails(run(*arguments, env=env), 2, sentence)


def test_search_finds_a_payment_by_the_providers_id(database_dsn: str, env: dict[str, str]) -> None:
    name = insert(database_dsn, "o-1")
    found = done(run("search", "pi_o-1", "--json", env=env))
    assert found == SearchResult.model_validate(found).model_dump(mode="json")
    assert [hit["payment"]["id"] for hit in found["data"]] == [str(name)]
    assert "o-1" in run("search", "user-1", env=env).stdout
    nothing = run("search", "nobody", env=env)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "Nothing matches" in nothing.stderr


def test_open_prints_the_providers_page(database_dsn: str, env: dict[str, str]) -> None:
    """The sandbox has its own page. Without it, the page is in Stripe's Dashboard, in test mode unless the installation is live."""
    insert(database_dsn, "o-1")
    assert run("open", "o-1", env=env).stdout == "https://dashboard.stripe.com/test/payments/pi_o-1\n"
    sandbox = env | {"STRIPE_API_BASE": "http://127.0.0.1:12111"}
    assert run("open", "o-1", env=sandbox).stdout == "http://127.0.0.1:12111/payments/pi_o-1\n"
    assert_fails(run("open", "nobody", env=env), 4, "No payment and no order")
