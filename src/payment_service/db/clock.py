"""The database's clock. It decides, because every replica shares it and no host can move it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from datetime import datetime

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "clock.sql")


async def database_time(connection: Connection | Pool) -> datetime:
    """Return the time by the database's clock."""
    now: datetime = await connection.fetchval(_SQL.database_time)
    return now
