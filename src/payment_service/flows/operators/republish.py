"""Publish records again, unchanged and with the same `ce_id`, so that consumers recognize them.

They are enqueued in their order, and the order per payment holds. Records that were not published yet still follow
after all earlier ones.
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

# A transaction of about 50 ms.
BATCH_ROWS: Final = 5_000


async def count_published(pool: Pool, chosen: Selection, *, batch_rows: int = BATCH_ROWS) -> int:
    """Count the records that would be published again."""
    total, after = 0, 0
    while (piece := await publishing.count(pool, chosen, after=after, limit=batch_rows)).last is not None:
        total, after = total + piece.found, piece.last
    return total


async def republish(
    pool: Pool, chosen: Selection, change_request: ChangeRequest, *, batch_rows: int = BATCH_ROWS
) -> int:
    """Enqueue published records again. Return their number. Raise Refusal.

    Each batch is a change with its own key, so a repeated request skips the batches that are done and continues.
    """
    total, after, number = 0, 0, 0
    while True:
        number += 1
        batch = replace(change_request, key=f"{change_request.key}.{number}")
        last, queued = await _requeue(pool, chosen, batch, after=after, limit=batch_rows)
        if last is None:
            return total
        total, after = total + queued, last


async def _requeue(
    pool: Pool, chosen: Selection, batch: ChangeRequest, *, after: int, limit: int
) -> tuple[int | None, int]:
    async def work(connection: Connection) -> ChangeResult:
        piece = await publishing.requeue(connection, chosen, after=after, limit=limit)
        return ChangeResult({"last": piece.last, "found": piece.found})

    result = (await change_once(pool, batch, work)).result
    return result["last"], result["found"]
