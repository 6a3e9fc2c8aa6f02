"""Rows of `audit`: the changes that somebody requested. Each is written in the transaction of its change and never
updated. `audit_chain.py` seals it a moment later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from payment_service.db.keyset import BEGINNING, END, KeysetCursor
from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "audit.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The author of a request: the `client` of an API key, or `cli` with the `person` at the command line. `why`: in their words.

    Idempotency keys belong to the client, so all users of the command line share theirs.
    """

    client: str
    key_id: UUID | None = None
    address: str = ""
    person: str = ""
    why: str = ""

    @property
    def name(self) -> str:
        """Return the name for the audit."""
        return f"{self.client}:{self.person}" if self.person else self.client


async def append(
    connection: Connection, actor: Actor, action: str, *, payment_id: UUID | None, detail: Mapping[str, object]
) -> None:
    """Record a change. `detail` holds JSON values without secrets."""
    await connection.execute(
        _SQL.append, actor.name, actor.key_id, actor.address, action, payment_id, actor.why, json.dumps(dict(detail))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilters:
    """Filters of the audit. Of `client`, `action` and `payment_id`, at most one is set. `created_to` is exclusive."""

    client: str | None = None
    action: str | None = None
    payment_id: UUID | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


async def entries(
    connection: Connection | Pool, filters: AuditFilters, *, after: KeysetCursor | None = None, limit: int
) -> list[dict[str, Any]]:
    """List up to `limit` entries, the newest first."""
    place = after or KeysetCursor(filters.created_to or END.at, "0")
    common = (filters.created_from or BEGINNING.at, place.at, place.name, limit)
    match filters:
        case AuditFilters(payment_id=payment_id) if payment_id is not None:
            rows = await connection.fetch(_SQL.of_payment, *common, payment_id)
        case AuditFilters(client=str(client)):
            rows = await connection.fetch(_SQL.by_client, *common, client)
        case AuditFilters(action=str(action)):
            rows = await connection.fetch(_SQL.by_action, *common, action)
        case _:
            rows = await connection.fetch(_SQL.by_time, *common)
    return [dict(row) for row in rows]
