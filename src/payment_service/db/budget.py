"""Rows of `provider_budget`: the rate limit that all replicas share. Claims take their tokens in the statement that claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db.queries import load
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from payment_service.db.pool import Pool

_SQL = load(__package__, "budget.sql")

# Part of the rate of one second. With a refill of 20/s and one call that a checkout may take in advance, no second exceeds the
# 25 calls of Stripe's limit.
BURST_S: Final = 0.2
# Share of the rate that checkouts may take. However many customers wait, operations keep the other half.
CHECKOUT_SHARE: Final = 0.5


def burst(rate_per_s: float) -> float:
    """Return how many calls may follow an idle time at once."""
    return max(1.0, rate_per_s * BURST_S)


async def take(pool: Pool, provider: str, *, rate_per_s: float, calls: int) -> int:
    """Take at most this many calls. Return how many there were."""
    return int(await pool.fetchval(_SQL.take, provider, rate_per_s, burst(rate_per_s), calls) or 0)


async def give_back(pool: Pool, provider: str, calls: int) -> None:
    """Return calls that were taken and not made."""
    await pool.execute(_SQL.give_back, provider, calls)


async def spend(pool: Pool, provider: str) -> None:
    """Count a second call of a claimed operation."""
    await pool.execute(_SQL.spend, provider)


async def spend_on_checkout(pool: Pool, provider: str, *, rate_per_s: float) -> bool:
    """Take one call for a waiting customer; False if none is left now."""
    share = rate_per_s * CHECKOUT_SHARE
    granted = await pool.fetchval(
        _SQL.spend_on_checkout, provider, rate_per_s, burst(rate_per_s), share, burst(rate_per_s)
    )
    return granted is not None


async def spend_in_background(pool: Pool, provider: str, *, rate_per_s: float, at_once: bool) -> bool:
    """Take one call for a background read; False if a call waits or no token is left. `at_once` takes it in any case."""
    granted = await pool.fetchval(
        _SQL.spend_in_background, provider, rate_per_s, burst(rate_per_s), at_once, [kind.value for kind in Kind]
    )
    return granted is not None
