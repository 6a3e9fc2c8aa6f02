"""Listing windows are short enough to finish and long enough to contain every intent that may exist."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.flows.calls.listing_windows import (
    LISTING_MARGIN,
    LISTING_MAX,
    LISTING_SLICE,
    LOST_BEFORE,
    group_by_window,
    limit_of,
    slices_of,
    window_of,
)
from tests.unit.test_outcomes import NOW, claimed


def test_an_old_create_gets_a_listing_window_of_its_own() -> None:
    """A joint window of a day holds more intents than can be listed, so none of its creates would be resolved."""
    recent = [
        claimed(id=UUID(int=i), first_sent_at=NOW - timedelta(seconds=i), last_sent_at=NOW - timedelta(seconds=i))
        for i in range(15)
    ]
    old = claimed(id=UUID(int=99), first_sent_at=NOW - timedelta(hours=23), last_sent_at=NOW - timedelta(hours=22))
    groups = group_by_window([*recent, old])
    assert sorted(len(group) for group in groups) == [1, 15]
    created_from, created_to = window_of(max(groups, key=len))
    assert created_to - created_from < timedelta(minutes=1) + 2 * LISTING_MARGIN


@pytest.mark.parametrize("rate_per_s", [0.1, 20, 80])
def test_the_listing_limit_covers_our_rate_within_the_window(rate_per_s: float) -> None:
    """Otherwise each listing would be given up, and its creates would stay unresolved."""
    created_from, created_to = window_of([claimed(first_sent_at=NOW, last_sent_at=NOW)])
    limit = limit_of(created_from, created_to, rate_per_s)
    assert limit >= rate_per_s * (created_to - created_from).total_seconds()
    assert limit <= LISTING_MAX


def test_the_listing_limit_is_bounded_at_any_rate() -> None:
    assert limit_of(NOW, NOW + timedelta(hours=1), 100_000) == LISTING_MAX


def test_unsent_creates_share_one_listing_window() -> None:
    """The window ends where idempotency keys take effect: for later creates the key itself gives the answer."""
    unsent = [
        claimed(id=UUID(int=i), epoch=0, first_sent_at=NOW - timedelta(days=i), last_sent_at=None) for i in range(1, 4)
    ]
    groups = group_by_window([claimed(), *unsent])
    assert [len(group) for group in groups] == [3, 1]
    assert window_of(groups[0]) == (NOW - timedelta(days=3) - LISTING_MARGIN, NOW - LOST_BEFORE + LISTING_MARGIN)


@given(st.datetimes(timezones=st.just(UTC)), st.timedeltas(timedelta(), timedelta(days=7)))
def test_slices_cover_each_second_of_a_window_once(begin: datetime, length: timedelta) -> None:
    begin = min(begin, datetime.max.replace(tzinfo=UTC) - timedelta(days=8))
    slices = [(int(a.timestamp()), int(b.timestamp())) for a, b in slices_of(begin, begin + length)]
    assert slices[0][0] == int(begin.timestamp())
    assert slices[-1][1] == int((begin + length).timestamp())
    assert all(b - a <= LISTING_SLICE.total_seconds() for a, b in slices)
    assert all(after[0] == before[1] + 1 for before, after in pairwise(slices))


def test_a_slice_can_be_listed_at_the_providers_maximum_rate() -> None:
    """Stripe takes 25 creates a second (https://docs.stripe.com/rate-limits)."""
    assert 25 * LISTING_SLICE.total_seconds() <= limit_of(NOW, NOW + LISTING_SLICE, 20) == LISTING_MAX
