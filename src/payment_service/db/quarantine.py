"""Rows of `quarantine`: what could not be accepted, kept once, without card numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
    """A record (or a webhook's body) and why it was not accepted."""

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
