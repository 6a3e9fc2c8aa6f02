"""The key that signs cursors: 256 bits that `migrate` has made, the same for all replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "cursor_key.sql")


async def read(connection: Connection | Pool) -> bytes:
    """Read the key. It never changes, so once is enough."""
    return bytes(await connection.fetchval(_SQL.read))
