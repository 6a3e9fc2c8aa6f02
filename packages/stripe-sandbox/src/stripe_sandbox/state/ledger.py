"""The ledger: an append-only list of every effect on money, for tests to check against.

Only `charge.captured` moves money to the merchant. Two such entries for one order are a double charge, whatever any
database says.
"""

from __future__ import annotations

from typing import Literal

from stripe_sandbox.errors import Json
from stripe_sandbox.state.store import Store
from stripe_sandbox.state.unit_of_work import UnitOfWork

Effect = Literal[
    "intent.created", "intent.canceled",
    "charge.authorized", "charge.captured", "charge.pending", "charge.failed", "charge.released",
    "refund.created", "refund.succeeded", "refund.failed", "refund.canceled",
    "dispute.opened", "dispute.funds_withdrawn", "dispute.funds_reinstated", "dispute.closed",
]  # fmt: skip


def record(
    work: UnitOfWork,
    effect: Effect,
    intent: Json,
    charge: Json | None,
    amount: int,
    source: str | None = None,
    source_metadata: Json | None = None,
) -> None:
    """Append one entry.

    `amount` is in minor units of the intent's currency. `source` is the id of the refund or dispute behind it, None for
    the charge itself; `source_metadata` is the metadata of that refund or dispute.
    """
    seq = work.tx.count("ledger") + 1
    entry = {
        "seq": seq,
        "time": round(work.now, 3),
        "effect": effect,
        "payment_intent": intent["id"],
        "charge": charge["id"] if charge else None,
        "source": source,
        "source_metadata": source_metadata,
        "amount": amount,
        "currency": intent["currency"],
        "metadata": intent["metadata"],
        "idempotency_key": work.idempotency_key,
        "request_id": work.request_id,
    }
    work.tx.put("ledger", str(seq), entry)


def entries(store: Store, after: int) -> list[Json]:
    """Return the entries with a `seq` greater than `after`, in order."""
    return store["ledger"].since(max(after, 0))
