"""Rows of `idempotency_keys`: the stored result of each request. `maintain` deletes them after 48 h; 24 h are promised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from payment_service.db.queries import load

if TYPE_CHECKING:
    from payment_service.db.pool import Connection

_SQL = load(__package__, "idempotency_keys.sql")


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The stored result of a request. `fingerprint` is the SHA-256 of the request; `result` holds JSON values."""

    fingerprint: bytes
    result: Mapping[str, Any]


async def lock(connection: Connection, client: str, key: str) -> bool:
    """Lock the key until the transaction ends; False if another transaction has locked it."""
    return bool(await connection.fetchval(_SQL.lock, client, key))


async def find(connection: Connection, client: str, key: str) -> StoredResult | None:
    """Return the stored result of a key, or None."""
    row = await connection.fetchrow(_SQL.find, client, key)
    return StoredResult(bytes(row["fingerprint"]), json.loads(row["result"])) if row else None


async def store(connection: Connection, client: str, key: str, result: StoredResult) -> None:
    """Store the result, in the transaction that did the work."""
    await connection.execute(_SQL.store, client, key, result.fingerprint, json.dumps(result.result))
