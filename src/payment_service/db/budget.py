"""The row of `provider_budget`: how often a provider may be called, by all replicas together. Claims debit it as they claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db.queries import load

if TYPE_CHECKING:
    from payment_service.db.pool import Pool

_SQL = load(__package__, "budget.sql")

# A part of a second's rate. With a refill of 20 a second and the one call that a checkout may take ahead, no second sees more
# than Stripe's 25.
BURST_S: Final = 0.2
# Of the rate, what customers at a checkout may take: however many there are, half is left for operations.
CHECKOUT_SHARE: Final = 0.5


def burst(rate_per_s: float) -> float:
    """How many calls may be made at once after a silence."""
    return max(1.0, rate_per_s * BURST_S)


async def spend_on_checkout(pool: Pool, provider: str, *, rate_per_s: float) -> bool:
    """Take one call for a customer who waits; False: not now."""
    share = rate_per_s * CHECKOUT_SHARE
    granted = await pool.fetchval(
        _SQL.spend_on_checkout, provider, rate_per_s, burst(rate_per_s), share, burst(rate_per_s)
    )
    return granted is not None
