"""Rows of `workers`: the living processes, by the clock of the database."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Pool

_SQL = load(__package__, "workers.sql")


async def register(pool: Pool, worker: UUID) -> None:
    """Insert a process under a new id."""
    await pool.execute(_SQL.register, worker, socket.gethostname()[:255], os.getpid())


@dataclass(frozen=True, slots=True)
class Pulse:
    """The view of a heartbeat: whether rows of dead processes exist, the blocked kinds of the provider, and whether a call is due."""

    some_died: bool
    blocked: frozenset[str]
    some_due: bool


async def heartbeat(
    pool: Pool, worker: UUID, provider: str, *, kinds: Collection[str], due_after: datetime
) -> Pulse | None:
    """Record a heartbeat of this process, and look for operations of these kinds that became due after `due_after`.

    If the row is missing, insert it again and return None.
    """
    row = await pool.fetchrow(_SQL.heartbeat, worker, provider, list(kinds), due_after)
    if row is None:
        await register(pool, worker)
        return None
    return Pulse(row["some_died"], frozenset(row["blocked"]), row["some_due"])


async def delete_dead(pool: Pool) -> None:
    """Delete the rows of dead processes that hold no claim."""
    await pool.execute(_SQL.delete_dead)


async def leave(pool: Pool, worker: UUID) -> None:
    """Mark the process as dead, so that other workers can take its operations at once. Delete its row if it holds none."""
    await pool.execute(_SQL.leave, worker)
    await delete_dead(pool)
