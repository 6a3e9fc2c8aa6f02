"""Creates that come up while intents are listed share the next listing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast
from uuid import UUID

import pytest

from payment_service.db.operations import Claimed
from payment_service.flows.calls.create_lookups import CreateLookups
from payment_service.flows.calls.outcomes import CallResult
from tests.unit.test_outcomes import NOW, claimed


def create(number: int) -> Claimed:
    return claimed(id=UUID(int=number), payment_id=UUID(int=number), first_sent_at=NOW, last_sent_at=NOW)


class Account:
    """A provider without intents, whose listings take as long as the test wants."""

    name = "stripe"

    def __init__(self) -> None:
        self.listings = 0
        self.may_end = asyncio.Event()

    async def find_intents(self, **_window: object) -> Any:
        self.listings += 1
        await self.may_end.wait()
        return {}


class Lookups:
    """Lookups of an account, the creates that were reported, and those that were abandoned."""

    def __init__(self) -> None:
        self.account = Account()
        self.reported: list[int] = []
        self.abandoned: list[int] = []
        self.lookups = CreateLookups(
            cast("Any", self.account),
            rate_per_s=20,
            jitter=lambda: 0.0,
            report=self._report,
            abandon=self._abandon,
        )

    def _report(self, result: CallResult) -> None:
        self.reported.append(result.operation.id.int)

    def _abandon(self, operations: Iterable[Claimed]) -> None:
        self.abandoned += [operation.id.int for operation in operations]

    def begin(self, *numbers: int) -> asyncio.Task[None]:
        return asyncio.create_task(self.lookups.find([create(number) for number in numbers]))

    async def begin_while_listing(self) -> list[asyncio.Task[None]]:
        """Look for one create, and for four more while its listing runs."""
        tasks = [self.begin(1)]
        await asyncio.sleep(0)
        tasks += [self.begin(2, 3), self.begin(4, 5)]
        await asyncio.wait(tasks[1:])
        assert (self.account.listings, self.lookups.count) == (1, 5)
        return tasks


async def test_creates_that_come_up_while_intents_are_listed_share_the_next_listing() -> None:
    lookups = Lookups()
    tasks = await lookups.begin_while_listing()
    lookups.account.may_end.set()
    await asyncio.gather(*tasks)
    assert (lookups.account.listings, lookups.reported, lookups.abandoned) == (2, [1, 2, 3, 4, 5], [])
    assert lookups.lookups.count == 0
    await lookups.begin(6)
    assert lookups.reported[-1] == 6


async def test_an_interrupted_listing_abandons_all_creates_and_the_next_one_works() -> None:
    lookups = Lookups()
    first, *_ = await lookups.begin_while_listing()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (lookups.reported, sorted(lookups.abandoned)) == ([], [1, 2, 3, 4, 5])
    lookups.account.may_end.set()
    await lookups.begin(6)
    assert lookups.reported == [6]
