"""The timeline of one payment from all tables, for the API and the command line. Nothing is decided by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from payment_service.contracts.timeline import ENTRY
from payment_service.db.keyset import BEGINNING, KeysetCursor
from payment_service.db.operations import idempotency_key
from payment_service.db.queries import load
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.contracts.timeline import TimelineEntry
    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "timeline.sql")


async def timeline(
    connection: Connection | Pool, payment_id: UUID, *, after: KeysetCursor = BEGINNING, limit: int
) -> list[tuple[KeysetCursor, TimelineEntry]]:
    """Return up to `limit` entries with their cursors. An empty list from the beginning means that there is no such payment."""
    rows = await connection.fetch(_SQL.timeline, payment_id, after.at, after.name, limit)
    return [(KeysetCursor(row["at"], row["sort_key"]), _entry(payment_id, row)) for row in rows]


def _entry(payment_id: UUID, row: Any) -> TimelineEntry:
    fields = {"at": row["at"], "kind": row["kind"], **json.loads(row["entry"])}
    if row["kind"] in {"operation", "attempt"}:
        fields["idempotency_key"] = _key(payment_id, fields)
    return ENTRY.validate_python(fields)


def _key(payment_id: UUID, fields: dict[str, Any]) -> str | None:
    kind = Kind(fields["operation"])
    if kind is Kind.RETRIEVE or (fields["kind"] == "attempt" and fields["sent_at"] is None):
        return None
    return idempotency_key(kind, payment_id=payment_id, operation_id=fields["operation_id"], epoch=fields["epoch"])
