"""Rows written with a change: `payment_history`, and outbox records for its events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Connection

_SQL = load(__package__, "records.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """A change of a payment. `sequence` and `published_topic` are None if it is not published."""

    payment_id: UUID
    sequence: int | None
    from_status: str
    to_status: str
    published_topic: str | None
    cause: str
    occurred_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRecord:
    """A record to publish. A dead letter belongs to no payment and has no sequence."""

    id: UUID
    aggregate: Literal["payment", "dead_letter"]
    aggregate_id: UUID
    sequence: int | None
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


async def append(
    connection: Connection,
    entries: Sequence[HistoryEntry] = (),
    records: Sequence[OutboxRecord] = (),
    *,
    renumbered: bool = False,
) -> bool:
    """Insert history rows and records to publish, in order.

    Return False, and insert nothing, if the topics have records of these payments that a restored backup lacked: number the
    new ones above those first.
    """
    status: str = await connection.execute(
        _SQL.append,
        [e.payment_id for e in entries],
        [e.sequence for e in entries],
        [e.from_status for e in entries],
        [e.to_status for e in entries],
        [e.published_topic for e in entries],
        [e.cause for e in entries],
        [e.occurred_at for e in entries],
        [r.id for r in records],
        [r.aggregate for r in records],
        [r.aggregate_id for r in records],
        [r.sequence for r in records],
        [r.topic for r in records],
        [r.key for r in records],
        [r.value for r in records],
        [headers_text(r.headers) for r in records],
        renumbered,
    )
    return int(status.rpartition(" ")[2]) == len(records)


def headers_text(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """Return headers as the outbox stores them: JSON with each value as Latin-1 text, which preserves all bytes."""
    return json.dumps([[name, None if value is None else value.decode("latin-1")] for name, value in headers])
