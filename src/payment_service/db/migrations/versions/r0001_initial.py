"""The first schema: payments, operations, events, history, outbox, quarantine, workers."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    op.execute((Path(__file__).parents[1] / "0001_initial.sql").read_text())


def downgrade() -> None:
    """Refuse: a payment database is not thrown away by a migration."""
    message = "The first revision can't be undone; drop the database instead."
    raise NotImplementedError(message)
