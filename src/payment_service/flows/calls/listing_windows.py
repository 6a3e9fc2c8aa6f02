"""Which creates are looked for by one listing, and how long it may be. Pure."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from payment_service.db.operations import Claimed

# Clocks of the provider and the database may differ by this much.
LISTING_MARGIN: Final = timedelta(minutes=5)
# What a row that a restored backup lost has made later than this is found by its key, which helps for 23 h; the rest of them is
# for the time that a create waits for its turn.
LOST_BEFORE: Final = timedelta(hours=12)
LISTING_MIN: Final = 10_000
LISTING_MAX: Final = 100_000  # a thousand pages, some four minutes
# At Stripe's limit of 25 creates a second an hour has 90,000 intents, so that every listing can be whole.
LISTING_SLICE: Final = timedelta(hours=1)
# The account's intents of other makes, beside those that our own rate allows.
_OTHERS: Final = 2


def group_by_window(claimed: Iterable[Claimed]) -> list[list[Claimed]]:
    """Creates begun at about the same time share a listing; one from long ago would make that of all the others endless.

    Those that were never sent share one, whenever they are from: all of their windows end at the same time.
    """
    in_order = sorted(claimed, key=lambda o: o.first_sent_at)
    unsent = [o for o in in_order if o.last_sent_at is None]
    groups: list[list[Claimed]] = []
    for operation in (o for o in in_order if o.last_sent_at is not None):
        if not groups or operation.first_sent_at > groups[-1][0].first_sent_at + LISTING_MARGIN:
            groups.append([])
        groups[-1].append(operation)
    return [unsent, *groups] if unsent else groups


def window_of(claimed: Sequence[Claimed]) -> tuple[datetime, datetime]:
    """Between which moments, by the provider's clock, the intents of these creates can have been made."""
    first = min(o.first_sent_at for o in claimed)
    last = max(o.last_sent_at or o.claimed_at - LOST_BEFORE for o in claimed)
    return first - LISTING_MARGIN, max(first, last) + LISTING_MARGIN


def slices_of(created_from: datetime, created_to: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut a window into pieces that can be listed whole. None of them shares a second with the next."""
    while created_from <= created_to:
        end = min(created_from + LISTING_SLICE, created_to)
        yield created_from, end
        created_from = end + timedelta(seconds=1)


def limit_of(created_from: datetime, created_to: datetime, rate_per_s: float) -> int:
    """How many intents a listing may have: what the rate (creates a second) lets us make meanwhile must fit in.

    A listing that is given up shows nothing, and its creates would never be resolved.
    """
    expected = math.ceil(_OTHERS * rate_per_s * (created_to - created_from).total_seconds())
    return min(LISTING_MAX, max(LISTING_MIN, expected))
