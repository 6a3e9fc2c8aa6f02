"""Handlers of timers: everything that happens without a request."""

from __future__ import annotations

from collections.abc import Callable

from stripe_sandbox.errors import Json
from stripe_sandbox.resources import bank_debits, charges, disputes, holds, refunds
from stripe_sandbox.state.unit_of_work import UnitOfWork

HANDLERS: dict[str, Callable[[UnitOfWork, str], None]] = {
    charges.POSTING: charges.post_to_balance,
    refunds.SUCCESS: refunds.succeed,
    refunds.FAILURE: refunds.fail,
    refunds.TRACE: refunds.trace,
    bank_debits.SETTLEMENT: bank_debits.decide_when_due,
    disputes.DEADLINE: disputes.expire,
    disputes.RULING: disputes.decide,
    holds.EXPIRY: holds.expire,
}
"""Handlers by kind of timer. Each takes the id of the timer's subject, whose state may have changed since."""


def fire(work: UnitOfWork, timer: Json) -> None:
    """Run the timer's handler and delete the timer."""
    work.tx.delete("timer", timer["id"])
    HANDLERS[timer["kind"]](work, timer["subject"])
