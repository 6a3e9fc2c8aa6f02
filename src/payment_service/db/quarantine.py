"""Rows of `quarantine`: records and webhook bodies that were not accepted, once each, without card numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from payment_service.db.queries import load
from payment_service.db.records import headers_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "quarantine.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A record or webhook body, and why it was not accepted. `topic` of a webhook is the name of its provider."""

    id: UUID
    source: Literal["kafka", "webhook"]
    topic: str | None
    partition: int | None
    offset: int | None
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    recorded_at: datetime | None


async def insert(connection: Connection | Pool, records: Sequence[Quarantined]) -> set[UUID]:
    """Insert records that are not there yet; return their ids."""
    ordered = sorted(records, key=lambda record: record.id)
    rows = await connection.fetch(
        _SQL.insert,
        [r.id for r in ordered],
        [r.source for r in ordered],
        [r.topic for r in ordered],
        [r.partition for r in ordered],
        [r.offset for r in ordered],
        [r.reason for r in ordered],
        [r.detail for r in ordered],
        [r.key for r in ordered],
        [r.value for r in ordered],
        [headers_text(r.headers) for r in ordered],
        [r.recorded_at for r in ordered],
    )
    return {row["id"] for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRecord(Quarantined):
    """A stored row. `replayed_at` is when a replay was accepted, `closed_at` when an operator closed it without one."""

    created_at: datetime
    replayed_at: datetime | None
    closed_at: datetime | None


async def find(connection: Connection | Pool, name: UUID) -> QuarantinedRecord | None:
    """Return one row with key, value and headers."""
    row = await connection.fetchrow(_SQL.find, name)
    return _quarantined(dict(row)) if row else None


async def lock(connection: Connection, name: UUID) -> QuarantinedRecord | None:
    """Lock one row and return it. Waits up to lock_timeout."""
    row = await connection.fetchrow(_SQL.lock, name)
    return _quarantined(dict(row)) if row else None


async def mark_replayed(connection: Connection, name: UUID) -> None:
    """Record that the replay of a locked row was accepted."""
    await connection.execute(_SQL.mark_replayed, name)


async def close(connection: Connection, name: UUID) -> bool:
    """Close a row without accepting it; False if it is not open."""
    return bool(await connection.fetch(_SQL.close, name))


def _quarantined(row: dict[str, Any]) -> QuarantinedRecord:
    headers = json.loads(row["record_headers"])
    return QuarantinedRecord(
        id=row["id"],
        source=row["source"],
        topic=row["record_topic"],
        partition=row["record_partition"],
        offset=row["record_offset"],
        reason=row["reason"],
        detail=row["detail"],
        key=row["record_key"],
        value=row["record_value"],
        headers=tuple((name, None if text is None else text.encode("latin-1")) for name, text in headers),
        recorded_at=row["recorded_at"],
        created_at=row["created_at"],
        replayed_at=row["replayed_at"],
        closed_at=row["closed_at"],
    )
