"""Compare our rows with each other, in steps.

A comparison of everything walks all payments by id. A comparison since a time reads only the payments that were created or
have a new row in their history since then. So its work depends on the changes, and not on the size of the tables.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payment_service.db import consistency
from payment_service.db.keyset import NO_ID, KeysetCursor
from payment_service.flows.comparisons.contents import compare_contents
from payment_service.flows.comparisons.steps import Step, iterate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from payment_service.db.pool import Pool
    from payment_service.domain.differences import Difference

# A step over 1,000 payments takes some tens of milliseconds.
SLICE_PAYMENTS: Final = 1_000
SLICE_RECORDS: Final = 1_000
SLICE_HISTORY: Final = 10_000
# About 1,000 payments: each has two to four rows.
SLICE_CHANGES: Final = 3_000

_PAYMENTS, _CREATED, _CHANGED, _RECORDS, _HISTORY = "payments", "created", "changed", "records", "history"
"""Phases, as the first word of a position. The rules about whole tables come before the first."""


def compare_rows(
    pool: Pool, *, since: datetime | None = None, slice_payments: int = SLICE_PAYMENTS
) -> AsyncIterator[Difference]:
    """Yield every difference between our rows. `since`: only payments that changed, and records written, since then.

    The rules about whole tables always cover everything.
    """
    return iterate(partial(row_step, pool, since=since, slice_payments=slice_payments))


async def row_step(pool: Pool, position: str, *, since: datetime | None, slice_payments: int = SLICE_PAYMENTS) -> Step:
    """Compare the rows of one step."""
    phase, _, place = position.partition(" ")
    if not phase:
        return Step(_PAYMENTS if since is None else _CREATED, 0, await consistency.check_tables(pool))
    if phase == _RECORDS:
        return await _compare_records(pool, place, since)
    if since is None:
        return await (
            _compare_payments(pool, place, slice_payments) if phase == _PAYMENTS else _compare_history(pool, place)
        )
    if phase == _CREATED:
        return await _compare_created(pool, place, since, slice_payments)
    return await _compare_changed(pool, place, since)


async def _compare_payments(pool: Pool, place: str, limit: int) -> Step:
    ids = await consistency.payments_after(pool, UUID(place or NO_ID), limit=limit)
    if not ids:
        return Step(_RECORDS)
    return Step(f"{_PAYMENTS} {ids[-1]}", len(ids), await consistency.check_payments(pool, ids))


async def _compare_created(pool: Pool, place: str, since: datetime, limit: int) -> Step:
    at, _, name = place.partition(" ")
    cursor = KeysetCursor(datetime.fromisoformat(at), name) if place else KeysetCursor(since, NO_ID)
    created = await consistency.created_after(pool, cursor, limit=limit)
    if not created:
        return Step(_CHANGED)
    last, found = created[-1], await consistency.check_payments(pool, [one.id for one in created])
    return Step(f"{_CREATED} {last.created_at.isoformat()} {last.id}", len(created), found)


async def _compare_changed(pool: Pool, place: str, since: datetime) -> Step:
    after = int(place) if place else await consistency.history_before(pool, since)
    last = await consistency.history_after(pool, after, limit=SLICE_CHANGES)
    if last is None:
        return Step(_RECORDS)
    found = await consistency.check_history(pool, after, last)
    if ids := await consistency.changed_in(pool, after, last, created_before=since):
        found += await consistency.check_payments(pool, ids)
    return Step(f"{_CHANGED} {last}", len(ids), found)


async def _compare_records(pool: Pool, place: str, since: datetime | None) -> Step:
    after = int(place) if place else 0 if since is None else await consistency.records_before(pool, since)
    last = await consistency.records_after(pool, after, limit=SLICE_RECORDS)
    if last is None:
        return Step(_HISTORY if since is None else "")
    found = await consistency.check_records(pool, after, last)
    contents = await consistency.record_contents(pool, after, last)
    return Step(
        f"{_RECORDS} {last}", len(contents), [*found, *(one for row in contents for one in compare_contents(row))]
    )


async def _compare_history(pool: Pool, place: str) -> Step:
    after = int(place) if place else 0
    last = await consistency.history_after(pool, after, limit=SLICE_HISTORY)
    if last is None:
        return Step("")
    return Step(f"{_HISTORY} {last}", 0, await consistency.check_history(pool, after, last))
