"""What waits for a person, and how it is let go: rows of `operations`, `payment_events`, `parked_aggregates` and `bank_transfers`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from payment_service.db.queries import load
from payment_service.provider.port import Kind, Request

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "parked.sql")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedOperation:
    """A call that is parked, and locked. `tries`: attempts of this epoch; `answered_by`: the provider's name for the last answer."""

    id: UUID
    kind: Kind
    cause: str
    request: Request
    tries: int
    resolving: bool
    outcome: str
    code: str
    answered_by: str


async def listed(connection: Connection | Pool, what: str | None, *, limit: int) -> list[Row]:
    """Read what is parked (`what`: operation, event, record or transfer; None: all), each kind the oldest first, up to `limit` of it."""
    statements = {"operation": _SQL.operations, "event": _SQL.events, "record": _SQL.holds, "transfer": _SQL.transfers}
    chosen = [sql for name, sql in statements.items() if what in {None, name}]
    return [dict(row) for sql in chosen for row in await connection.fetch(sql, limit)]


async def find_operation(connection: Connection | Pool, operation_id: UUID) -> Row | None:
    """Whose call this is, of which kind and at which provider, parked or not; None: there is none of this id."""
    row = await connection.fetchrow(_SQL.find_operation, operation_id)
    return dict(row) if row else None


async def lock_operation(connection: Connection, operation_id: UUID) -> ParkedOperation | None:
    """Lock a parked call, after its payment; None: it is not parked (any more)."""
    row = await connection.fetchrow(_SQL.lock_operation, operation_id)
    if row is None:
        return None
    request = Request(
        method=row["request_method"], path=row["request_path"], body=row["request_body"], api_version=row["api_version"]
    )
    return ParkedOperation(
        id=row["id"],
        kind=Kind(row["kind"]),
        cause=row["cause"],
        request=request,
        tries=row["tries"],
        resolving=row["resolving"],
        outcome=row["outcome"] or "",
        code=row["outcome_code"] or "",
        answered_by=row["answered_by"] or "",
    )


async def send_anew(connection: Connection, operation_id: UUID) -> None:
    """Make a parked call due under the next epoch of its key."""
    await connection.execute(_SQL.send_anew, operation_id)


async def read_first(connection: Connection, operation_id: UUID) -> None:
    """Make a parked call due, to be looked for at the provider before anything is sent."""
    await connection.execute(_SQL.read_first, operation_id)


async def end_operation(
    connection: Connection, operation_id: UUID, state: Literal["done", "refused"], note: str
) -> None:
    """End a parked call by what a person says of it."""
    await connection.execute(_SQL.end_operation, operation_id, state, note)


async def refund_of_provider(connection: Connection, provider: str, provider_refund_id: str) -> Row | None:
    """Which refund of ours bears this id of the provider's."""
    row = await connection.fetchrow(_SQL.refund_of_provider, provider, provider_refund_id)
    return dict(row) if row else None


async def find_events(connection: Connection | Pool, event_id: str, providers: Collection[str]) -> list[Row]:
    """Find what bears this id of a provider's: each provider's event that is parked; else one (of these providers) that is not."""
    rows = [dict(row) for row in await connection.fetch(_SQL.find_events, event_id, list(providers))]
    return [row for row in rows if row["parked"]] or rows[:1]


async def retry_event(connection: Connection, event_id: str, provider: str) -> bool:
    """Let a parked event be applied again; False: it is not parked (any more)."""
    return bool(await connection.fetch(_SQL.retry_event, event_id, provider))


async def close_event(connection: Connection, event_id: str, provider: str) -> bool:
    """Call a parked event done without applying it; False: it is not parked (any more)."""
    return bool(await connection.fetch(_SQL.close_event, event_id, provider))


async def find_transfers(connection: Connection | Pool, transaction_id: str) -> list[Row]:
    """Find transfers of this name, one an account, that bear no reference of ours, and of which nobody has said what they are for."""
    return [dict(row) for row in await connection.fetch(_SQL.find_transfers, transaction_id)]


async def close_transfer(connection: Connection, transaction_id: str, account: str) -> bool:
    """Note that a transfer without a reference needs nothing more; False: it waits for nobody (any more)."""
    return bool(await connection.fetch(_SQL.close_transfer, transaction_id, account))


async def is_parked(connection: Connection | Pool, aggregate_id: UUID) -> bool:
    """Whether the records of a payment (or notice) are held back."""
    return bool(await connection.fetchval(_SQL.is_parked, aggregate_id))


async def release_aggregate(connection: Connection, aggregate_id: UUID) -> bool:
    """Let held records go out again; False: they are not held (any more)."""
    return bool(await connection.fetch(_SQL.release_aggregate, aggregate_id))
