"""Everything that needs attention: parked operations, events and records, quarantine, and items of providers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog

from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.db.queries import load
from payment_service.provider.attention import COUNT_MAX
from payment_service.provider.plugins import attention_sources
from payment_service.provider.port import Kind, Request
from payment_service.telemetry.errors import describe_error

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool
    from payment_service.provider.attention import AttentionSource

_SQL = load(__package__, "attention.sql")

Row = dict[str, Any]

log = structlog.get_logger(__name__)

# The service's own kinds, in the order of lists. Providers add theirs.
KINDS: Final = ("operation", "event", "record", "quarantine", "difference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Select items; None selects all. `since` is the earliest time."""

    what: str | None = None
    since: datetime | None = None
    reason: str | None = None
    id: str | None = None


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


def kinds() -> tuple[str, ...]:
    """Return all kinds of items that need attention."""
    return (*KINDS, *attention_sources())


async def listed(connection: Connection, chosen: Chosen, *, limit: int) -> list[Row]:
    """List what needs attention, up to `limit` items of each kind. The oldest of a kind is first."""
    rows = await connection.fetch(_SQL.list, chosen.what, chosen.since, chosen.reason, chosen.id, limit)
    found = [dict(row) for row in rows]
    for what, source in attention_sources().items():
        if chosen.what in {None, what}:
            found += await _provider_items(connection, source, chosen, limit)
    order = {what: place for place, what in enumerate(kinds())}
    return sorted(found, key=lambda row: (order[row["what"]], row["since"], row["id"]))


async def count(connection: Connection) -> dict[tuple[str, str], int]:
    """Count the items by kind and reason, each kind up to COUNT_MAX. Leave out, with a log, a provider that fails."""
    counts = {(row["what"], row["reason"]): row["items"] for row in await connection.fetch(_SQL.count, COUNT_MAX)}
    for what, source in attention_sources().items():
        try:
            found = await source.count(connection)
        except TRANSIENT_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - the code of another package
            log.error("provider_items_not_counted", what=what, error=describe_error(error))
            continue
        counts |= {(what, reason): items for reason, items in found.items()}
    return counts


async def _provider_items(connection: Connection, source: AttentionSource, chosen: Chosen, limit: int) -> list[Row]:
    """Return the items of a provider. They are filtered here, so a filter reads all of them."""
    asked = limit if chosen.since is None and chosen.reason is None else COUNT_MAX
    items = await (source.items(connection, asked) if chosen.id is None else source.find(connection, chosen.id))
    rows = [
        {
            "what": source.what,
            "id": item.name,
            "owner": item.owner,
            "payment_id": item.payment_id,
            "subject": item.subject,
            "reason": item.reason,
            "detail": item.detail,
            "provider_request_id": "",
            "since": item.since,
        }
        for item in items
    ]
    return [row for row in rows if _matches(row, chosen)][:limit]


def _matches(row: Row, chosen: Chosen) -> bool:
    return (chosen.since is None or row["since"] >= chosen.since) and chosen.reason in {None, row["reason"]}


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
