"""Columns, constraints and views of the tables that were there before."""

from __future__ import annotations

from payment_service.db.migrations import refuse_downgrade, run_script

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Change each table in a moment."""
    run_script("0003_older_tables.sql")


def downgrade() -> None:
    """Refuse: expiries would be forgotten."""
    refuse_downgrade(revision)
