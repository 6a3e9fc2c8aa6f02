"""The relay's lease: a database row whose holder publishes. Every replica may take it once it has expired.

A session lock would not do: it survives a host that died without closing its connection, and breaks behind a pooler.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from payment_service.db import outbox
from payment_service.db.clock import steady_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from payment_service.db.pool import Pool

LEASE_S: Final = 6.0  # with the second between two attempts, another relay publishes 7 s after a kill -9
RENEWAL_INTERVAL_S: Final = 2.0  # two renewals may fail before the lease is lost
TAKING_INTERVAL_S: Final = 1.0
# Stop this long before another replica may take the lease. Handing records to the broker takes about as long.
MARGIN_S: Final = 0.5


class Lease:
    """The lease as this process sees it. Expiry counts on the local clock, from before the query was sent."""

    def __init__(self, pool: Pool, *, clock: Callable[[], float] = steady_s) -> None:
        self._pool = pool
        self._clock = clock
        self._holder = uuid.uuid4()
        self._fence: outbox.Fence | None = None
        self._valid_until = 0.0

    @property
    def held(self) -> bool:
        """Return True while the lease is certainly held."""
        return self._fence is not None and self._clock() < self._valid_until

    @property
    def fence(self) -> outbox.Fence:
        """Return the holder and epoch to guard writes with."""
        if self._fence is None:
            message = "The lease is not held."
            raise RuntimeError(message)
        return self._fence

    async def take(self) -> bool:
        """Try to take the lease."""
        asked_at = self._clock()
        epoch = await outbox.take_lease(self._pool, self._holder, duration_s=LEASE_S)
        if epoch is not None:
            self._fence = outbox.Fence(self._holder, epoch)
            self._valid_until = asked_at + LEASE_S - MARGIN_S
        return epoch is not None

    async def renew(self) -> int | None:
        """Extend the lease; return the last position that was drawn. None: another relay has taken the lease."""
        asked_at = self._clock()
        drawn = await outbox.renew_lease(self._pool, self.fence, duration_s=LEASE_S)
        if drawn is None:
            self.lose()
        else:
            self._valid_until = asked_at + LEASE_S - MARGIN_S
        return drawn

    async def release(self) -> None:
        """Release the lease, so that another relay need not wait until it expires."""
        if self._fence is not None:
            await outbox.release_lease(self._pool, self._fence)
            self.lose()

    def lose(self) -> None:
        """Drop the lease locally after another relay has taken it."""
        self._fence = None
