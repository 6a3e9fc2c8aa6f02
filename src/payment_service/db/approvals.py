"""Rows of `approvals`: refunds above the limit of a person or of an API key, which wait for a second person."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
_DECISIONS = load(__package__, "approval_decisions.sql")

# A shift later, somebody looks; a request that nobody approved within a day is asked for again.
APPROVAL_LIFETIME: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A request for approval. `decision`: approved, declined, or None while it is open.

    `client` and `key` name the request of an API key: its client and idempotency key. None: a person requested it on the pages.
    """

    id: UUID
    payment_id: UUID
    order_id: str
    amount: Money
    reason: str
    requested_by: str
    client: str | None
    key: str | None
    parameters: Mapping[str, Any]
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


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """The request of an API key: the key, its client, and the idempotency key."""

    key_id: UUID
    client: str
    key: str


async def create(
    connection: Connection,
    payment_id: UUID,
    amount: Money,
    *,
    requested_by: str,
    parameters: Mapping[str, Any],
    by_key: KeyRequest | None = None,
) -> UUID:
    """Insert a request and return its id. `parameters`: the refund as requested, JSON values; its reason is shown."""
    created: UUID = await connection.fetchval(
        _SQL.create,
        payment_id,
        amount.minor,
        amount.currency.code,
        parameters.get("reason", ""),
        requested_by,
        by_key and by_key.client,
        by_key and by_key.key,
        by_key and by_key.key_id,
        json.dumps(dict(parameters)),
        APPROVAL_LIFETIME,
    )
    return created


async def find(connection: Connection | Pool, approval_id: UUID) -> Approval | None:
    """Return a request."""
    row = await connection.fetchrow(_SQL.find, approval_id)
    return _from_row(row) if row else None


async def of_key(connection: Connection, client: str, key: str) -> Approval | None:
    """Return the request that an API key made with this idempotency key."""
    row = await connection.fetchrow(_SQL.of_key, client, key)
    return _from_row(row) if row else None


async def lock(connection: Connection, approval_id: UUID) -> Approval | None:
    """Lock a request and read it, so that one decision counts."""
    await connection.fetchrow(_DECISIONS.lock, approval_id)
    return await find(connection, approval_id)


async def count_open(connection: Connection, client: str) -> int:
    """Count the requests of a client's API keys that can be decided."""
    return int(await connection.fetchval(_SQL.count_open, client))


async def open_requests(connection: Connection | Pool, *, limit: int) -> list[Approval]:
    """List the requests that can be decided, oldest first."""
    return [_from_row(row) for row in await connection.fetch(_SQL.open, limit)]


async def of_payment(connection: Connection | Pool, payment_id: UUID, *, limit: int) -> list[Approval]:
    """List the requests of a payment, newest first."""
    return [_from_row(row) for row in await connection.fetch(_SQL.of_payment, payment_id, limit)]


async def decide(connection: Connection, approval_id: UUID, decision: str, decided_by: str) -> bool:
    """Record the decision about a locked, open request. Return False if it has expired meanwhile."""
    return await connection.fetchval(_DECISIONS.decide, approval_id, decision, decided_by) is not None


def _from_row(row: Any) -> Approval:
    fields = dict(row)
    unit = currency(fields.pop("currency"))
    return Approval(
        **{**fields, "amount": Money(fields["amount"], unit), "parameters": json.loads(fields["parameters"])}
    )
