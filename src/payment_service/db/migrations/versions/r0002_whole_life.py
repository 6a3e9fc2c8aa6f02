"""Refunds, disputes, capture, expiry, cancelled orders, callers' keys, audit."""

from __future__ import annotations

from payment_service.db.migrations import run_script

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add to what is there."""
    run_script("0002_whole_life.sql")


def downgrade() -> None:
    """Refuse: refunds would be forgotten."""
    message = (
        "Revision 2 can't be undone: its refunds and disputes would be forgotten. The service before it runs on it too."
    )
    raise NotImplementedError(message)
