"""How long a call waits before it is tried again. Pure."""

from __future__ import annotations

from typing import Final

# Full jitter: a random part of 0.5 s, doubled with every try, at most 60 s.
BACKOFF_BASE_S: Final = 0.5
BACKOFF_MAX_S: Final = 60.0
# An operator or the next payments top a balance up: first after a minute, then every hour for a week.
BALANCE_RETRY_BASE_S: Final = 30.0
BALANCE_RETRY_MAX_S: Final = 3600.0
BALANCE_RETRIES_MAX: Final = 7 * 24


def backoff_s(tries: int, jitter: float) -> float:
    """Return the seconds to wait after the `tries`-th try: full jitter, doubling, capped."""
    return min(BACKOFF_MAX_S, BACKOFF_BASE_S * 2.0 ** min(tries, 10)) * jitter


def balance_delay_s(epoch: int) -> float:
    """Return the seconds to wait for our balance at the provider, which has refused this epoch."""
    return min(BALANCE_RETRY_MAX_S, BALANCE_RETRY_BASE_S * 2.0 ** min(epoch, 10))
