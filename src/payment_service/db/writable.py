"""The check whether the database takes writes: not read-only, no table locked, space on the disk. It writes no row."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from payment_service.db.pool import TRANSIENT_ERRORS, NoWritableServer
from payment_service.db.queries import load

if TYPE_CHECKING:
    from payment_service.db.pool import Pool

# The lock of a migration or of a partition's creation lasts milliseconds. A statement of the service gives up after 1 s, so a
# lock that is held longer costs 503s.
LOCK_CONFIRMED_AFTER_S: Final = 1.0
# Probes of several load balancers share a check.
CHECK_INTERVAL_S: Final = 1.0

_SQL = load(__package__, "writable.sql")


@dataclass(frozen=True, slots=True)
class Problem:
    """The reason why the database takes no writes: a clause, and the fix."""

    found: str
    fix: str


_READ_ONLY: Final = Problem(
    "is read-only: it is a standby, or has default_transaction_read_only",
    "promote a standby and name all servers in DB_DSN; or set default_transaction_read_only = off and free the disk",
)
_DISK_FULL: Final = Problem("has no space left on its disk", "free or extend the disk of PostgreSQL; nothing is lost")
_NO_ANSWER: Final = Problem("does not answer", "check DB_DSN and that the server runs")


class WriteCheck:
    """The latest result of the check, at most `CHECK_INTERVAL_S` old."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._checking = asyncio.Lock()
        self._checked_s = -CHECK_INTERVAL_S
        self._problem: Problem | None = None

    async def problem(self) -> Problem | None:
        """Check, unless another caller just did. Never raises an error of the database."""
        async with self._checking:
            if time.monotonic() - self._checked_s >= CHECK_INTERVAL_S:
                self._problem = await write_problem(self._pool)
                self._checked_s = time.monotonic()
            return self._problem


async def write_problem(pool: Pool) -> Problem | None:
    """Return why the database takes no writes; None if it takes them. A read-only server loses its connections."""
    try:
        if await pool.fetchval(_SQL.read_only):
            await pool.expire_connections()
            return _READ_ONLY
        if locked := await _locked(pool):
            return locked
        await pool.fetchval(_SQL.spill)
    except NoWritableServer:
        return _READ_ONLY
    except asyncpg.DiskFullError:
        return _DISK_FULL
    except TRANSIENT_ERRORS:
        return _NO_ANSWER
    return None


async def _locked(pool: Pool) -> Problem | None:
    """Look twice, so that a short lock is not reported: the same transaction must have it both times."""
    before = await pool.fetch(_SQL.table_locks)
    if not before:
        return None
    await asyncio.sleep(LOCK_CONFIRMED_AFTER_S)
    held = {(row["relation"], row["holder"]) for row in before}
    for row in await pool.fetch(_SQL.table_locks):
        if (row["relation"], row["holder"]) in held:
            fix = f"end its session: SELECT pg_terminate_backend({row['pid']})"
            return Problem(f"has the table {row['relation']} locked by another session", fix)
    return None
