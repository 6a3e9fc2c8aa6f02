"""What a migration may not do while the release before serves: rewrite or scan a table that grows under a lock, or take away."""

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

LINTER: Final = Path(sys.executable).with_name("squawk")
# The first revision makes every table, so nobody waits for it.
LATER: Final = sorted(path for path in MIGRATIONS.glob("*.sql") if path.name > "0002")
NOT_ASKED: Final = (
    "require-lock-timeout",  # `migrate` sets it
    "require-statement-timeout",  # it waits for no one; what it builds takes as long as it takes
    "prefer-bigint-over-int",  # counts of what is few are integers here
    "prefer-bigint-over-smallint",
)
# Its statements run one by one, and each can be run again: the test below.
ONE_BY_ONE: Final = {"0004_indexes.sql"}


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the linter as for a script that is one transaction, unless it is one of the others."""
    alone = path.name in ONE_BY_ONE
    excluded = ",".join((*NOT_ASKED, "prefer-robust-stmts") if alone else NOT_ASKED)
    options = [f"--exclude={excluded}", "--pg-version=15.0", *([] if alone else ["--assume-in-transaction"])]
    return subprocess.run([LINTER, *options, path], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", LATER, ids=lambda path: path.name)
def test_a_migration_lets_the_release_before_go_on(path: Path) -> None:
    """By the rules of squawk (https://squawkhq.com/docs/rules)."""
    result = lint(path)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", sorted(ONE_BY_ONE))
def test_an_index_built_beside_writers_is_dropped_first(name: str) -> None:
    """One whose building was killed is there, invalid: `IF NOT EXISTS` would leave it so."""
    text = (MIGRATIONS / name).read_text()
    built = re.findall(r"^CREATE (?:UNIQUE )?INDEX CONCURRENTLY (\w+) ON", text, re.MULTILINE)
    assert len(built) == text.count("CREATE ")
    for index in built:
        assert f"DROP INDEX CONCURRENTLY IF EXISTS {index};\nCREATE " in text


def test_a_migration_lets_those_who_wait_behind_it_get_their_turn() -> None:
    """Who waits for a table makes everybody else wait behind it: shorter than a session of the service is patient."""
    assert LATER
    assert 0 < 3 * LOCK_TIMEOUT_MS < pool.LOCK_TIMEOUT_MS


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE payments DROP COLUMN user_id",
        "ALTER TABLE payments RENAME COLUMN user_id TO customer_id",
        "ALTER TABLE payments ALTER COLUMN n TYPE bigint",
        "ALTER TABLE payments ADD COLUMN store text NOT NULL",
        "ALTER TABLE payments ALTER COLUMN traceparent SET NOT NULL",
        "ALTER TABLE payments ADD CONSTRAINT payments_n_is_small CHECK (n < 100)",
        "ALTER TABLE refunds ADD CONSTRAINT refunds_of FOREIGN KEY (payment_id) REFERENCES payments (id)",
        "DROP TABLE refunds",
        "CREATE INDEX payments_by_method ON payments (payment_method_type)",
    ],
)
def test_the_linter_finds_what_would_stop_the_release_before(tmp_path: Path, statement: str) -> None:
    """One that finds nothing anywhere would let everything pass."""
    bad = tmp_path / "0003_bad.sql"
    bad.write_text(f"{statement};\n")
    assert lint(bad).returncode != 0
