"""Everything that happens by itself once its timer is due, on one screen."""

from __future__ import annotations

from collections.abc import Callable

from stripe_sandbox.errors import Json
from stripe_sandbox.resources import bank_debits, charges, disputes, holds, refunds
from stripe_sandbox.state.unit_of_work import UnitOfWork

HANDLERS: dict[str, Callable[[UnitOfWork, str], None]] = {
    charges.POSTING: charges.post_to_balance,
    refunds.SUCCESS: refunds.succeed,
    refunds.FAILURE: refunds.fail,
    bank_debits.SETTLEMENT: bank_debits.decide_when_due,
    disputes.DEADLINE: disputes.expire,
    disputes.RULING: disputes.decide,
    holds.EXPIRY: holds.expire,
}
"""By the timer's kind: what happens, given the id of its subject, which may have moved on since."""


def fire(work: UnitOfWork, timer: Json) -> None:
    """Let the timer's effect happen; the timer is gone with it."""
    work.tx.delete("timer", timer["id"])
    HANDLERS[timer["kind"]](work, timer["subject"])
