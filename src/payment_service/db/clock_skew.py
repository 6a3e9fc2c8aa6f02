"""The difference between this host's clock and the database's, measured all the time.

The database's clock decides (ARCHITECTURE.md, rule 21). A process whose host disagrees with it by more than 30 s says so
and does not decide: a host a day ahead would cancel every unpaid payment, and a host behind would reuse old keys.

The time between two measurements comes from a clock that nobody sets. So a jump of the host's clock changes neither
`now` nor the age of a webhook's signature, and is noticed at once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.db.clock import database_time, steady_s
from payment_service.rate_limiter import RateLimiter
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from payment_service.db.pool import Connection, Pool

log = structlog.get_logger(__name__)

# Synchronized hosts differ by milliseconds. The shortest limit that a clock decides is the hour that an idempotency key
# has left, and Stripe's tolerance of 300 s: half a minute is far below both.
SKEW_MAX_S: Final = 30.0
# Each process makes one query of 0.1 ms; a host's clock that jumps is noticed without it.
MEASURE_INTERVAL_S: Final = 5.0
# The error of a measurement is half its round trip. A slower one would say more about the network than about clocks.
ROUND_TRIP_MAX_S: Final = 2.0
LOG_INTERVAL_S: Final = 60.0


def _host_now() -> datetime:
    return datetime.now(UTC)


class ClockSkew:
    """The database's clock as this process knows it, and the host's difference from it."""

    def __init__(
        self,
        pool: Pool,
        *,
        host_now: Callable[[], datetime] = _host_now,
        steady_s: Callable[[], float] = steady_s,
        database_now: Callable[[Connection | Pool], Awaitable[datetime]] = database_time,
    ) -> None:
        self._pool = pool
        self._host_now = host_now
        self._steady_s = steady_s
        self._database_now = database_now
        self._measured: tuple[datetime, float] | None = None
        self._logged = RateLimiter(burst=1, every_s=LOG_INTERVAL_S)

    def now(self) -> datetime:
        """Return the time by the database's clock, or by the host's before the first measurement."""
        if self._measured is None:
            return self._host_now()
        at, steady_s = self._measured
        return at + timedelta(seconds=self._steady_s() - steady_s)

    def skew_s(self) -> float:
        """Return the seconds by which the host's clock is ahead of the database's; negative: behind."""
        return (self._host_now() - self.now()).total_seconds()

    def agrees(self) -> bool:
        """Return whether this process may decide. False before the first measurement."""
        return self._measured is not None and abs(self.skew_s()) <= SKEW_MAX_S

    def problem(self) -> str:
        """Return a sentence for `/ready`, or an empty string."""
        return "" if self.agrees() else describe(self.skew_s(), "the database's")

    async def measure_once(self) -> int:
        """Read the database's clock once, set the gauge, and log a difference at most once a minute. Return 0."""
        async with self._pool.acquire() as connection:
            begin_s = self._steady_s()
            at = await self._database_now(connection)
            round_trip_s = self._steady_s() - begin_s
        if self._measured is None or round_trip_s <= ROUND_TRIP_MAX_S:
            self._measured = at, begin_s + round_trip_s / 2
        skew_s = self.skew_s()
        metrics.CLOCK_SKEW_SECONDS.set(skew_s)
        if not self.agrees() and self._logged.allows("clock_skew"):
            log.error("clock_skewed", skew_s=round(skew_s, 1), limit_s=SKEW_MAX_S, effect="no calls, timers or expiry")
        return 0


def describe(skew_s: float, whose: str) -> str:
    """Return a clause about a difference of clocks, in seconds. `whose`: the other clock's owner, such as Stripe's."""
    return f"this host's clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} {whose} clock"
