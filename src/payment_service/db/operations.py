"""Rows of `operations`: calls to a provider, queued, claimed, settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from payment_service.db.queries import load
from payment_service.provider.port import Kind, Request

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "operations.sql")

# The epoch before the first, in which nothing is sent: what exists is read, and if that is nothing the first epoch begins.
LOOK_FIRST: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOperation:
    """A call to be made. `cause`: what asked for it, for people and for the operation's name.

    `look_first`: before it is sent, what may have been made of it is read, as a restored backup may have lost the row of one
    that was. `made_since`: of a create, since when that can have been.
    """

    id: UUID
    payment_id: UUID
    provider: str
    kind: Kind
    cause: str
    request: Request
    look_first: bool = False
    made_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An attempt that is ours. `resolving`: its key can't help any more, so what became of it is read. Times: the database's.

    `last_sent_at` None: nothing was sent yet, as in the epoch LOOK_FIRST, but by a release from before there was one.
    """

    id: UUID
    payment_id: UUID
    kind: Kind
    cause: str
    request: Request
    epoch: int
    attempt: int
    tries: int
    resolving: bool
    last_outcome: str | None
    first_sent_at: datetime
    last_sent_at: datetime | None
    empty_read_at: datetime | None
    due_at: datetime
    claimed_at: datetime

    @property
    def looks_first(self) -> bool:
        """Whether nothing was ever sent, and what exists is only read."""
        return self.epoch == LOOK_FIRST and self.last_sent_at is None

    @property
    def idempotency_key(self) -> str:
        """The name under which the provider does this once."""
        return idempotency_key(self.kind, payment_id=self.payment_id, operation_id=self.id, epoch=self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationUpdate:
    """What becomes of an attempt. `delay_s`: seconds until it is due again, where it is."""

    id: UUID
    attempt: int
    state: Literal["due", "done", "refused", "parked"]
    outcome: str
    code: str = ""
    detail: str = ""
    request_id: str = ""
    delay_s: float = 0
    resolving: bool = False
    empty_read: bool = False
    next_epoch: bool = False


def idempotency_key(kind: Kind, *, payment_id: UUID, operation_id: UUID | str, epoch: int) -> str:
    """The name under which the provider does an operation once: an epoch ends only when nothing can exist under it."""
    return f"{kind}:{payment_id if kind is Kind.CREATE else operation_id}:{epoch}"


async def enqueue(connection: Connection, operations: Sequence[NewOperation]) -> None:
    """Queue calls; one that is queued already (the same name) is left as it is."""
    await connection.execute(
        _SQL.enqueue,
        [o.id for o in operations],
        [o.payment_id for o in operations],
        [o.provider for o in operations],
        [o.kind.value for o in operations],
        [o.cause for o in operations],
        [o.request.method for o in operations],
        [o.request.path for o in operations],
        [o.request.body for o in operations],
        [o.request.api_version for o in operations],
        [LOOK_FIRST if o.look_first else LOOK_FIRST + 1 for o in operations],
        [o.made_since for o in operations],
    )


async def claim(
    pool: Pool,
    *,
    worker: UUID,
    provider: str,
    slots: int,
    rate_per_s: float,
    burst: float,
    blocked: Collection[str],
    key_horizon: datetime,
) -> list[Claimed]:
    """Claim up to `slots` operations within the shared budget."""
    open_kinds = [kind.value for kind in Kind if kind not in blocked]
    rows = await pool.fetch(_SQL.claim, worker, provider, slots, rate_per_s, burst, open_kinds, key_horizon)
    return [_claimed(row) for row in rows]


async def record_results(connection: Connection, updates: Sequence[OperationUpdate]) -> set[UUID]:
    """End attempts that are still the current ones; return the operations that were settled."""
    rows = await connection.fetch(
        _SQL.record_results,
        [e.id for e in updates],
        [e.attempt for e in updates],
        [e.state for e in updates],
        [e.outcome for e in updates],
        [e.code for e in updates],
        [e.detail for e in updates],
        [e.request_id for e in updates],
        [e.delay_s for e in updates],
        [e.resolving for e in updates],
        [e.empty_read for e in updates],
        [e.next_epoch for e in updates],
    )
    return {row["id"] for row in rows}


async def request_of(connection: Connection, operation_id: UUID) -> Request | None:
    """Give the request of an operation; None: there is none of this name."""
    row = await connection.fetchrow(_SQL.request_of, operation_id)
    return _request(row) if row else None


async def under_way(connection: Connection, payment_id: UUID, kinds: Collection[Kind]) -> list[Kind]:
    """Give the kinds of unfinished calls about the payment's own intent, the oldest first."""
    rows = await connection.fetch(_SQL.under_way, payment_id, [kind.value for kind in kinds])
    return [Kind(row["kind"]) for row in rows]


async def being_canceled(connection: Connection, payment_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these payments a cancel of is under way already."""
    rows = await connection.fetch(_SQL.being_canceled, payment_ids)
    return {row["payment_id"] for row in rows}


async def withdraw_create(connection: Connection, payment_id: UUID, reason: str) -> bool:
    """Take a create back that was never sent; whether there was one."""
    return bool(await connection.fetch(_SQL.withdraw_create, payment_id, reason))


async def unsend(pool: Pool, attempts: Sequence[Claimed]) -> None:
    """Give back attempts of which nothing reached the wire."""
    await pool.execute(_SQL.unsend, [o.id for o in attempts], [o.attempt for o in attempts])


async def free_forgotten(pool: Pool, worker: UUID, remembered: Collection[UUID]) -> int:
    """Give back what bears this worker's name and is not in its memory; return how many."""
    return len(await pool.fetch(_SQL.free_forgotten, worker, list(remembered)))


async def ensure_budget(pool: Pool, provider: str) -> None:
    """Make the row of the provider's bucket."""
    await pool.execute(_SQL.ensure_budget, provider)


def _request(row: asyncpg.Record) -> Request:
    return Request(
        method=row["request_method"], path=row["request_path"], body=row["request_body"], api_version=row["api_version"]
    )


def _claimed(row: asyncpg.Record) -> Claimed:
    return Claimed(
        id=row["id"],
        payment_id=row["payment_id"],
        kind=Kind(row["kind"]),
        cause=row["cause"],
        request=_request(row),
        epoch=row["epoch"],
        attempt=row["attempt"],
        tries=row["tries"],
        resolving=row["resolving"],
        last_outcome=row["last_outcome"],
        first_sent_at=row["first_sent_at"],
        last_sent_at=row["last_sent_at"],
        empty_read_at=row["empty_read_at"],
        due_at=row["due_at"],
        claimed_at=row["claimed_at"],
    )
