"""Look for the intents of creates whose key cannot help any more.

A listing answers for every create of its window. Creates that come up while listings run share the next one: after a restored
backup thousands come up, and a listing for each few of them read the same intents hundreds of times.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from payment_service.crash_points import reached
from payment_service.flows.calls.find_intents import find_intents
from payment_service.flows.calls.listing_windows import group_by_window
from payment_service.flows.calls.outcomes import conclude_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from payment_service.db.operations import Claimed
    from payment_service.flows.calls.outcomes import CallResult
    from payment_service.provider.port import Provider


class CreateLookups:
    """The lookups of one worker. `report` takes a result, `abandon` the creates whose lookup was interrupted."""

    def __init__(
        self,
        provider: Provider,
        *,
        rate_per_s: float,
        jitter: Callable[[], float],
        report: Callable[[CallResult], None],
        abandon: Callable[[Iterable[Claimed]], None],
    ) -> None:
        self._provider = provider
        self._rate_per_s = rate_per_s
        self._jitter = jitter
        self._report = report
        self._abandon = abandon
        self._waiting: list[Claimed] = []
        self._listed = 0

    @property
    def count(self) -> int:
        """Return how many creates are looked for."""
        return len(self._waiting) + self._listed

    async def find(self, claimed: Iterable[Claimed]) -> None:
        """List for these creates and for those that come up meanwhile. While listings run, leave them to the next one."""
        self._waiting += claimed
        if self._listed:
            return
        try:
            while self._waiting:
                groups, self._listed, self._waiting = group_by_window(self._waiting), len(self._waiting), []
                await asyncio.gather(*map(self._list, groups))
        finally:
            self._listed = 0
            self._abandon(self._waiting)
            self._waiting = []

    async def _list(self, group: list[Claimed]) -> None:
        """List intents once for all creates of a window."""
        try:
            reached("dispatch.list.call.before")
            found = await find_intents(self._provider, group, rate_per_s=self._rate_per_s)
            reached("dispatch.list.call.after")
        except BaseException:
            self._abandon(group)
            raise
        for operation in group:
            facts = found.get(operation.payment_id, ()) if found is not None else None
            self._report(conclude_read(operation, facts, jitter=self._jitter))
