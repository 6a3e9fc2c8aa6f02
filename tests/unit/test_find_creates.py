"""Creates are found by listing the time in question: at once where that holds little, hour by hour where it holds much."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from payment_service.flows.calls.find_intents import find_intents
from payment_service.flows.calls.listing_windows import LISTING_SLICE
from tests.unit.test_endings import NOW, claimed, found

OURS, OTHER = UUID(int=2), UUID(int=77)


class Account:
    """A provider with so many intents a second, and ours made at one moment; what was asked of it is noted."""

    name = "stripe"

    def __init__(self, per_second: float, made_at: datetime | None) -> None:
        self.per_second = per_second
        self.made_at = made_at
        self.asked: list[tuple[int, int]] = []
        self.whole = True

    async def find_intents(self, *, created_from: int, created_to: int, limit: int) -> Any:
        self.asked.append((created_from, created_to))
        if not self.whole or (created_to - created_from) * self.per_second > limit:
            return None
        ours = self.made_at is not None and created_from <= self.made_at.timestamp() <= created_to
        return {OTHER: (found(intent_id="pi_other"),), **({OURS: (found(),)} if ours else {})}


async def look(account: Account, begun: timedelta) -> Any:
    operation = claimed(payment_id=OURS, first_sent_at=NOW - begun, last_sent_at=NOW)
    return await find_intents(cast("Any", account), [operation], rate_per_s=20)


@pytest.mark.parametrize(("per_second", "most"), [(0.1, 1), (25, 40)], ids=["a quiet account", "one at its limit"])
@pytest.mark.parametrize("ago", [timedelta(hours=23), timedelta(hours=7), timedelta()])
async def test_whatever_an_account_holds_ours_is_found_and_nothing_else_kept(
    per_second: float, most: int, ago: timedelta
) -> None:
    account = Account(per_second, NOW - ago)
    assert await look(account, timedelta(hours=23)) == {OURS: (found(),)}
    assert len(account.asked) <= most
    nothing = Account(per_second, None)
    assert await look(nothing, timedelta(hours=23)) == {}


async def test_a_short_window_is_one_listing() -> None:
    account = Account(25, NOW)
    assert await look(account, timedelta(minutes=20)) == {OURS: (found(),)}
    assert len(account.asked) == 1
    assert account.asked[0][1] - account.asked[0][0] < LISTING_SLICE.total_seconds()


async def test_what_could_not_be_listed_whole_says_nothing() -> None:
    account = Account(25, NOW)
    account.whole = False
    assert await look(account, timedelta(hours=23)) is None
    assert len(account.asked) == 2
