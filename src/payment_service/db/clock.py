"""The database's clock, which decides, because every replica shares it and no host can move it; and a steady clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from datetime import datetime

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "clock.sql")


def steady_s() -> float:
    """Return seconds of a clock that nobody sets. It continues while the machine is suspended, if the system has such a clock.

    macOS has none under this name: there a suspended machine counts as one that was slow.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


async def database_time(connection: Connection | Pool) -> datetime:
    """Return the time by the database's clock."""
    now: datetime = await connection.fetchval(_SQL.database_time)
    return now
