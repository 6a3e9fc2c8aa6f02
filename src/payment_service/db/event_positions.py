"""Rows of `event_positions`: how far the events of each provider are read. All replicas share the row of a provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from payment_service.db.pool import Pool

_SQL = load(__package__, "event_positions.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsPosition:
    """How far events are read. Times are the provider's seconds.

    All events up to `read_until` are stored. `window_until` is the end of a window of which some pages were read, or None.
    `after` is the position inside that window. `clock_ahead_s`: the provider's clock minus the database's.
    """

    read_until: int
    window_until: int | None = None
    after: str = ""
    clock_ahead_s: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedPage:
    """A claimed page. `now_s` is the database's clock, seconds."""

    round: int
    position: EventsPosition
    now_s: int


async def ensure(pool: Pool, provider: str) -> None:
    """Insert the row of a provider, if it is missing."""
    await pool.execute(_SQL.ensure, provider)


async def claim_events(
    pool: Pool, provider: str, *, rate_per_s: float, burst: float, lease_s: float, at_least_every_s: float
) -> ClaimedPage | None:
    """Claim the next page within the shared budget. Return None if none is due or the budget is used up."""
    row = await pool.fetchrow(_SQL.claim_events, provider, rate_per_s, burst, lease_s, at_least_every_s)
    if row is None:
        return None
    position = EventsPosition(
        read_until=row["events_read_until"],
        window_until=row["window_until"],
        after=row["events_after"],
        clock_ahead_s=row["clock_ahead_s"],
        failures=row["failures"],
    )
    return ClaimedPage(round=row["round"], position=position, now_s=row["now_s"])


async def save_events(pool: Pool, provider: str, claimed: ClaimedPage, now: EventsPosition, *, delay_s: float) -> None:
    """Move the position, unless another replica has claimed the page meanwhile. The next page is due in `delay_s`."""
    await pool.execute(
        _SQL.save_events,
        provider,
        claimed.round,
        now.read_until,
        now.window_until,
        now.after,
        now.clock_ahead_s,
        now.failures,
        delay_s,
    )
