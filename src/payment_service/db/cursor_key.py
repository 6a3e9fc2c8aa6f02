"""The row of `cursor_key`: 256 bits that sign cursors of lists and sessions of the pages. The migration created them, so all replicas share them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "cursor_key.sql")


async def read(connection: Connection | Pool) -> bytes:
    """Return the key. It never changes, so one read per process is enough."""
    return bytes(await connection.fetchval(_SQL.read))
