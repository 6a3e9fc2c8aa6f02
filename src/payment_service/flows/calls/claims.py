"""The claims of this worker, and those that nobody works on (ARCHITECTURE.md, rule 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from payment_service.db import operations, provider_health, workers
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Pool
    from payment_service.db.workers import Pulse

log = structlog.get_logger(__name__)

# How often to look for claims that nobody works on. An error makes the look due at once.
RELEASE_INTERVAL_S: Final = 30.0
# The look steps over all claims that an old snapshot retains, so it takes at most this part of the time.
RELEASE_SHARE: Final = 0.01


class Claims:
    """The operations that this worker has claimed (`owned`), and its heartbeat."""

    def __init__(self, pool: Pool, provider: str, worker: UUID, *, steady_s: Callable[[], float]) -> None:
        self._pool = pool
        self._provider = provider
        self._worker = worker
        self._steady_s = steady_s
        self._release_at_s = float("-inf")
        self.owned: set[UUID] = set()

    async def heartbeat(self, *, left_out: frozenset[str], due_after: datetime) -> Pulse | None:
        """Record a heartbeat, and look for what is due, without the kinds `left_out`. Return None if the row was missing."""
        kinds = [kind.value for kind in Kind if not left_out & {kind.value, provider_health.EVERYTHING}]
        return await workers.heartbeat(self._pool, self._worker, self._provider, kinds=kinds, due_after=due_after)

    async def release_orphaned(self) -> bool:
        """Release operations of dead workers. Return whether there were any; delete the workers' rows if not."""
        if await operations.release_orphaned(self._pool, self._worker, of_unknown=False):
            return True
        await workers.delete_dead(self._pool)
        return False

    async def release_forgotten(self) -> None:
        """Release claims under this name that are not in memory, and those of workers without a row, if the look is due."""
        began_s = self._steady_s()
        if began_s < self._release_at_s:
            return
        if released := await operations.release_unknown(self._pool, self._worker, self.owned):
            log.warning("operations_released", count=released)
        await operations.release_orphaned(self._pool, self._worker, of_unknown=True)
        # Without its row, for example after a faulty restore, claims get no calls.
        await operations.ensure_budget(self._pool, self._provider)
        ended_s = self._steady_s()
        self._release_at_s = ended_s + max(RELEASE_INTERVAL_S, (ended_s - began_s) / RELEASE_SHARE)

    def look_for_forgotten(self) -> None:
        """Make the look due now."""
        self._release_at_s = float("-inf")
