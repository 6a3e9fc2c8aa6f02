"""Rows of `quarantine`: what could not be accepted, kept once, without card numbers."""

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
    """A record (or a webhook's body) and why it was not accepted. `topic`: of a webhook, the name of its provider."""

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
    """Keep what is not kept yet; return the ids that are new."""
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
    """A row as it stands. `replayed_at`: when it was accepted in the end."""

    created_at: datetime
    replayed_at: datetime | None


async def listed(
    connection: Connection | Pool,
    *,
    since: datetime,
    reason: str | None,
    source: str | None,
    replayed: bool,
    limit: int,
) -> list[QuarantinedRecord]:
    """Read what was set aside, the newest first, without keys, values and headers."""
    rows = await connection.fetch(_SQL.listed, since, reason, source, replayed, limit)
    return [_kept({"record_key": None, "record_value": None, "record_headers": "[]", **dict(row)}) for row in rows]


async def find(connection: Connection | Pool, name: UUID) -> QuarantinedRecord | None:
    """Read one row whole."""
    row = await connection.fetchrow(_SQL.find, name)
    return _kept(dict(row)) if row else None


async def lock(connection: Connection, name: UUID) -> QuarantinedRecord | None:
    """Lock one row, waiting for whoever holds it."""
    row = await connection.fetchrow(_SQL.lock, name)
    return _kept(dict(row)) if row else None


async def mark_replayed(connection: Connection, name: UUID) -> None:
    """Note that a locked row was accepted in the end."""
    await connection.execute(_SQL.mark_replayed, name)


def _kept(row: dict[str, Any]) -> QuarantinedRecord:
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
    )
