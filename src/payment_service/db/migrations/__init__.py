"""Revisions in SQL: a file beside this one, run as it is written by a revision in `versions/`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

FOLDER = Path(__file__).parent


def run_script(name: str) -> None:
    """Run (or, for `--sql`, print) a file of SQL, untouched: SQLAlchemy would take `:x` and `%` for parameters."""
    script = (FOLDER / name).read_text()
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(script.rstrip())
    else:
        op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})
