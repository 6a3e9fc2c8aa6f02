"""The ledger: an append-only list of every effect on money, from which tests judge.

`charge.captured` is the only effect that moves money to the shop: more than one of it for one
order is a double charge, whatever anybody's database says.
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

    `amount` is in the minor unit of the intent's currency, as Stripe counts; `source` is the id of the
    refund or dispute that moved it, None where the charge itself did, and `source_metadata` its metadata.
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
    """Entries with a `seq` greater than `after`, in order."""
    return store["ledger"].since(max(after, 0))
