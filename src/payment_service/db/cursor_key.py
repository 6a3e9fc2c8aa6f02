"""The row of `cursor_key`: 256 bits that sign cursors of lists. Keys for other purposes are derived from them. The migration
created them, so all replicas share them.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "cursor_key.sql")


async def read(connection: Connection | Pool) -> bytes:
    """Return the key. It never changes, so one read per process is enough."""
    return bytes(await connection.fetchval(_SQL.read))


async def read_derived(connection: Connection | Pool, purpose: str) -> bytes:
    """Return a key for another purpose. Nothing that is signed with one key is valid for another."""
    return hmac.digest(await read(connection), f"payment-service {purpose}".encode(), sha256)
