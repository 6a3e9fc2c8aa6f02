"""Read a provider for reconciliation: within the shared budget, after real work, and again after a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from payment_service.db import budget, operations
from payment_service.provider.calls import list_objects, read_object
from payment_service.provider.port import Transient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from payment_service.db.pool import Pool
    from payment_service.flows.reconciliation.journal import Journal
    from payment_service.provider.listed_objects import ListedObject, ListedPage, NoObject, ObjectKind, Reconcilable

T = TypeVar("T")

log = structlog.get_logger(__name__)

# A permanent backlog of calls delays reads, and does not stop them: one page every ten seconds is a percent of the rate.
WAIT_MAX_S: Final = 10.0
# At 20 calls a second a token is there after 50 ms.
WAIT_STEP_S: Final = 0.05
# After 1, 2, 4, 8 and 16 s the provider has an outage. The run stops, and resumes later.
TRIES_MAX: Final = 6


class ProviderUnavailable(Exception):
    """The provider does not return its objects. The message has the code of the last answer."""


class BudgetedReads:
    """Reads of one provider within its shared budget. `rate_per_s` is that of the budget, `limit_s` that of a read."""

    def __init__(self, pool: Pool, name: str, *, rate_per_s: float, limit_s: float) -> None:
        self._pool = pool
        self._rate_per_s = rate_per_s
        self.limit_s = limit_s
        self.name = name

    async def prepare(self) -> None:
        """Insert the token bucket of the provider, if it is missing."""
        await operations.ensure_budget(self._pool, self.name)

    async def read(self, journal: Journal, read: Callable[[], Awaitable[T | Transient]]) -> T:
        """Read, again after a failure. Raise ProviderUnavailable, Interrupted, LeaseLost."""
        code = ""
        for tries in range(TRIES_MAX):
            await self._take_turn(journal)
            answer = await read()
            if not isinstance(answer, Transient):
                return answer
            code = answer.code
            log.warning("provider_not_listed", provider=self.name, code=code, tries=tries + 1)
            if tries + 1 < TRIES_MAX:
                await journal.pace.pause(max(answer.retry_after_s, 2.0**tries))
        message = f"The provider {self.name} does not list its objects ({code})."
        raise ProviderUnavailable(message)

    async def _take_turn(self, journal: Journal) -> None:
        waited_s = 0.0
        while not await budget.spend_in_background(
            self._pool, self.name, rate_per_s=self._rate_per_s, at_once=waited_s >= WAIT_MAX_S
        ):
            await journal.keep()
            await journal.pace.pause(WAIT_STEP_S)
            waited_s += WAIT_STEP_S
        await journal.keep()


class ProviderReads(BudgetedReads):
    """Lists and reads of the objects of one provider."""

    def __init__(self, pool: Pool, name: str, provider: Reconcilable, *, rate_per_s: float, limit_s: float) -> None:
        super().__init__(pool, name, rate_per_s=rate_per_s, limit_s=limit_s)
        self._provider = provider

    async def page(
        self, journal: Journal, kind: ObjectKind, *, created_from: int, created_to: int, after: str
    ) -> ListedPage:
        """List a page. Raise ProviderUnavailable, Interrupted, LeaseLost."""
        return await self.read(
            journal,
            lambda: list_objects(
                self._provider,
                kind,
                created_from=created_from,
                created_to=created_to,
                after=after,
                limit_s=self.limit_s,
            ),
        )

    async def one(self, journal: Journal, kind: ObjectKind, object_id: str) -> ListedObject | NoObject:
        """Read an object. Raise ProviderUnavailable, Interrupted, LeaseLost."""
        return await self.read(journal, lambda: read_object(self._provider, kind, object_id, limit_s=self.limit_s))
