"""Look in one statement for work that is due for the background loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Collection

    from payment_service.db.pool import Pool

_SQL = load(__package__, "due_work.sql")


async def due_work(pool: Pool, providers: Collection[str]) -> frozenset[str]:
    """Return what is due: events, cancellations, expiries, polls, pages."""
    row = await pool.fetchrow(_SQL.due_work, list(providers))
    return frozenset() if row is None else frozenset(name for name, is_due in row.items() if is_due)
