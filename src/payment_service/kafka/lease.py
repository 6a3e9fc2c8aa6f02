"""One relay publishes: the one that holds the lease, a row that every replica can take when it has expired.

No session lock: it would survive a host that died without closing its connection, and break behind a pooler.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Final

from payment_service.db import outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from payment_service.db.pool import Pool

LEASE_S: Final = 6.0  # with the second between two attempts to take it, a successor publishes 7 s after a kill -9
RENEWAL_INTERVAL_S: Final = 2.0  # two renewals may fail before the lease is lost
TAKING_INTERVAL_S: Final = 1.0
# We stop this long before the lease may be another's: about as long as what is being handed to the broker takes.
MARGIN_S: Final = 0.5


def boot_clock() -> float:
    """Seconds that also pass while this machine is suspended, where the system has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """The lease as this process knows it. Expiry is judged by our own clock, from before the database was asked."""

    def __init__(self, pool: Pool, *, clock: Callable[[], float] = boot_clock) -> None:
        self._pool = pool
        self._clock = clock
        self._holder = uuid.uuid4()
        self._fence: outbox.Fence | None = None
        self._valid_until = 0.0

    @property
    def held(self) -> bool:
        """Whether it is certainly still ours."""
        return self._fence is not None and self._clock() < self._valid_until

    @property
    def fence(self) -> outbox.Fence:
        """Name the lease in what is written under it."""
        if self._fence is None:
            message = "The lease is not held."
            raise RuntimeError(message)
        return self._fence

    async def take(self) -> bool:
        """Try to become the one who publishes."""
        asked_at = self._clock()
        epoch = await outbox.take_lease(self._pool, self._holder, duration_s=LEASE_S)
        if epoch is not None:
            self._fence = outbox.Fence(self._holder, epoch)
            self._valid_until = asked_at + LEASE_S - MARGIN_S
        return epoch is not None

    async def renew(self) -> bool:
        """Extend it. False: another has taken it, and it is lost."""
        asked_at = self._clock()
        if await outbox.renew_lease(self._pool, self.fence, duration_s=LEASE_S):
            self._valid_until = asked_at + LEASE_S - MARGIN_S
            return True
        self.lose()
        return False

    async def release(self) -> None:
        """Give it back, so that a successor need not wait until it expires."""
        if self._fence is not None:
            await outbox.release_lease(self._pool, self._fence)
            self.lose()

    def lose(self) -> None:
        """Know that it is another's."""
        self._fence = None
