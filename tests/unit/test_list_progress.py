"""A list of a provider ends: pages that reach no earlier second, and places that are lost, are counted."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from payment_service.flows.reconciliation.list_progress import STANDSTILL_PAGES_MAX, ListProgress
from payment_service.flows.reconciliation.provider_reads import TRIES_MAX, ProviderUnavailable

BEGIN = 1_000


def follow(pages: Iterable[int]) -> None:
    """Follow a list by the times of the last objects of its pages."""
    progress = ListProgress("stripe", BEGIN)
    for created in pages:
        progress.advance(created)


def test_a_list_that_reaches_earlier_seconds_goes_on_to_its_begin() -> None:
    follow(range(BEGIN + 10 * STANDSTILL_PAGES_MAX, BEGIN - 1, -1))


def test_a_second_may_have_many_pages() -> None:
    pages = STANDSTILL_PAGES_MAX + 1
    follow([BEGIN + 1] * pages + [BEGIN] * pages)


@pytest.mark.parametrize(
    "turns",
    [(BEGIN + 1, BEGIN + 2), (BEGIN, BEGIN), (0, 0), (BEGIN - 1, BEGIN - 2)],
    ids=["alternating", "the same second", "unreadable", "before the window"],
)
def test_a_list_that_goes_round_in_circles_ends(turns: tuple[int, int]) -> None:
    with pytest.raises(ProviderUnavailable):
        follow(turns * STANDSTILL_PAGES_MAX)


def test_a_list_begins_again_a_few_times_only() -> None:
    pages = ListProgress("stripe", BEGIN)
    for _ in range(TRIES_MAX):
        pages.restart()
        pages.advance(BEGIN + 1)
    with pytest.raises(ProviderUnavailable):
        pages.restart()
