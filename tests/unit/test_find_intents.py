"""Intents are found by listing a window of time: in one request if it holds few, slice by slice if it holds many."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from payment_service.flows.calls.find_intents import find_intents
from payment_service.flows.calls.listing_windows import LISTING_SLICE
from tests.unit.test_outcomes import NOW, claimed, found

OURS, OTHER = UUID(int=2), UUID(int=77)


class Account:
    """A provider with a given number of intents a second, and up to two of ours. It records the requested windows."""

    name = "stripe"

    def __init__(self, per_second: float, made_at: datetime | None) -> None:
        self.per_second = per_second
        self.made_at = made_at
        self.more_made_at: datetime | None = None
        self.requested: list[tuple[int, int]] = []
        self.whole = True

    async def find_intents(self, *, created_from: int, created_to: int, limit: int) -> Any:
        self.requested.append((created_from, created_to))
        if not self.whole or (created_to - created_from) * self.per_second > limit:
            return None
        times = [made for made in (self.made_at, self.more_made_at) if made is not None]
        ours = tuple(found() for made in times if created_from <= made.timestamp() <= created_to)
        return {OTHER: (found(intent_id="pi_other"),), **({OURS: ours} if ours else {})}


async def find(account: Account, begun: timedelta) -> Any:
    operation = claimed(payment_id=OURS, first_sent_at=NOW - begun, last_sent_at=NOW)
    return await find_intents(cast("Any", account), [operation], rate_per_s=20)


@pytest.mark.parametrize(
    ("per_second", "most"), [(0.1, 1), (25, 40)], ids=["a quiet account", "an account at its limit"]
)
@pytest.mark.parametrize("ago", [timedelta(hours=23), timedelta(hours=7), timedelta()])
async def test_our_intent_is_found_among_any_number_of_others(per_second: float, most: int, ago: timedelta) -> None:
    account = Account(per_second, NOW - ago)
    assert await find(account, timedelta(hours=23)) == {OURS: (found(),)}
    assert len(account.requested) <= most
    nothing = Account(per_second, None)
    assert await find(nothing, timedelta(hours=23)) == {}


async def test_a_short_window_needs_one_request() -> None:
    account = Account(25, NOW)
    assert await find(account, timedelta(minutes=20)) == {OURS: (found(),)}
    assert len(account.requested) == 1
    assert account.requested[0][1] - account.requested[0][0] < LISTING_SLICE.total_seconds()


async def test_an_incomplete_listing_gives_no_result() -> None:
    account = Account(25, NOW)
    account.whole = False
    assert await find(account, timedelta(hours=23)) is None
    assert len(account.requested) == 2


async def test_a_second_intent_in_an_earlier_slice_is_found_too() -> None:
    """Both carry the payment's id: the first becomes its own, and the second must be canceled."""
    account = Account(25, NOW - timedelta(hours=20))
    account.more_made_at = NOW - timedelta(hours=2)
    assert await find(account, timedelta(hours=23)) == {OURS: (found(), found())}
