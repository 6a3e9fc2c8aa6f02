"""Rows of `audit`: who asked for which change. Written with the change, never changed."""

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
    """Who asks. `client`: of the API key, or `cli`; `person`: who sits at the command line; `address`: where from.

    Idempotency keys belong to the client: those of the command line are good for all who use it.
    """

    client: str
    key_id: UUID | None = None
    address: str = ""
    person: str = ""

    @property
    def name(self) -> str:
        """Who it was, for the audit."""
        return f"{self.client}:{self.person}" if self.person else self.client


async def append(
    connection: Connection, actor: Actor, action: str, *, payment_id: UUID | None, detail: Mapping[str, object]
) -> None:
    """Note a change. `detail`: JSON values, without secrets."""
    await connection.execute(
        _SQL.append, actor.name, actor.key_id, actor.address, action, payment_id, json.dumps(dict(detail))
    )
