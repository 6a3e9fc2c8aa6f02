"""Rows of `approvals`: refunds above a person's limit, which wait for a second person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from payment_service.db.queries import load
from payment_service_events.currency import currency
from payment_service_events.money import Money

if TYPE_CHECKING:
    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "approvals.sql")

# A shift later, somebody looks; a request that nobody approved within a day is asked for again.
APPROVAL_LIFETIME: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A request for approval. `decision`: approved, declined, or None while it is open."""

    id: UUID
    payment_id: UUID
    amount: Money
    reason: str
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None
    expired: bool

    @property
    def open(self) -> bool:
        """True while somebody can decide it."""
        return self.decision is None and not self.expired


async def create(connection: Connection, payment_id: UUID, amount: Money, *, reason: str, requested_by: str) -> UUID:
    """Insert a request and return its id."""
    created: UUID = await connection.fetchval(
        _SQL.create, payment_id, amount.minor, amount.currency.code, reason, requested_by, APPROVAL_LIFETIME
    )
    return created


async def find(connection: Connection | Pool, approval_id: UUID) -> Approval | None:
    """Return a request."""
    row = await connection.fetchrow(_SQL.find, approval_id)
    return _from_row(row) if row else None


async def lock(connection: Connection, approval_id: UUID) -> Approval | None:
    """Lock a request, so that one decision counts."""
    row = await connection.fetchrow(_SQL.lock, approval_id)
    return _from_row(row) if row else None


async def open_requests(connection: Connection | Pool, *, limit: int) -> list[Approval]:
    """List the requests that can be decided, oldest first."""
    return [_from_row(row) for row in await connection.fetch(_SQL.open, limit)]


async def of_payment(connection: Connection | Pool, payment_id: UUID, *, limit: int) -> list[Approval]:
    """List the requests of a payment, newest first."""
    return [_from_row(row) for row in await connection.fetch(_SQL.of_payment, payment_id, limit)]


async def decide(connection: Connection, approval_id: UUID, decision: str, decided_by: str) -> None:
    """Record the decision about a locked, open request."""
    await connection.execute(_SQL.decide, approval_id, decision, decided_by)


def _from_row(row: Any) -> Approval:
    fields = dict(row)
    unit = currency(fields.pop("currency"))
    return Approval(**{**fields, "amount": Money(fields["amount"], unit)})
