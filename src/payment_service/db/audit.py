"""Rows of `audit`: the changes that somebody requested. Each is written in the transaction of its change and never
updated. `audit_chain.py` seals it a moment later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payment_service.db.pool import Connection

_SQL = load(__package__, "audit.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The author of a request: the `client` of an API key, or `cli` with the `person` at the command line.

    Idempotency keys belong to the client, so all users of the command line share theirs.
    """

    client: str
    key_id: UUID | None = None
    address: str = ""
    person: str = ""

    @property
    def name(self) -> str:
        """Return the name for the audit."""
        return f"{self.client}:{self.person}" if self.person else self.client


async def append(
    connection: Connection, actor: Actor, action: str, *, payment_id: UUID | None, detail: Mapping[str, object]
) -> None:
    """Record a change. `detail` holds JSON values without secrets."""
    await connection.execute(
        _SQL.append, actor.name, actor.key_id, actor.address, action, payment_id, json.dumps(dict(detail))
    )
