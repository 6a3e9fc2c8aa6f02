"""Everything that happens by itself once its timer is due, on one screen."""

from __future__ import annotations

from collections.abc import Callable

from stripe_sandbox.errors import Json
from stripe_sandbox.resources import charges, debits, disputes, holds, refunds
from stripe_sandbox.state.work import Work

TIMED: dict[str, Callable[[Work, str], None]] = {
    charges.BOOKING: charges.book,
    refunds.SUCCESS: refunds.succeed,
    refunds.FAILURE: refunds.fail,
    debits.SETTLEMENT: debits.fall_due,
    disputes.DEADLINE: disputes.expire,
    disputes.RULING: disputes.decide,
    holds.EXPIRY: holds.expire,
}
"""By the timer's kind: what happens, given the id of its subject, which may have moved on since."""


def strike(work: Work, timer: Json) -> None:
    """Let the timer's effect happen; the timer is gone with it."""
    work.tx.delete("timer", timer["id"])
    TIMED[timer["kind"]](work, timer["subject"])
