"""The initial schema."""

from __future__ import annotations

from payment_service.db.migrations import refuse_downgrade, run_script

revision = "1"
down_revision = None


def upgrade() -> None:
    """Create every table, index and view."""
    run_script("0001_initial.sql")
    run_script("0001_payment_attempts.sql")
    run_script("0001_authority.sql")
    run_script("0001_reconciliation.sql")
    run_script("0001_provider_reads.sql")
    run_script("0001_recovery.sql")
    run_script("0001_reading.sql")
    run_script("0001_pages.sql")
    run_script("0001_views.sql")
    run_script("0001_comments.sql")


def downgrade() -> None:
    """Refuse: drop the database instead."""
    refuse_downgrade(revision)
