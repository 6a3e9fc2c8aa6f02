"""Rows of `kept_answers`: what a client was answered under which key. `maintain` forgets them after 48 h (24 are promised)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from payment_service.db.queries import load

if TYPE_CHECKING:
    from payment_service.db.pool import Connection

_SQL = load(__package__, "kept_answers.sql")


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was given. `fingerprint`: SHA-256 of the request; `result`: JSON values."""

    fingerprint: bytes
    result: Mapping[str, Any]


async def take_turn(connection: Connection, client: str, key: str) -> bool:
    """Whether no other transaction is at work under this key; then none will be until this one ends."""
    return bool(await connection.fetchval(_SQL.take_turn, client, key))


async def find(connection: Connection, client: str, key: str) -> KeptAnswer | None:
    """Find what was answered."""
    row = await connection.fetchrow(_SQL.find, client, key)
    return KeptAnswer(bytes(row["fingerprint"]), json.loads(row["result"])) if row else None


async def keep(connection: Connection, client: str, key: str, answer: KeptAnswer) -> None:
    """Keep what is being answered, in the transaction that did the work."""
    await connection.execute(_SQL.keep, client, key, answer.fingerprint, json.dumps(answer.result))
