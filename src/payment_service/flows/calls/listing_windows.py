"""Compute which creates share a listing of intents, and how long the listing may be. Pure."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from payment_service.db.operations import Claimed

# Allowed clock difference between the provider and the database.
LISTING_MARGIN: Final = timedelta(minutes=5)
# If a restored backup lost a row, its key finds a later intent for 23 h. The other 11 h are for creates that wait for
# their turn.
LOST_BEFORE: Final = timedelta(hours=12)
LISTING_MIN: Final = 10_000
LISTING_MAX: Final = 100_000  # a thousand pages, about four minutes
# At Stripe's limit of 25 creates a second an hour has 90,000 intents, so every slice can be listed completely.
LISTING_SLICE: Final = timedelta(hours=1)
# Factor for intents that other programs create in the same account.
_OTHERS: Final = 2


def group_by_window(claimed: Iterable[Claimed]) -> list[list[Claimed]]:
    """Group creates that began at about the same time. A single old create would widen the window of all others.

    Creates that were never sent form one group, because their windows end at the same time.
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
    """Return the times, by the provider's clock, between which these creates can have made intents."""
    first = min(o.first_sent_at for o in claimed)
    last = max(_last_sent_at(o) for o in claimed)
    return first - LISTING_MARGIN, max(first, last) + LISTING_MARGIN


def _last_sent_at(operation: Claimed) -> datetime:
    """Return the latest time at which a create can have been sent, perhaps by a process on a database that is lost."""
    if operation.last_sent_at is not None:
        return operation.last_sent_at
    # A create that is still wanted is sent after the look, and its key finds what is younger.
    return operation.claimed_at if operation.withdrawal is not None else operation.claimed_at - LOST_BEFORE


def slices_of(created_from: datetime, created_to: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut a window into slices that can be listed completely. Slices do not share a second."""
    while created_from <= created_to:
        end = min(created_from + LISTING_SLICE, created_to)
        yield created_from, end
        created_from = end + timedelta(seconds=1)


def limit_of(created_from: datetime, created_to: datetime, rate_per_s: float) -> int:
    """Return the most intents that a listing may hold. `rate_per_s` counts creates per second.

    It must exceed what our rate allows in the window: an aborted listing resolves no create.
    """
    expected = math.ceil(_OTHERS * rate_per_s * (created_to - created_from).total_seconds())
    return min(LISTING_MAX, max(LISTING_MIN, expected))
