"""Compare our rows with each other, slice by slice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payment_service.db import consistency
from payment_service.flows.comparisons.contents import compare_contents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from payment_service.db.pool import Pool
    from payment_service.domain.differences import Difference

# A statement over 1,000 payments takes some tens of milliseconds.
SLICE_PAYMENTS: Final = 1_000
SLICE_RECORDS: Final = 1_000
SLICE_HISTORY: Final = 10_000
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def compare_rows(
    pool: Pool, *, since: datetime | None = None, slice_payments: int = SLICE_PAYMENTS
) -> AsyncIterator[Difference]:
    """Yield every difference between our rows. `since`: only payments that changed, and records written, since then.

    The rules about whole tables, and the search for lost payments, always cover everything.
    """
    for difference in await consistency.check_tables(pool):
        yield difference
    async for difference in _compare_payments(pool, since, slice_payments):
        yield difference
    async for difference in _compare_records(pool, since or _BEGINNING):
        yield difference
    async for difference in _compare_history(pool):
        yield difference


async def _compare_payments(pool: Pool, since: datetime | None, limit: int) -> AsyncIterator[Difference]:
    last = UUID(int=0)
    while (piece := await consistency.payments_after(pool, last, limit=limit, since=since)).last is not None:
        last = piece.last
        if piece.found:
            for difference in await consistency.check_payments(pool, piece.found):
                yield difference


async def _compare_records(pool: Pool, since: datetime) -> AsyncIterator[Difference]:
    after = 0
    while (last := await consistency.records_after(pool, after, limit=SLICE_RECORDS, since=since)) is not None:
        for difference in await consistency.check_records(pool, after, last):
            yield difference
        for row in await consistency.record_contents(pool, after, last):
            for difference in compare_contents(row):
                yield difference
        after = last


async def _compare_history(pool: Pool) -> AsyncIterator[Difference]:
    after = 0
    while (last := await consistency.history_after(pool, after, limit=SLICE_HISTORY)) is not None:
        for difference in await consistency.check_history(pool, after, last):
            yield difference
        after = last
