"""Ask the provider about everything that is open for longer than usual, with back-off, after all other work.

The list of events comes first and needs a hundredth of the calls. A single read finds what no event reported.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from payment_service.crash_points import reached
from payment_service.db import budget, operations, polls
from payment_service.domain.payment import Status
from payment_service.flows.state.batches import process_batches
from payment_service.flows.state.system_operations import reads_of_poll
from payment_service.loop import Loop
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payment_service.db.polls import Poll
    from payment_service.flows.state.context import Context

# All replicas together begin a round per second.
ROUND_S: Final = 1.0
# Part of the rate that a round may use. The rest stays free for work that arrives meanwhile.
SHARE: Final = 0.2


class Poller:
    """Request reads of the payments of one provider."""

    def __init__(self, context: Context, *, name: str, rate_per_s: float) -> None:
        self._context = context
        self._name = name
        self._rate_per_s = rate_per_s
        self._limit = max(1, int(rate_per_s * SHARE * ROUND_S))
        self._loop = Loop(f"polls.{name}", self.poll_once, interval_max_s=ROUND_S)

    async def start(self) -> None:
        """Insert the provider's budget if it is missing, and start the loop."""
        await operations.ensure_budget(self._context.pool, self._name)
        self._loop.start()

    async def stop(self, grace_s: float) -> None:
        """Give the round `grace_s` to finish, then stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._loop.stop()

    async def poll_once(self) -> int:
        """Request due reads, unless other work waits. Return the number of polls."""
        if not self._context.may_decide():
            return 0
        burst = budget.burst(self._rate_per_s)
        if not await polls.begin_round(
            self._context.pool, self._name, interval_s=ROUND_S, rate_per_s=self._rate_per_s, burst=burst
        ):
            return 0
        return len(await process_batches(self._poll, self._limit, failure_event="polls_group_failed"))

    async def _poll(self, limit: int) -> list[Poll]:
        async with self._context.pool.acquire() as connection, connection.transaction():
            due = await polls.lock_due(connection, self._name, limit)
            if not due:
                return due
            still_open = [one for one in due if one.open]
            if ended := [one.id for one in due if not one.open]:
                await polls.end(connection, ended)
            await polls.postpone(connection, still_open)
            reads = [read for one in still_open for read in reads_of_poll(one, self._context.providers)]
            if reads:
                await operations.enqueue_again(connection, sorted(reads, key=lambda read: read.id))
            reached("polls.commit.before")
        reached("polls.commit.after")
        for one in still_open:
            for kind in _kinds(one):
                metrics.POLLS.labels(kind).inc()
        if reads:
            self._context.wake_dispatcher()
        return due


def _kinds(poll: Poll) -> Iterator[str]:
    if not poll.status.ended:
        yield "hold" if poll.status is Status.AUTHORIZED else "payment"
    if poll.refunds_pending:
        yield "refund"
    if poll.disputed:
        yield "dispute"
