"""Rows of `workers`: the living processes, by the clock of the database."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Pool

_SQL = load(__package__, "workers.sql")


async def register(pool: Pool, worker: UUID) -> None:
    """Insert a process under a new id."""
    await pool.execute(_SQL.register, worker, socket.gethostname()[:255], os.getpid())


@dataclass(frozen=True, slots=True)
class Pulse:
    """The view of a heartbeat: whether rows of dead processes exist, and the blocked kinds of the provider."""

    some_died: bool
    blocked: frozenset[str]


async def heartbeat(pool: Pool, worker: UUID, provider: str) -> Pulse | None:
    """Record a heartbeat of this process. If its row is missing, insert it again and return None."""
    row = await pool.fetchrow(_SQL.heartbeat, worker, provider)
    if row is None:
        await register(pool, worker)
        return None
    return Pulse(row["some_died"], frozenset(row["blocked"]))


async def delete_dead(pool: Pool) -> None:
    """Delete the rows of dead processes that hold no claim."""
    await pool.execute(_SQL.delete_dead)


async def leave(pool: Pool, worker: UUID) -> None:
    """Mark the process as dead, so that other workers can take its operations at once. Delete its row if it holds none."""
    await pool.execute(_SQL.leave, worker)
    await delete_dead(pool)
