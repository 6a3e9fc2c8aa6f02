"""Records that were published go out again, as they were: the same `ce_id`, so that who has them notices.

They are queued in their order, and a payment's records go out one after another as ever. The first occurrences keep theirs: what
was never published goes out behind them, as it would have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from payment_service.db import publishing
from payment_service.flows.requests.idempotency import ChangeResult, change_once

if TYPE_CHECKING:
    from payment_service.db.pool import Connection, Pool
    from payment_service.db.publishing import Selection
    from payment_service.flows.requests.idempotency import ChangeRequest

# A transaction of some 50 ms.
BATCH_ROWS: Final = 5_000


async def count_published(pool: Pool, chosen: Selection, *, batch_rows: int = BATCH_ROWS) -> int:
    """How many records would go out again."""
    found, after = 0, 0
    while (piece := await publishing.count(pool, chosen, after=after, limit=batch_rows)).last is not None:
        found, after = found + piece.found, piece.last
    return found


async def republish(
    pool: Pool, chosen: Selection, change_request: ChangeRequest, *, batch_rows: int = BATCH_ROWS
) -> int:
    """Let published records go out again; return how many. Each batch is a change of its own, under a key of its own.

    So the same request, after it was killed in the middle, walks past what it has done and goes on. Raises Refusal.
    """
    found, after, number = 0, 0, 0
    while True:
        number += 1
        batch = replace(change_request, key=f"{change_request.key}.{number}")
        last, queued = await _requeue(pool, chosen, batch, after=after, limit=batch_rows)
        if last is None:
            return found
        found, after = found + queued, last


async def _requeue(
    pool: Pool, chosen: Selection, batch: ChangeRequest, *, after: int, limit: int
) -> tuple[int | None, int]:
    async def work(connection: Connection) -> ChangeResult:
        piece = await publishing.requeue(connection, chosen, after=after, limit=limit)
        return ChangeResult({"last": piece.last, "found": piece.found})

    result = (await change_once(pool, batch, work)).result
    return result["last"], result["found"]
