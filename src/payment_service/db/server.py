"""Properties of the database that must hold before anything is stored: its encoding, and one server session per connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENCODING: Final = "UTF8"
# A pooler in transaction mode prefers the session that was used last, so the first round shows it. More rounds are for a busy one.
ROUNDS: Final = 5
CLOSE_TIMEOUT_S: Final = 1.0

_SQL = load(__package__, "server.sql")

Connect = Callable[[], Awaitable[Any]]


class UnusableDatabase(Exception):
    """The database or the way to it does not suit the service. The message says what to do; commands exit with 3."""


async def require_usable(connect: Connect) -> None:
    """Check the database that `connect` opens connections to. Raises UnusableDatabase, and errors of the connection."""
    async with _opened(connect) as connection:
        async with connection.transaction():
            row = await connection.fetchrow(_SQL.server)
        if row["encoding"] != ENCODING:
            message = (
                f"The database has the encoding {row['encoding']}, which cannot store every order and event. Create another with"
                " ENCODING 'UTF8' TEMPLATE template0, and set DB_DSN to it."
            )
            raise UnusableDatabase(message)
        if row["pid"] != connection.get_server_pid():
            await _require_own_session(connection, connect)


async def _require_own_session(connection: Any, connect: Connect) -> None:
    """Refuse a pooler that serves two transactions of a connection by different server sessions.

    A pooler gives each client an invented process id, so a direct connection never gets here.
    """
    async with _opened(connect) as other:
        for _ in range(ROUNDS):
            before = await _pid(connection)
            async with other.transaction():
                held = await other.fetchval(_SQL.pid)
                after = await _pid(connection)
            if before != after or held in {before, after}:
                message = (
                    "DB_DSN leads to a pooler in transaction mode, where the service's limits and prepared statements do not hold."
                    " Set pool_mode = session for this database, or connect to PostgreSQL itself: the service has its own pool."
                )
                raise UnusableDatabase(message)


async def _pid(connection: Any) -> int:
    async with connection.transaction():
        pid: int = await connection.fetchval(_SQL.pid)
    return pid


@asynccontextmanager
async def _opened(connect: Connect) -> AsyncIterator[Any]:
    connection = await connect()
    try:
        yield connection
    finally:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
