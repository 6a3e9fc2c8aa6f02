"""Revisions in SQL: a file beside this one, run as it is written by a revision in `versions/`."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

from alembic import op

FOLDER = Path(__file__).parent

# What is built beside readers and writers waits only for transactions that were open when it began (a backup's may be long), and
# keeps nobody waiting.
PATIENT_LOCK_TIMEOUT_S: Final = 900


def run_script(name: str) -> None:
    """Run (or, for `--sql`, print) a file of SQL in the transaction under way."""
    _run((FOLDER / name).read_text())


def run_statements(name: str) -> None:
    """Run (or print) the statements of a file one by one, each in a transaction of its own: `CONCURRENTLY` allows no other.

    Each ends with a `;` at the end of a line.
    """
    statements = (FOLDER / name).read_text().removesuffix(";\n").split(";\n")
    with op.get_context().autocommit_block():
        for statement in (f"SET lock_timeout = '{PATIENT_LOCK_TIMEOUT_S} s'", *statements):
            _run(f"{statement};")


def refuse_downgrade(revision: str) -> NoReturn:
    """Raise NotImplementedError."""
    message = (
        f"Revision {revision} can't be undone: what it keeps would be forgotten. The service before it runs on it too."
    )
    raise NotImplementedError(message)


def _run(script: str) -> None:
    # Untouched: SQLAlchemy would take `:x` and `%` for parameters.
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(script.rstrip())
    else:
        op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})
