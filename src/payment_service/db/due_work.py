"""Look in one statement for work that is due for the background loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Collection

    from payment_service.db.pool import Pool

_SQL = load(__package__, "due_work.sql")


async def due_work(pool: Pool, providers: Collection[str]) -> tuple[frozenset[str], float]:
    """Return what is due (events, audit, cancellations, expiries, polls, pages), and the seconds that the server searched."""
    row = await pool.fetchrow(_SQL.due_work, list(providers))
    assert row is not None  # noqa: S101 - a SELECT without FROM
    return frozenset(name for name, found in row.items() if found is True), row["took_s"]
