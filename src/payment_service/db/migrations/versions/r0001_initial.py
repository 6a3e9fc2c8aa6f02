"""The first schema: payments, operations, events, history, outbox, quarantine, workers."""

from __future__ import annotations

from payment_service.db.migrations import run_script

revision = "1"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    run_script("0001_initial.sql")


def downgrade() -> None:
    """Refuse: a payment database is not thrown away by a migration."""
    message = "The first revision can't be undone; drop the database instead."
    raise NotImplementedError(message)
