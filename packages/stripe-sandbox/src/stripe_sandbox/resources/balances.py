"""The account's balance: one total per currency, updated with every balance transaction.

Funds become available at a fixed time. Each total stores its pending funds by that time and moves them when it is read.
No timer runs, and reading does not walk all transactions.
"""

from __future__ import annotations

from stripe_sandbox.errors import Json
from stripe_sandbox.state.unit_of_work import UnitOfWork

_PREFIX = "balance:"


def add(work: UnitOfWork, currency: str, net: int, available_on: int) -> None:
    """Add `net` minor units, available from `available_on` (Unix seconds)."""
    key = _PREFIX + currency
    available, pending = _split(work.tx.find("setting", key) or {"available": 0, "pending": {}}, work.now)
    if available_on <= work.now:
        available += net
    else:
        pending[str(available_on)] = pending.get(str(available_on), 0) + net
    work.tx.put("setting", key, {"available": available, "pending": pending})


def totals(work: UnitOfWork) -> dict[str, tuple[int, int]]:
    """Return (available, pending) per currency, in minor units."""
    rows = work.tx.table("setting").rows
    found = {key.removeprefix(_PREFIX): _split(row, work.now) for key, row in rows.items() if key.startswith(_PREFIX)}
    return {currency: (available, sum(pending.values())) for currency, (available, pending) in found.items()}


def as_of(transaction: Json, now: float) -> Json:
    """Return a balance transaction with its status at `now`; nothing is written when funds become available."""
    return {**transaction, "status": "available" if transaction["available_on"] <= now else "pending"}


def _split(total: Json, now: float) -> tuple[int, Json]:
    """Split a total into the amount available by `now` and the pending amounts by time."""
    come = sum(net for moment, net in total["pending"].items() if int(moment) <= now)
    pending = {moment: net for moment, net in total["pending"].items() if int(moment) > now}
    return total["available"] + come, pending
