"""Rows of `workers`: the living processes, by the clock of the database."""

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
    """Insert a process under a new id, and delete the rows of long dead ones."""
    await pool.execute(_SQL.delete_dead)
    await pool.execute(_SQL.register, worker, socket.gethostname()[:255], os.getpid())


async def heartbeat(pool: Pool, worker: UUID) -> None:
    """Record a heartbeat of this process; insert its row again if it is missing."""
    if not await pool.fetch(_SQL.heartbeat, worker):
        await register(pool, worker)


async def leave(pool: Pool, worker: UUID) -> None:
    """Delete the row, so that other workers can take its operations at once."""
    await pool.execute(_SQL.leave, worker)
