"""An index and a validated constraint of a table that serves: statement by statement, beside readers and writers."""

from __future__ import annotations

from payment_service.db.migrations import refuse_downgrade, run_statements
from tests.support.migrations import FOLDER

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Build what reads every row."""
    run_statements("0003_example_index.sql", folder=FOLDER)


def downgrade() -> None:
    """Refuse."""
    refuse_downgrade(revision)
