"""Find the intents of creates whose idempotency key cannot help any more, by listing a time window."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from payment_service.flows.calls.listing_windows import LISTING_MIN, LISTING_SLICE, limit_of, slices_of, window_of
from payment_service.provider.calls import list_intents

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from payment_service.db.operations import Claimed
    from payment_service.domain.payment import IntentFact
    from payment_service.provider.port import Provider

    Found = dict[UUID, tuple[IntentFact | None, ...]]


async def find_intents(provider: Provider, claimed: Sequence[Claimed], *, rate_per_s: float) -> Found | None:
    """Return the intents that carry the ids of these payments, or None if the listing is incomplete."""
    begin, end = window_of(claimed)
    if end - begin > LISTING_SLICE and (found := await _list(provider, claimed, begin, end, LISTING_MIN)) is not None:
        # A long window with few intents, as after an outage.
        return found
    found = {}
    for slice_begin, slice_end in slices_of(begin, end):
        limit = limit_of(slice_begin, slice_end, rate_per_s)
        if (piece := await _list(provider, claimed, slice_begin, slice_end, limit)) is None:
            return None
        found |= {name: (*found.get(name, ()), *facts) for name, facts in piece.items()}
    return found


async def _list(
    provider: Provider, claimed: Sequence[Claimed], begin: datetime, end: datetime, limit: int
) -> Found | None:
    created_from, created_to = int(begin.timestamp()), int(end.timestamp())
    listed = await list_intents(provider, created_from=created_from, created_to=created_to, limit=limit)
    if listed is None:
        return None
    return {o.payment_id: listed[o.payment_id] for o in claimed if o.payment_id in listed}
