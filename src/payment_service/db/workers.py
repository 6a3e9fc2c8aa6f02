"""Rows of `workers`: which processes are alive, by the database's clock."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Pool

_SQL = load(__package__, "workers.sql")


async def register(pool: Pool, worker: UUID) -> None:
    """Enter a process under a new id, and forget those that are long gone."""
    await pool.execute(_SQL.forget_dead)
    await pool.execute(_SQL.register, worker, socket.gethostname()[:255], os.getpid())


async def heartbeat(pool: Pool, worker: UUID) -> None:
    """Say that this process lives; enter it again if its row is gone."""
    if not await pool.fetch(_SQL.heartbeat, worker):
        await register(pool, worker)


async def leave(pool: Pool, worker: UUID) -> None:
    """Take the row away: what still bears the name may be taken at once."""
    await pool.execute(_SQL.leave, worker)
