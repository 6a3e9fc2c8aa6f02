"""Rows of `payment_events`: verified events of the providers and their results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from payment_service.db.queries import load
from payment_service.domain.guard import clean_payload
from payment_service.provider.port import Disposition, EventKey, ProviderEvent

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    import asyncpg

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "events.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of an event. `retry_s` is the time until the next try in seconds, or None if there is none.

    `payment_id` is the payment found for the event, which may name none or another.
    """

    event: ProviderEvent
    processed: bool
    result: str
    retry_s: float | None = None
    tried: int = 0
    parked_reason: str | None = None
    payment_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEvent:
    """A stored event that is still to be applied."""

    provider: str
    event_id: str
    occurred_at: datetime
    payload: str
    tries: int
    stored_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent(PendingEvent):
    """A stored event with its result so far, for a replay."""

    event_type: str
    processed: bool
    result: str


StoredKey = tuple[str, str, datetime]
"""Provider, event id and time of a stored event."""


async def insert(connection: Connection, events: Sequence[tuple[ProviderEvent, str]]) -> set[EventKey]:
    """Store pairs of an event and the label of the secret that verified it; return the keys of new events.

    Events to be applied are written as applied. The same transaction corrects those that could not be.
    """
    rows = await connection.fetch(
        _SQL.insert,
        [e.payment_id for e, _ in events],
        [e.event_type for e, _ in events],
        [e.provider for e, _ in events],
        [e.event_id for e, _ in events],
        [clean_payload(e.payload) for e, _ in events],
        ["applied" if e.disposition is Disposition.APPLY else e.disposition.value for e, _ in events],
        [label for _, label in events],
        [datetime.fromtimestamp(e.occurred_at, UTC) for e, _ in events],
    )
    return {(row["provider"], row["provider_event_id"]) for row in rows}


async def unknown(connection: Connection | Pool, events: Sequence[ProviderEvent]) -> list[ProviderEvent]:
    """Return the events that are not stored yet."""
    known = {(row["provider"], row["provider_event_id"]) for row in await _known(connection, events)}
    return [event for event in events if event.key not in known]


async def processed(connection: Connection | Pool, events: Sequence[ProviderEvent]) -> set[EventKey]:
    """Return the keys of those of these events that are stored and processed."""
    rows = await _known(connection, events)
    return {(row["provider"], row["provider_event_id"]) for row in rows if row["processed"]}


async def _known(connection: Connection | Pool, events: Sequence[ProviderEvent]) -> list[asyncpg.Record]:
    return await connection.fetch(
        _SQL.known,
        [e.provider for e in events],
        [e.event_id for e in events],
        [datetime.fromtimestamp(e.occurred_at, UTC) for e in events],
    )


async def record_results(connection: Connection, results: Sequence[Result]) -> None:
    """Write the results of events."""
    await connection.execute(
        _SQL.record_results,
        [r.event.provider for r in results],
        [r.event.event_id for r in results],
        [datetime.fromtimestamp(r.event.occurred_at, UTC) for r in results],
        [r.processed for r in results],
        [r.result for r in results],
        [r.retry_s for r in results],
        [r.tried for r in results],
        [r.parked_reason for r in results],
        [r.payment_id or r.event.payment_id for r in results],
    )


async def lock_pending(connection: Connection, providers: Collection[str], limit: int) -> list[PendingEvent]:
    """Lock due events of these providers; skip those that other sessions have locked."""
    return [PendingEvent(**_pending(row)) for row in await connection.fetch(_SQL.lock_pending, list(providers), limit)]


async def keys_since(pool: Pool, since: datetime, after: StoredKey | None, limit: int) -> list[StoredKey]:
    """Return the next keys of events that occurred at `since` or later, in the order of time."""
    provider, event_id, begin = after or ("", "", since)
    return [_key(row) for row in await pool.fetch(_SQL.keys_since, begin, provider, event_id, limit)]


async def keys_of(pool: Pool, providers: Collection[str], event_ids: Sequence[str]) -> list[StoredKey]:
    """Return the keys of those events that are stored, in the order of time."""
    return [_key(row) for row in await pool.fetch(_SQL.keys_of, list(providers), event_ids)]


async def lock_stored(connection: Connection, keys: Sequence[StoredKey]) -> list[StoredEvent]:
    """Lock stored events, processed or not. Raises LockNotAvailableError if one stays locked for lock_timeout."""
    rows = await connection.fetch(_SQL.lock_stored, *_columns(keys))
    return [
        StoredEvent(
            **_pending(row), event_type=row["event_type"], processed=row["processed"], result=row["result"] or ""
        )
        for row in rows
    ]


async def record_replayed(connection: Connection, results: Sequence[Result]) -> None:
    """Write the results of replayed events, processed before or not."""
    await connection.execute(
        _SQL.record_replayed,
        [r.event.provider for r in results],
        [r.event.event_id for r in results],
        [datetime.fromtimestamp(r.event.occurred_at, UTC) for r in results],
        [r.result for r in results],
        [r.payment_id or r.event.payment_id for r in results],
    )


def _pending(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "provider": row["provider"],
        "event_id": row["provider_event_id"],
        "occurred_at": row["occurred_at"],
        "payload": row["payload"],
        "tries": row["tries"],
        "stored_at": row["created_at"],
    }


def _key(row: asyncpg.Record) -> StoredKey:
    return row["provider"], row["provider_event_id"], row["occurred_at"]


def _columns(keys: Sequence[StoredKey]) -> tuple[list[str], list[str], list[datetime]]:
    return [key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys]
