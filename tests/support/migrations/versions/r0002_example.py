"""A new table and a column of a table that serves: one transaction, which holds each lock only for a moment."""

from __future__ import annotations

from payment_service.db.migrations import refuse_downgrade, run_script
from tests.support.migrations import FOLDER

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add what reads no row and writes no file."""
    run_script("0002_example.sql", folder=FOLDER)


def downgrade() -> None:
    """Refuse."""
    refuse_downgrade(revision)
