"""Indexes of tables that may be large, and constraints looked at, while everybody goes on."""

from __future__ import annotations

from payment_service.db.migrations import refuse_downgrade, run_statements

revision = "4"
down_revision = "3"


def upgrade() -> None:
    """Build them one after another."""
    run_statements("0004_indexes.sql")


def downgrade() -> None:
    """Refuse, as those before it."""
    refuse_downgrade(revision)
