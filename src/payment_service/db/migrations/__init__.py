"""The revisions of the schema: a file of SQL for each, run unchanged by a Python file in `versions/`.

A revision that was released is never changed. CONTRIBUTING.md ("Adding a migration") says what a revision may do while the
service runs; `tests/support/migrations/` holds an example of each kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

from alembic import op

FOLDER = Path(__file__).parent

# A concurrent index build waits only for transactions that were open when it began. A backup may keep one open for minutes, and
# the waiting build blocks no other session.
CONCURRENT_LOCK_TIMEOUT_S: Final = 900


def run_script(name: str, *, folder: Path = FOLDER) -> None:
    """Run a file of SQL in the current transaction. For `--sql`, print it."""
    _run((folder / name).read_text())


def run_statements(name: str, *, folder: Path = FOLDER) -> None:
    """Run the statements of a file one by one, each in its own transaction, as `CONCURRENTLY` requires. For `--sql`, print them.

    Each statement ends with a `;` at the end of a line. Each can be run again, since the revision starts over after an error.
    """
    statements = (folder / name).read_text().removesuffix(";\n").split(";\n")
    with op.get_context().autocommit_block():
        for statement in (f"SET lock_timeout = '{CONCURRENT_LOCK_TIMEOUT_S} s'", *statements):
            _run(f"{statement};")


def refuse_downgrade(revision: str) -> NoReturn:
    """Raise NotImplementedError: a downgrade would delete data."""
    message = (
        f"Revision {revision} cannot be undone without losing data. An older service runs on a newer schema instead."
    )
    raise NotImplementedError(message)


def _run(script: str) -> None:
    # SQLAlchemy would read `:x` and `%` as parameters, so the script bypasses it.
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(script.rstrip())
    else:
        op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})
