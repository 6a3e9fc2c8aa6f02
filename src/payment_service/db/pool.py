"""The connection pool, and what every session of the service is bound to."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode

import asyncpg
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    from payment_service.config.config import DatabaseSettings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# A row that somebody else holds is not waited for: the batch takes what is free, a request answers 503.
LOCK_TIMEOUT_MS: Final = 1_000
# A process that was stopped in the middle of a transaction must not stop the others.
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 3_000
# No statement of the service is expected to need more than a second; ten mean that the server is in trouble.
STATEMENT_TIMEOUT_MS: Final = 10_000
# A little above the server's own limit, for the case that the server does not answer at all.
COMMAND_TIMEOUT_S: Final = 12
CONNECT_TIMEOUT_S: Final = 5
# Unacknowledged bytes for this long mean that the other side is gone (failover, cut cable).
TCP_USER_TIMEOUT_MS: Final = 8_000
# Statements are planned anew after this time: a plan that was made while a table was small is a bad one in a flood of orders.
PLAN_LIFETIME_S: Final = 15
# A connection is renewed after this time, so that a failover is noticed even by a pool that never rests.
CONNECTION_IDLE_LIFETIME_S: Final = 120

TRANSIENT_ERRORS: Final = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidTransactionStateError,  # 25: read-only after a failover, a transaction that idled too long
    asyncpg.InvalidAuthorizationSpecificationError,  # 28: a password that is being rotated
    asyncpg.InvalidCatalogNameError,
    asyncpg.TransactionRollbackError,  # 40: deadlock, serialization
    asyncpg.SyntaxOrAccessError,  # 42: a right, table or column is missing, for every record alike
    asyncpg.InsufficientResourcesError,  # 53: disk, memory, connections
    asyncpg.ObjectNotInPrerequisiteStateError,  # 55: a lock that was not free in time
    asyncpg.OperatorInterventionError,  # 57: shutdown, crash, statement timeout
    asyncpg.PostgresSystemError,  # 58: input and output
    asyncpg.InvalidCachedStatementError,
    OSError,
    TimeoutError,
)
"""Not the record's fault, and may pass by itself or by a person's work: the same work is tried again, a request is answered 503.

Held against a record, such an error would put good orders into quarantine for as long as a disk is full.
"""


def connect_arguments(dsn: str) -> dict[str, Any]:
    """Turn a URI or libpq's `key=value` form into asyncpg's arguments. Raises psycopg.ProgrammingError for what is neither."""
    if dsn.startswith(("postgresql://", "postgres://")):
        return {"dsn": dsn}
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    return {"dsn": f"postgresql://?{urlencode(parts)}"}


async def open_pool(config: DatabaseSettings, *, application_name: str = "payment-service") -> Pool:
    """Open the pool. Raises OSError or asyncpg.PostgresError when the database can't be reached."""
    pool: Pool = await asyncpg.create_pool(
        **connect_arguments(config.db_dsn.get_secret_value()),
        min_size=min(2, config.db_pool_size),
        max_size=config.db_pool_size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        max_inactive_connection_lifetime=CONNECTION_IDLE_LIFETIME_S,
        max_cached_statement_lifetime=PLAN_LIFETIME_S,
        init=_watch_socket,
        reset=_keep_session,
        server_settings={
            "application_name": application_name,
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "synchronous_commit": "on",
            "jit": "off",
            # Every statement of the service has its index, even where a small table would be sooner read whole.
            "enable_seqscan": "off",
            "timezone": "UTC",
        },
    )
    return pool


async def _watch_socket(connection: Connection) -> None:
    transport = getattr(connection, "_transport", None)
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6} and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


async def _keep_session(_connection: Connection) -> None:
    """Called when a connection comes back; an open transaction has been rolled back by then.

    Nothing here sets, listens or locks for a session, so asyncpg's `RESET ALL`, a round trip each time, has nothing to undo.
    """
