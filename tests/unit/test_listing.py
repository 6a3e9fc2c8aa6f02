"""Listings that show what became of creates: short enough to end, long enough to hold what may have been made."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from payment_service.flows.listing import LISTING_MARGIN, LISTING_MAX, group_by_window, limit_of, window_of
from tests.unit.test_endings import NOW, claimed


def test_a_create_from_long_ago_does_not_lengthen_the_listing_of_the_others() -> None:
    """A joint listing of a day has more intents than can be listed, so that none of them would ever be resolved."""
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
def test_a_listing_may_hold_what_our_rate_lets_us_make_within_its_window(rate_per_s: float) -> None:
    """Else it is given up each time, and its creates stay unsettled for good."""
    created_from, created_to = window_of([claimed(first_sent_at=NOW, last_sent_at=NOW)])
    limit = limit_of(created_from, created_to, rate_per_s)
    assert limit >= rate_per_s * (created_to - created_from).total_seconds()
    assert limit <= LISTING_MAX


def test_no_rate_makes_a_listing_endless() -> None:
    assert limit_of(NOW, NOW + timedelta(hours=1), 100_000) == LISTING_MAX
