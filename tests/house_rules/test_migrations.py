"""Migrations run while the service serves: none rewrites or scans a table under a lock, and none removes anything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from payment_service.db import pool
from payment_service.db.lock_retries import LOCK_TIMEOUT_MS
from payment_service.db.migrate import MIGRATIONS
from tests.support.migrations import FOLDER as EXAMPLE

LINTER: Final = Path(sys.executable).with_name("squawk")
# The first revision creates every table, so nobody waits for it.
LATER: Final = sorted(
    path for folder in (MIGRATIONS, EXAMPLE) for path in folder.glob("*.sql") if not path.name.startswith("0001")
)
NOT_ASKED: Final = (
    "require-lock-timeout",  # `migrate` sets it
    "require-statement-timeout",  # an index build blocks nobody, however long it takes
    "prefer-bigint-over-int",  # small counts are integers here
    "prefer-bigint-over-smallint",
)
# Files that `run_statements` runs one statement at a time. Each statement can be run again: see the test below.
ONE_BY_ONE: Final = {"0003_example_index.sql"}


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    """Lint a file as one transaction, or as single statements if it is in ONE_BY_ONE."""
    alone = path.name in ONE_BY_ONE
    excluded = ",".join((*NOT_ASKED, "prefer-robust-stmts") if alone else NOT_ASKED)
    options = [f"--exclude={excluded}", "--pg-version=15.0", *([] if alone else ["--assume-in-transaction"])]
    return subprocess.run([LINTER, *options, path], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", LATER, ids=lambda path: path.name)
def test_a_migration_does_not_block_the_running_service(path: Path) -> None:
    """The rules are those of squawk (https://squawkhq.com/docs/rules)."""
    result = lint(path)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", [path for path in LATER if path.name in ONE_BY_ONE], ids=lambda path: path.name)
def test_a_concurrent_index_is_dropped_before_it_is_built(path: Path) -> None:
    """A killed build leaves an invalid index behind, which `IF NOT EXISTS` would keep."""
    text = path.read_text()
    built = re.findall(r"^CREATE (?:UNIQUE )?INDEX CONCURRENTLY (\w+) ON", text, re.MULTILINE)
    assert len(built) == text.count("CREATE ")
    for index in built:
        assert f"DROP INDEX CONCURRENTLY IF EXISTS {index};\nCREATE " in text


def test_a_migration_waits_for_a_lock_shorter_than_the_service() -> None:
    """Sessions queue behind a migration that waits for a table, so they must outlast its wait."""
    assert LATER
    assert 0 < 3 * LOCK_TIMEOUT_MS < pool.LOCK_TIMEOUT_MS


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE payments DROP COLUMN user_id",
        "ALTER TABLE payments RENAME COLUMN user_id TO customer_id",
        "ALTER TABLE payments ALTER COLUMN attempt TYPE bigint",
        "ALTER TABLE payments ADD COLUMN store text NOT NULL",
        "ALTER TABLE payments ALTER COLUMN traceparent SET NOT NULL",
        "ALTER TABLE payments ADD CONSTRAINT payments_attempt_is_small CHECK (attempt < 100)",
        "ALTER TABLE refunds ADD CONSTRAINT refunds_of FOREIGN KEY (payment_id) REFERENCES payments (id)",
        "DROP TABLE refunds",
        "CREATE INDEX payments_by_method ON payments (payment_method_type)",
    ],
)
def test_the_linter_finds_a_statement_that_blocks_the_running_service(tmp_path: Path, statement: str) -> None:
    bad = tmp_path / "0003_bad.sql"
    bad.write_text(f"{statement};\n")
    assert lint(bad).returncode != 0
