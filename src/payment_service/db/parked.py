"""Everything that needs attention: parked operations, events and aggregates, and items of providers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from payment_service.db.queries import load
from payment_service.provider.plugins import attention_sources
from payment_service.provider.port import Kind, Request

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool
    from payment_service.provider.attention import AttentionItem

_SQL = load(__package__, "parked.sql")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedOperation:
    """A parked operation, locked. `tries` counts the attempts of this epoch; `answered_by` is the provider's id of the last answer."""

    id: UUID
    kind: Kind
    cause: str
    request: Request
    tries: int
    resolving: bool
    outcome: str
    code: str
    answered_by: str


async def listed(connection: Connection, what: str | None, *, limit: int) -> list[Row]:
    """List what needs attention, up to `limit` of each kind, the oldest first. `what` selects one kind; None means all."""
    statements = {"operation": _SQL.operations, "event": _SQL.events, "record": _SQL.records}
    chosen = [sql for name, sql in statements.items() if what in {None, name}]
    rows = [dict(row) for sql in chosen for row in await connection.fetch(sql, limit)]
    for name, source in attention_sources().items():
        if what in {None, name}:
            rows += [_row(name, item) for item in await source.items(connection, limit)]
    return rows


def _row(what: str, item: AttentionItem) -> Row:
    return {
        "what": what,
        "name": item.name,
        "payment_id": item.payment_id,
        "subject": item.subject,
        "reason": item.reason,
        "detail": item.detail,
        "provider_request_id": "",
        "since": item.since,
    }


async def waiting_for_balance(connection: Connection | Pool, *, limit: int) -> list[Row]:
    """List the refunds that wait until our balance at the provider covers them, the oldest first."""
    return [dict(row) for row in await connection.fetch(_SQL.waiting_for_balance, limit)]


async def find_operation(connection: Connection | Pool, operation_id: UUID) -> Row | None:
    """Return payment, kind and provider of an operation, parked or not; None if there is none."""
    row = await connection.fetchrow(_SQL.find_operation, operation_id)
    return dict(row) if row else None


async def lock_operation(connection: Connection, operation_id: UUID) -> ParkedOperation | None:
    """Lock a parked operation, after its payment; None if it is not parked."""
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


async def retry_in_next_epoch(connection: Connection, operation_id: UUID) -> None:
    """Make a parked operation due under the next epoch of its key."""
    await connection.execute(_SQL.retry_in_next_epoch, operation_id)


async def retry_with_read(connection: Connection, operation_id: UUID) -> None:
    """Make a parked operation due, so that its result is read at the provider before anything is sent."""
    await connection.execute(_SQL.retry_with_read, operation_id)


async def resolve_operation(
    connection: Connection, operation_id: UUID, state: Literal["done", "refused"], note: str
) -> None:
    """Finish a parked operation as an operator decided."""
    await connection.execute(_SQL.resolve_operation, operation_id, state, note)


async def refund_with_provider_id(connection: Connection, provider: str, provider_refund_id: str) -> Row | None:
    """Return the refund with this id at the provider."""
    row = await connection.fetchrow(_SQL.refund_with_provider_id, provider, provider_refund_id)
    return dict(row) if row else None


async def find_events(connection: Connection | Pool, event_id: str, providers: Collection[str]) -> list[Row]:
    """Find the parked events with this id, one per provider. If there is none, find one of these providers that is not parked."""
    rows = [dict(row) for row in await connection.fetch(_SQL.find_events, event_id, list(providers))]
    return [row for row in rows if row["parked"]] or rows[:1]


async def retry_event(connection: Connection, event_id: str, provider: str) -> bool:
    """Let a parked event be applied again; False if it is not parked."""
    return bool(await connection.fetch(_SQL.retry_event, event_id, provider))


async def close_event(connection: Connection, event_id: str, provider: str) -> bool:
    """Close a parked event without applying it; False if it is not parked."""
    return bool(await connection.fetch(_SQL.close_event, event_id, provider))


async def is_parked(connection: Connection | Pool, aggregate_id: UUID) -> bool:
    """Return whether the records of an aggregate are parked."""
    return bool(await connection.fetchval(_SQL.is_parked, aggregate_id))


async def release_aggregate(connection: Connection, aggregate_id: UUID) -> bool:
    """Let the records of a parked aggregate be published again; False if it is not parked."""
    return bool(await connection.fetch(_SQL.release_aggregate, aggregate_id))
