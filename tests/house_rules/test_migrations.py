"""What a migration may not do while the release before serves: rewrite or scan a table that grows under a lock, or take away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from payment_service.db.migrate import LOCK_TIMEOUT_MS, MIGRATIONS

LINTER: Final = Path(sys.executable).with_name("squawk")
# The first revision makes every table, so nobody waits for it.
LATER: Final = sorted(path for path in MIGRATIONS.glob("*.sql") if path.name > "0002")
NOT_ASKED: Final = (
    "require-lock-timeout",  # `migrate` sets it
    "require-statement-timeout",  # it waits for no one; what it builds takes as long as it takes
    "prefer-bigint-over-int",  # counts of what is few are integers here
    "prefer-bigint-over-smallint",
)
# Of one transaction, so that all of it happens or nothing; writers wait while an index is built: docs/upgrading.md says how long.
BUILT_IN_PLACE: Final = {
    "0002_whole_life.sql": ("require-concurrent-index-creation", "require-concurrent-index-deletion")
}


def lint(path: Path, *excluded: str) -> subprocess.CompletedProcess[str]:
    """Run the linter as for a script that is one transaction."""
    options = [f"--exclude={','.join((*NOT_ASKED, *excluded))}", "--pg-version=15.0", "--assume-in-transaction"]
    return subprocess.run([LINTER, *options, path], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", LATER, ids=lambda path: path.name)
def test_a_migration_lets_the_release_before_go_on(path: Path) -> None:
    """By the rules of squawk (https://squawkhq.com/docs/rules)."""
    result = lint(path, *BUILT_IN_PLACE.get(path.name, ()))
    assert result.returncode == 0, result.stdout


def test_a_migration_waits_for_no_table_for_long() -> None:
    """Who waits for a table makes everybody else wait behind it: at most as long as callers are patient."""
    assert LATER
    assert 0 < LOCK_TIMEOUT_MS <= 5_000


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
