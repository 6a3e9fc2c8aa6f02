"""A provider of another package brings its own settings, tables, privileges, items that need attention, and commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.command import assert_fails, done, run

# Each command imports for seconds on a busy machine.
pytestmark = pytest.mark.timeout(240)

MODULES = Path(__file__).parents[1] / "support" / "plugins"


def install(folder: Path, entry_points: str) -> None:
    """Install a distribution that consists of entry points."""
    metadata = folder / "extra-1.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text(entry_points)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1\n")


@pytest.fixture
def env(tmp_path: Path, database_dsn: str) -> dict[str, str]:
    """Return the environment of a database that was migrated before the provider was installed."""
    install(
        tmp_path,
        "[payment_service.providers]\nreceipts = receipts:PLUGIN\n[payment_service.commands]\nreceipts = receipts:group\n",
    )
    return {"PYTHONPATH": f"{tmp_path}:{MODULES}", "DB_DSN": database_dsn}


def query(env: dict[str, str], statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(env["DB_DSN"]) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_migrate_creates_the_tables_of_an_installed_provider_once(env: dict[str, str]) -> None:
    sentence = "The database lacks tables of the installed provider receipts: run `payment-service migrate`."
    assert_fails(run("attention", "list", env=env), 3, sentence)
    first = run("migrate", env=env)
    assert first.returncode == 0, first.stderr
    assert [line for line in first.stdout.splitlines() if "receipts" in line] == [
        "tables of the provider receipts migrated to revision 1",
        "tables of the provider receipts migrated to revision 2",
    ]
    query(env, "INSERT INTO receipts (name) VALUES ('r-1')")
    assert "receipts" not in run("migrate", env=env).stdout
    assert query(env, "SELECT name, shop FROM receipts") == [("r-1", "shop")]
    query(env, "UPDATE provider_schemas SET revision = 3 WHERE provider = 'receipts'")
    assert run("attention", "list", env=env).returncode == 0, "an older version of the package works on newer tables"


def test_the_printed_sql_creates_the_tables_of_a_provider(env: dict[str, str], empty_database_dsn: str) -> None:
    printed = run("migrate", "--sql", env=env).stdout
    with psycopg.connect(empty_database_dsn, autocommit=True) as connection:
        connection.execute(printed.encode())
    again = run("migrate", env={**env, "DB_DSN": empty_database_dsn})
    assert again.stdout.startswith("schema is at revision 1\ncreated payment_events_"), again.stderr
    assert "GRANT SELECT, DELETE ON receipts TO payments_service;" in run("migrate", "--roles", env=env).stdout


def test_an_operator_handles_the_items_of_a_provider(env: dict[str, str]) -> None:
    assert run("migrate", env=env).returncode == 0
    query(env, "INSERT INTO receipts (name) VALUES ('r-1'), ('torn')")
    [found, _] = done(run("attention", "list", "--what", "receipt", "--json", env=env))["data"]
    assert {found[name] for name in ("what", "id", "reason", "detail")} == {"receipt", "r-1", "unread", "100%"}
    assert_fails(
        run("attention", "list", "--what", "letter", env=env),
        2,
        "operation, event, record, quarantine, difference, transfer, receipt",
    )
    assert done(run("attention", "retry", "r-1", "--yes", "--json", env=env))["done"] == "tried_again"
    assert_fails(run("attention", "retry", "torn", "--yes", env=env), 1, "A torn receipt cannot be read: close it.")
    resolve = ("attention", "resolve", "shop:torn", "--note", "read it elsewhere", "--yes", "--json")
    assert_fails(run(*resolve, "--never", env=env), 1, "--close for everything else")
    assert done(run(*resolve, "--close", env=env))["done"] == "closed"
    assert query(env, "SELECT count(*) FROM receipts") == [(0,)]
    assert query(env, "SELECT detail ->> 'id' FROM audit ORDER BY id") == [("r-1",), ("torn",)]


def test_a_provider_adds_commands_with_its_own_settings(env: dict[str, str]) -> None:
    assert "receipts" in run("--help", env=env).stdout
    assert run("receipts", "shop", env={**env, "RECEIPTS_SHOP": "north"}).stdout == "north\n"
    unknown = run("receipts", "shop", env={**env, "RECEIPTS_SHOPP": "north"})
    assert_fails(unknown, 2, "Unknown variable RECEIPTS_SHOPP")


def test_a_provider_that_cannot_be_loaded_stops_no_command(tmp_path: Path, database_dsn: str) -> None:
    """Only PROVIDERS makes a provider necessary."""
    install(
        tmp_path,
        "[payment_service.providers]\nbroken = broken_provider:PLUGIN\n"
        "[payment_service.commands]\nbroken = broken_provider:group\n",
    )
    (tmp_path / "broken_provider.py").write_text("1 / 0\n")
    env = {"PYTHONPATH": str(tmp_path), "DB_DSN": database_dsn}
    result = run("migrate", env=env)
    assert (result.returncode, "Traceback" in result.stderr) == (0, False), result.stderr
    assert "The commands of broken_provider:group cannot be loaded: ZeroDivisionError" in result.stderr
    assert "The payment provider broken cannot be loaded" in result.stderr
    assert run("attention", "list", env=env).returncode == 0
