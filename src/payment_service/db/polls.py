"""Rows of `polls`: payments of which something is open, and when the provider is asked about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payment_service.db.queries import load
from payment_service.domain.dispute import CLOSED
from payment_service.domain.payment import Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "polls.sql")

# Customers pay within a minute or two. Most payments have ended then, and need no call.
FIRST_WAIT_S: Final = 180.0
# Something that is open for days changes rarely. Four reads a day stay far below Stripe's 500 reads per transaction
# (https://docs.stripe.com/rate-limits).
WAIT_MAX_S: Final = 21_600.0
# Banks decide disputes within weeks, so the first wait is 96 min.
DISPUTE_TRIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """A due poll, and what is open of its payment."""

    id: UUID
    provider: str
    provider_payment_id: str | None
    tries: int
    status: Status
    refunds_pending: bool
    disputed: bool

    @property
    def open(self) -> bool:
        """Return whether anything is open."""
        return not self.status.ended or self.refunds_pending or self.disputed


def wait_s(tries: int) -> float:
    """Return the seconds until the next poll after `tries` polls."""
    return min(WAIT_MAX_S, FIRST_WAIT_S * 2.0 ** min(tries, 10))


async def begin_round(pool: Pool, provider: str, *, interval_s: float, rate_per_s: float, burst: float) -> bool:
    """Return whether this replica may request reads now. The next round begins in `interval_s`."""
    return await pool.fetchval(_SQL.begin_round, provider, interval_s, rate_per_s, burst) is not None


async def lock_due(connection: Connection, provider: str, limit: int) -> list[Poll]:
    """Lock due polls; skip those that other sessions have locked."""
    rows = await connection.fetch(_SQL.lock_due, provider, limit, [status.value for status in CLOSED])
    return [
        Poll(
            id=row["payment_id"],
            provider=row["provider"],
            provider_payment_id=row["provider_payment_id"],
            tries=row["tries"],
            status=Status(row["status"]),
            refunds_pending=row["refunds_pending"],
            disputed=row["disputed"],
        )
        for row in rows
    ]


async def postpone(connection: Connection, polls: Sequence[Poll]) -> None:
    """Set the next due time of locked polls, by their back-off."""
    await connection.execute(_SQL.postpone, [p.id for p in polls], [wait_s(p.tries + 1) for p in polls])


async def request(connection: Connection, wanted: Sequence[tuple[UUID, str, int]]) -> None:
    """Poll (payment, provider, tries to begin with) of locked payments."""
    await connection.execute(
        _SQL.request,
        [payment_id for payment_id, _, _ in wanted],
        [provider for _, provider, _ in wanted],
        [wait_s(tries) for _, _, tries in wanted],
        [tries for _, _, tries in wanted],
    )


async def end(connection: Connection, payment_ids: Sequence[UUID]) -> None:
    """Poll these payments no longer."""
    await connection.execute(_SQL.end, payment_ids)
