"""What the account holds, one total a currency, kept up with every balance transaction.

Funds become available at a set moment, so a total keeps what is still to come by that moment, and
whatever has come since is counted when it is read: no timer, and no walk through all transactions.
"""

from __future__ import annotations

from stripe_sandbox.errors import Json
from stripe_sandbox.state.unit_of_work import UnitOfWork

_PREFIX = "balance:"


def add(work: UnitOfWork, currency: str, net: int, available_on: int) -> None:
    """Count `net` (minor units), to be available from `available_on` (unix seconds) on."""
    key = _PREFIX + currency
    available, pending = _split(work.tx.find("setting", key) or {"available": 0, "pending": {}}, work.now)
    if available_on <= work.now:
        available += net
    else:
        pending[str(available_on)] = pending.get(str(available_on), 0) + net
    work.tx.put("setting", key, {"available": available, "pending": pending})


def totals(work: UnitOfWork) -> dict[str, tuple[int, int]]:
    """(available, pending) by currency, in minor units."""
    rows = work.tx.table("setting").rows
    found = {key.removeprefix(_PREFIX): _split(row, work.now) for key, row in rows.items() if key.startswith(_PREFIX)}
    return {currency: (available, sum(pending.values())) for currency, (available, pending) in found.items()}


def as_of(transaction: Json, now: float) -> Json:
    """A balance transaction as it is `now`: its funds become available without anything being written."""
    return {**transaction, "status": "available" if transaction["available_on"] <= now else "pending"}


def _split(total: Json, now: float) -> tuple[int, Json]:
    """What is available by `now`, and what is to come, by its moment."""
    come = sum(net for moment, net in total["pending"].items() if int(moment) <= now)
    pending = {moment: net for moment, net in total["pending"].items() if int(moment) > now}
    return total["available"] + come, pending
