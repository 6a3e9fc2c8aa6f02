"""Rows of `operations`: calls to a provider. They are queued, claimed, and get a result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from payment_service.db.queries import load
from payment_service.provider.port import Kind, Request

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    import asyncpg

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "operations.sql")

# Before any operation was due.
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
NOBODY: Final[Mapping[UUID, UUID]] = MappingProxyType({})
# The epoch before the first. Nothing is sent in it: the provider is read, and if nothing is found there, epoch 1 begins.
LOOK_FIRST: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOperation:
    """A call to queue. `cause` names the reason for it, for people and as part of the id.

    `look_first` reads at the provider before anything is sent, because a restored backup may have lost the row of an earlier call.
    `made_since` is the earliest time at which the call can have been sent; None: when it is claimed.
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
    """A claimed attempt. If `resolving`, the key no longer protects it, so its result is read. Times are those of the database.

    `last_sent_at` is None while nothing was sent, as in the epoch LOOK_FIRST. `withdrawal` is why a create is not wanted any more.
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
    withdrawal: str | None = None
    first_sent_at: datetime
    last_sent_at: datetime | None
    empty_read_at: datetime | None
    due_at: datetime
    claimed_at: datetime

    @property
    def looks_first(self) -> bool:
        """Return whether the attempt only reads, because nothing was sent yet."""
        return self.epoch == LOOK_FIRST

    @property
    def idempotency_key(self) -> str:
        """Return the key under which the provider performs the call once."""
        return idempotency_key(self.kind, payment_id=self.payment_id, operation_id=self.id, epoch=self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedBatch:
    """The operations of a claim, and what it saw. Times are those of the database.

    Nothing that was due before `looked_until` was left. `free_calls` is how many calls the budget had before; None without a budget.
    """

    operations: list[Claimed]
    at: datetime
    looked_until: datetime
    free_calls: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationUpdate:
    """The result of an attempt. `delay_s` is the time until the operation is due again, in seconds."""

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


@dataclass(frozen=True, slots=True)
class RecordedResults:
    """The operations whose results were recorded.

    `followed`: whether an operation had waited for one of them and is due now. `refused`: whether the provider refused calls
    before, so that a success may unblock their kind.
    """

    ids: frozenset[UUID]
    followed: bool
    refused: bool


def idempotency_key(kind: Kind, *, payment_id: UUID, operation_id: UUID | str, epoch: int) -> str:
    """Return the key under which the provider performs an operation once. An epoch ends only when nothing can exist under its key."""
    return f"{kind}:{payment_id if kind is Kind.CREATE else operation_id}:{epoch}"


async def enqueue(
    connection: Connection, operations: Sequence[NewOperation], workers: Mapping[UUID, UUID] = NOBODY
) -> list[Claimed]:
    """Queue calls. An operation that exists already (the same id) stays as it is.

    `workers`: the workers that claim operations with these ids, and call at once. Return what is claimed.
    """
    rows = await connection.fetch(
        _SQL.enqueue,
        *_columns(operations),
        [LOOK_FIRST if o.look_first else LOOK_FIRST + 1 for o in operations],
        [o.made_since for o in operations],
        [workers.get(o.id) for o in operations],
    )
    return [_claimed(row) for row in rows if row["worker"] is not None]


async def enqueue_again(connection: Connection, reads: Sequence[NewOperation]) -> None:
    """Queue reads, or make them due again if they are finished."""
    await connection.execute(_SQL.enqueue_again, *_columns(reads))


async def claim(
    pool: Pool,
    *,
    worker: UUID,
    provider: str,
    slots: int,
    rate_per_s: float,
    burst: float,
    blocked: Collection[str],
    key_valid_s: float,
    due_after: datetime = BEGINNING,
) -> ClaimedBatch:
    """Claim up to `slots` operations that became due after `due_after`, within the shared budget.

    A key older than `key_valid_s`, by the database's clock, is not sent again.
    """
    open_kinds = [kind.value for kind in Kind if kind not in blocked]
    rows = await pool.fetch(_SQL.claim, worker, provider, slots, rate_per_s, burst, open_kinds, key_valid_s, due_after)
    return ClaimedBatch(
        operations=[_claimed(row) for row in rows if row["id"] is not None],
        at=rows[0]["claimed_at"],
        looked_until=rows[0]["looked_until"],
        free_calls=rows[0]["free"],
    )


async def release_orphaned(pool: Pool, worker: UUID, *, of_unknown: bool) -> int:
    """Release operations of dead workers; `of_unknown`: also of workers without a row. Return how many."""
    return len(await pool.fetch(_SQL.release_orphaned, worker, of_unknown))


async def record_results(connection: Connection, updates: Sequence[OperationUpdate]) -> RecordedResults:
    """Record results of attempts that are still current."""
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
    return RecordedResults(
        frozenset(row["id"] for row in rows),
        followed=any(row["followed"] for row in rows),
        refused=any(row["refused"] for row in rows),
    )


async def request_of(connection: Connection, operation_id: UUID) -> Request | None:
    """Return the request of an operation; None if there is none."""
    row = await connection.fetchrow(_SQL.request_of, operation_id)
    return _request(row) if row else None


async def unfinished_kinds(connection: Connection, payment_id: UUID, kinds: Collection[Kind]) -> list[Kind]:
    """Return the kinds of unfinished calls for the intent of a payment, the oldest first."""
    rows = await connection.fetch(_SQL.unfinished_kinds, payment_id, [kind.value for kind in kinds])
    return [Kind(row["kind"]) for row in rows]


async def parked_kind(connection: Connection, payment_id: UUID) -> Kind | None:
    """Return the kind of the oldest parked operation that later operations of the payment wait for."""
    kind = await connection.fetchval(_SQL.parked_kind, payment_id)
    return Kind(kind) if kind is not None else None


async def explains(connection: Connection, payment_id: UUID, kind: Kind) -> bool:
    """Return whether a known operation of this kind can have changed the payment's own intent."""
    return bool(await connection.fetchval(_SQL.explains, payment_id, kind.value))


async def is_being_read(connection: Connection, payment_id: UUID) -> bool:
    """Return whether a read of the payment's own intent is queued."""
    return bool(await connection.fetchval(_SQL.is_being_read, payment_id))


async def retry_strays(connection: Connection, ids: Sequence[UUID]) -> None:
    """Make unfinished or refused cancels of strays due now."""
    await connection.execute(_SQL.retry_strays, ids)


async def finish_known(connection: Connection, payment_ids: Sequence[UUID]) -> None:
    """Finish parked creates, captures and cancels whose result the payments show by now."""
    await connection.execute(_SQL.finish_known, payment_ids)


async def being_canceled(connection: Connection, payment_ids: Sequence[UUID]) -> set[UUID]:
    """Return the payments that have an unfinished cancel."""
    rows = await connection.fetch(_SQL.being_canceled, payment_ids)
    return {row["payment_id"] for row in rows}


async def withdraw_create(connection: Connection, payment_id: UUID, reason: str) -> None:
    """Mark a create that this database never sent as unwanted. The provider is asked whether it exists before it ends."""
    await connection.execute(_SQL.withdraw_create, payment_id, reason)


async def release_unsent(pool: Pool, attempts: Sequence[Claimed]) -> None:
    """Release attempts whose request was never sent."""
    await pool.execute(_SQL.release_unsent, [o.id for o in attempts], [o.attempt for o in attempts])


async def release_unknown(pool: Pool, worker: UUID, known: Collection[UUID]) -> int:
    """Release claims of this worker that it does not know about; return how many."""
    return len(await pool.fetch(_SQL.release_unknown, worker, list(known)))


async def ensure_budget(pool: Pool, provider: str) -> None:
    """Insert the token bucket of a provider, if it is missing."""
    await pool.execute(_SQL.ensure_budget, provider)


def _columns(operations: Sequence[NewOperation]) -> list[list[object]]:
    return [
        [o.id for o in operations],
        [o.payment_id for o in operations],
        [o.provider for o in operations],
        [o.kind.value for o in operations],
        [o.cause for o in operations],
        [o.request.method for o in operations],
        [o.request.path for o in operations],
        [o.request.body for o in operations],
        [o.request.api_version for o in operations],
    ]


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
        withdrawal=row["withdrawal"],
        first_sent_at=row["first_sent_at"],
        last_sent_at=row["last_sent_at"],
        empty_read_at=row["empty_read_at"],
        due_at=row["due_at"],
        claimed_at=row["claimed_at"],
    )
