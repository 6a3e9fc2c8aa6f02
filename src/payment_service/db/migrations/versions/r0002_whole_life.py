"""Refunds, disputes, expiry, cancelled orders, callers' keys, audit: the new tables."""

from __future__ import annotations

from payment_service.db.migrations import refuse_downgrade, run_script

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Make what nothing uses yet."""
    run_script("0002_whole_life.sql")


def downgrade() -> None:
    """Refuse: refunds would be forgotten."""
    refuse_downgrade(revision)
