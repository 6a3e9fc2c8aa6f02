"""The kinds of calls that a provider refuses as such: they wait until a probe succeeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from payment_service.db import provider_health
from payment_service.flows.calls.outcomes import retry_when_unblocked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payment_service.db.pool import Pool
    from payment_service.flows.calls.outcomes import CallResult

log = structlog.get_logger(__name__)

# Each heartbeat reads what is blocked. A claim reads it itself if that is longer ago.
CACHE_S: Final = 1.5


class Blocks:
    """The blocked kinds of one provider. `*` stands for all."""

    def __init__(self, pool: Pool, provider: str, *, steady_s: Callable[[], float]) -> None:
        self._pool = pool
        self._provider = provider
        self._steady_s = steady_s
        self.known: frozenset[str] = frozenset()
        self._read_at_s = float("-inf")

    async def kinds(self) -> frozenset[str]:
        """Return the blocked kinds, as of a moment ago."""
        if self._steady_s() - self._read_at_s > CACHE_S:
            self.saw(await provider_health.blocked(self._pool, self._provider))
        return self.known

    def saw(self, blocked: frozenset[str]) -> None:
        """Note what the database has."""
        self.known, self._read_at_s = blocked, self._steady_s()

    async def block_refused_kinds(self, group: list[CallResult]) -> list[CallResult]:
        """Block the kinds that the provider refuses.

        Refusals that turn out to be a run are not results: their operations stay due.
        """
        for kind, code in {
            (s.blocked.kind or provider_health.EVERYTHING, s.blocked.code) for s in group if s.blocked is not None
        }:
            await self._block(kind, code)
        for kind in {s.operation.kind for s in group if s.unexpected_refusal}:
            run = {s.operation.payment_id for s in group if s.unexpected_refusal and s.operation.kind is kind}
            if await provider_health.extend_run(self._pool, self._provider, kind, run):
                await self._block(kind, "run_of_unexpected_refusals")
                group = [
                    retry_when_unblocked(s) if s.unexpected_refusal and s.operation.kind is kind else s for s in group
                ]
        return group

    async def recover(self, recorded: Sequence[CallResult]) -> None:
        """Unblock the kinds that succeed again."""
        worked = {s.operation.kind.value for s in recorded if s.succeeded}
        if worked and (opened := await provider_health.recover(self._pool, self._provider, worked)):
            self._read_at_s = float("-inf")
            log.warning("provider_unblocked", provider=self._provider, kinds=opened)

    async def _block(self, kind: str, reason: str) -> None:
        if kind not in self.known:
            log.error("provider_blocked", provider=self._provider, kind=kind, reason=reason)
        self.known |= {kind}
        await provider_health.block(self._pool, self._provider, kind, reason)
