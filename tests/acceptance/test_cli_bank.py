"""`bank`: statements and confirmations on the command line, as a clerk and a nightly job use them."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from stdnum import iso11649

from payment_service.bank_transfer.contracts import Statement
from tests.support.bank import IBAN, open_bank, reference
from tests.support.command import NOWHERE, assert_fails, done, run
from tests.support.eventually import eventually
from tests.support.flows import name_of
from tests.support.kafka import Topics
from tests.support.service import StartService
from tests.support.shop import ask

TODAY = date.today().isoformat()  # noqa: DTZ011 - a booking has a day and no clock
HEADER = "booking_date,amount,currency,reference,transaction_id"


@pytest.fixture
def env(database_dsn: str, service_dsn: str) -> dict[str, str]:
    """Three orders of 19.90 eur, o-1 to o-3, are ready to be paid."""

    async def ask() -> None:
        async with open_bank(database_dsn) as bank:
            await bank.create_payments("o-1", "o-2", "o-3")

    asyncio.run(ask())
    return {
        "DB_DSN": service_dsn,
        "PROVIDERS": "bank_transfer",
        "BANK_TRANSFER_IBAN": "DE89 3704 0044 0532 0130 00",
        "BANK_TRANSFER_HOLDER": "Shop Ltd",
    }


@pytest.fixture
def statement(tmp_path: Path) -> Callable[[Iterable[str]], str]:
    def write(lines: Iterable[str]) -> str:
        path = tmp_path / "statement.csv"
        path.write_text("\n".join([HEADER, *lines, ""]))
        return str(path)

    return write


async def process_batches(dsn: str) -> None:
    """Run the service until all due calls are made."""
    async with open_bank(dsn) as bank:
        await bank.flows.run_calls()


def statuses(dsn: str) -> dict[str, str]:
    with psycopg.connect(dsn) as connection:
        return dict(connection.execute("SELECT order_id, status FROM payments").fetchall())


def results(result: Any) -> list[tuple[int, str]]:
    document = json.loads(result.stdout)
    assert Statement.model_validate(document)
    return [(line["line"], line["result"]) for line in document["data"]]


def test_a_statement_reports_every_line_and_can_be_imported_again(
    env: dict[str, str], statement: Callable[[Iterable[str]], str]
) -> None:
    path = statement(
        [
            f"{TODAY},19.90,EUR,{iso11649.format(reference('o-1'))},t-1",
            f"{TODAY},19.90,EUR,{reference('o-2').lower()},",
            f"{TODAY},10.00,EUR,{reference('o-2')},t-3",
            f"{TODAY},-5.00,EUR,rent,t-4",
            f"{TODAY},7.00,EUR,a gift,t-5",
            f"{TODAY},19.90,EUR,Order o-3 {reference('o-3')},t-6",
        ]
    )
    first = run("bank", "import", path, "--json", env=env)
    assert first.returncode == 1
    assert results(first) == [(2, "paid"), (3, "bad"), (4, "parked"), (5, "outgoing"), (6, "unmatched"), (7, "paid")]
    assert statuses(env["DB_DSN"]) == {"o-1": "succeeded", "o-2": "pending", "o-3": "succeeded"}
    again = run("bank", "import", path, "--json", env=env)
    assert results(again) == [(2, "known"), (3, "bad"), (4, "known"), (5, "outgoing"), (6, "known"), (7, "known")]
    assert statuses(env["DB_DSN"]) == {"o-1": "succeeded", "o-2": "pending", "o-3": "succeeded"}


def test_the_table_shows_lines_that_need_attention_and_a_summary(
    env: dict[str, str], statement: Callable[[Iterable[str]], str]
) -> None:
    path = statement([f"{TODAY},19.90,EUR,{reference('o-1')},t-1", f"{TODAY},1.00,EUR,\x1b[31mred,t-2"])
    result = run("bank", "import", path, env=env)
    assert (result.returncode, "1 paid, 1 unmatched" in result.stderr) == (0, True)
    assert "t-2" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_transfer_is_confirmed_once_by_order_reference_or_payment(env: dict[str, str]) -> None:
    line = done(run("bank", "confirm", "o-1", "--transaction", "bank-7", "--json", env=env))
    assert (line["result"], line["payment_id"]) == ("paid", str(name_of("o-1")))
    assert (
        done(run("bank", "confirm", reference("o-1"), "--transaction", "bank-7", "--json", env=env))["result"]
        == "known"
    )
    again = done(run("bank", "confirm", str(name_of("o-1")), "--transaction", "bank-8", "--json", env=env))
    assert (again["result"], again["reason"]) == ("parked", "it had been paid before")
    with psycopg.connect(env["DB_DSN"]) as connection:
        noted = connection.execute("SELECT client, action FROM audit ORDER BY id").fetchall()
    assert [action for _, action in noted] == ["bank.transfer"] * 2
    assert all(client.startswith("cli:") for client, _ in noted)


def test_unmatched_transfers_are_parked_until_confirmed_or_closed(
    env: dict[str, str], statement: Callable[[Iterable[str]], str]
) -> None:
    path = statement([f"{TODAY},19.90,EUR,for my shoes,t-1", f"{TODAY},3.00,EUR,\x1b[31mred,t-2"])
    assert results(run("bank", "import", path, "--json", env=env)) == [(2, "unmatched"), (3, "unmatched")]
    listed = done(run("attention", "list", "--what", "transfer", "--json", env=env))["data"]
    assert [(one["id"], one["subject"], one["reason"]) for one in listed] == [
        ("t-1", "19.90 eur", "no_reference"),
        ("t-2", "3.00 eur", "no_reference"),
    ]
    assert_fails(run("attention", "retry", "t-1", "--yes", env=env), 1, "bank confirm")
    line = done(run("bank", "confirm", "o-2", "--transaction", "t-1", "--json", env=env))
    assert (line["result"], line["payment_id"]) == ("paid", str(name_of("o-2")))
    assert statuses(env["DB_DSN"])["o-2"] == "succeeded"
    closed = run("attention", "resolve", "t-2", "--close", "--note", "transferred back", "--yes", env=env)
    assert closed.returncode == 0, closed.stderr
    assert done(run("attention", "list", "--json", env=env))["data"] == []
    assert results(run("bank", "import", path, "--json", env=env)) == [(2, "known"), (3, "known")]
    with psycopg.connect(env["DB_DSN"]) as connection:
        [noted] = connection.execute("SELECT detail ->> 'id' FROM audit WHERE action = 'attention.resolve'").fetchall()
    assert noted == ("t-2",)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("confirm", "o-9", "--transaction", "t-1"), 4, "No payment by bank transfer"),
        (("confirm", "o-1", "--transaction", "t 1"), 1, "transaction_id"),
        (("confirm", "o-1", "--transaction", "4000056655665556"), 1, "transaction_id"),
        (("confirm", "o-1", "--transaction", "t-1", "--amount", "1,00"), 1, "amount"),
        (("confirm", "o-1", "--transaction", "t-1", "--booked", "yesterday"), 1, "booking_date"),
        (("import", "/nowhere/statement.csv"), 1, "No such file"),
        (("import", "/dev/null"), 1, "The first line must name the columns"),
        (("refund", str(uuid4())), 2, "--made"),
        (("refund", str(uuid4()), "--made"), 4, "no refund with this id"),
        (("refund", str(uuid4()), "--failed", "Has moved!"), 2, "--failed takes one word"),
        (("refund", str(uuid4()), "--failed", "4000056655665556"), 2, "--failed takes one word"),
    ],
)
def test_impossible_requests_fail_with_one_line(
    env: dict[str, str], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    assert_fails(run("bank", *arguments, env=env), code, sentence)
    assert set(statuses(env["DB_DSN"]).values()) == {"pending"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"PROVIDERS": "stripe"}, "PROVIDERS does not contain bank_transfer"),
        ({"BANK_TRANSFER_IBAN": IBAN[:-1] + "1"}, "BANK_TRANSFER_IBAN must be"),
        ({"BANK_TRANSFER_IBAN": ""}, "BANK_TRANSFER_IBAN is not set"),
        ({"BANK_TRANSFER_HOLDER": " "}, "BANK_TRANSFER_HOLDER must be"),
        ({"BANK_TRANSFER_IBANN": "x"}, "Unknown variable BANK_TRANSFER_IBANN"),
    ],
)
def test_invalid_settings_are_named_in_one_line(env: dict[str, str], changes: dict[str, str], sentence: str) -> None:
    assert_fails(run("bank", "confirm", "o-1", "--transaction", "t", env=env | changes), 2, sentence)


def test_an_import_without_a_database_fails_with_one_line(
    env: dict[str, str], statement: Callable[[Iterable[str]], str]
) -> None:
    path = statement([f"{TODAY},19.90,EUR,{reference('o-1')},t-1"])
    assert_fails(run("bank", "import", path, env=env | {"DB_DSN": NOWHERE}), 1, "Cannot connect to PostgreSQL")


@pytest.mark.invariant("I9")
@pytest.mark.parametrize("point", ["transfer.commit.before", "transfer.commit.after"])
def test_an_import_killed_around_its_commit_can_be_repeated(
    env: dict[str, str], statement: Callable[[Iterable[str]], str], point: str
) -> None:
    path = statement(f"{TODAY},19.90,EUR,{reference(name)},{name}" for name in ("o-1", "o-2", "o-3"))
    killed = run("bank", "import", path, env=env | {"CRASH_AT": f"{point}:2"})
    assert (killed.returncode, f"crash point reached: {point}" in killed.stderr) == (-9, True)
    done(run("bank", "import", path, "--json", env=env))
    assert statuses(env["DB_DSN"]) == {"o-1": "succeeded", "o-2": "succeeded", "o-3": "succeeded"}
    with psycopg.connect(env["DB_DSN"]) as connection:
        published = connection.execute("SELECT count(*) FROM outbox WHERE type = 'payments.succeeded'").fetchone()
    assert published == (3,)


@pytest.mark.parametrize("point", ["transfer.commit.before", "transfer.commit.after"])
@pytest.mark.parametrize(("options", "sums"), [(("--made",), (500, 0)), (("--failed", "account_closed"), (0, 0))])
def test_a_refund_report_killed_around_its_commit_can_be_repeated(
    env: dict[str, str], database_dsn: str, point: str, options: tuple[str, ...], sums: tuple[int, int]
) -> None:
    done(run("bank", "confirm", "o-1", "--transaction", "t-1", "--json", env=env))
    refund_id = done(run("refund", "o-1", "5.00", "--yes", "--json", env=env))["id"]
    asyncio.run(process_batches(database_dsn))
    killed = run("bank", "refund", refund_id, *options, env=env | {"CRASH_AT": point})
    assert killed.returncode == -signal.SIGKILL
    assert f"crash point reached: {point}" in killed.stderr
    again = run("bank", "refund", refund_id, *options, env=env)
    assert again.returncode == 0, again.stderr
    with psycopg.connect(env["DB_DSN"]) as connection:
        row = connection.execute("SELECT refunded, reserved FROM payments WHERE order_id = 'o-1'").fetchone()
        noted = connection.execute("SELECT count(*) FROM audit WHERE action = 'bank.refund'").fetchone()
    assert (row, noted) == (sums, (1,))


@pytest.mark.kafka
def test_a_service_without_stripe_handles_a_bank_transfer_end_to_end(
    start_service: StartService,
    topics: Topics,
    database_dsn: str,
    service_env: dict[str, str],
    statement: Callable[[Iterable[str]], str],
) -> None:
    bank = {
        "PROVIDERS": "bank_transfer",
        "BANK_TRANSFER_IBAN": IBAN,
        "BANK_TRANSFER_HOLDER": "Shop Ltd",
        "DB_DSN": database_dsn,
    }
    for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE"):
        del service_env[name]
    service = start_service(**bank)
    topics.produce([{"order_id": "o-1", "total": "19.90", "currency": "EUR"}])
    key = run("keys", "create", "--scope", "admin", env=bank).stdout.strip()
    page = f"{service.url}/v1/checkout?order_id=o-1"
    headers = {"Authorization": f"Bearer {key}"}
    eventually(lambda: ask(page, None, headers)[0] == 200)
    pay = json.loads(ask(page, None, headers)[1])["pay"]
    assert (pay["iban"], pay["account_holder"], pay["reference"]) == (IBAN, "Shop Ltd", reference("o-1"))
    done(run("bank", "import", statement([f"{TODAY},19.90,EUR,{pay['reference']},t-1"]), "--json", env=bank))
    [value] = [record.json() for record in topics.read_count(1, topics=["payments.succeeded"])]
    assert (value["order_id"], value["amount"], value["payment_method"]) == ("o-1", "19.90", "bank_transfer")
    assert ask(f"{service.url}/webhooks/bank_transfer", b"{}", {"Content-Type": "application/json"})[0] == 404
