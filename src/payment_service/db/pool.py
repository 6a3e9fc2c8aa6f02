"""The connection pools, and the limits of every session of the service."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode

import asyncpg
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

    from payment_service.config.config import DatabaseSettings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# Long waits for a row lock help nobody: a batch skips the row, and a request answers 503.
LOCK_TIMEOUT_MS: Final = 1_000
# A process that was suspended inside a transaction must not block the others.
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 3_000
# No statement of the service needs more than a second. Ten seconds mean that the server has a problem.
STATEMENT_TIMEOUT_MS: Final = 10_000
# Slightly above STATEMENT_TIMEOUT_MS, for a server that does not answer at all.
COMMAND_TIMEOUT_S: Final = 12
CONNECT_TIMEOUT_S: Final = 5
# Unacknowledged bytes for this long mean that the server is gone (failover, cut cable).
TCP_USER_TIMEOUT_MS: Final = 8_000
# Statements are planned again after this time: a plan for a small table is bad when many orders arrive.
PLAN_LIFETIME_S: Final = 15
# The default of asyncpg: a connection that served so many queries is replaced, and with it what the server cached for it.
_QUERIES_PER_CONNECTION: Final = 50_000
# Idle connections close after this time, so that the pool returns to its minimum.
CONNECTION_IDLE_LIFETIME_S: Final = 120

# Reads of the API have their own connections, so that slow lists never delay webhooks and orders. Three serve some hundred
# pages per second.
READ_CONNECTIONS: Final = 3
# A page takes milliseconds. A longer read answers 503, and its connection serves the next one.
READ_STATEMENT_TIMEOUT_MS: Final = 2_000
# A request that finds every read connection in use answers 503 after this time.
READ_WAIT_S: Final = 2.0

TRANSIENT_ERRORS: Final = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidTransactionStateError,  # 25: read-only after a failover, a transaction that idled too long
    asyncpg.InvalidAuthorizationSpecificationError,  # 28: the password is being rotated
    asyncpg.InvalidCatalogNameError,
    asyncpg.TransactionRollbackError,  # 40: deadlock, serialization
    asyncpg.SyntaxOrAccessError,  # 42: a privilege, table or column is missing for every record
    asyncpg.InsufficientResourcesError,  # 53: disk, memory, connections
    asyncpg.ObjectNotInPrerequisiteStateError,  # 55: a lock timeout
    asyncpg.OperatorInterventionError,  # 57: shutdown, crash, statement timeout
    asyncpg.PostgresSystemError,  # 58: input and output
    asyncpg.InvalidCachedStatementError,
    OSError,
    TimeoutError,
)
"""Errors that a record did not cause and that may end by themselves or by an operator. Work is retried; a request answers 503.

If such an error counted against a record, a full disk would send good orders to quarantine.
"""


def connect_arguments(dsn: str) -> dict[str, Any]:
    """Turn a URI, or the `key=value` form of libpq, into arguments for asyncpg. Raises psycopg.ProgrammingError for anything else."""
    if dsn.startswith(("postgresql://", "postgres://")):
        return {"dsn": dsn}
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    return {"dsn": f"postgresql://?{urlencode(parts)}"}


async def open_pool(config: DatabaseSettings, *, application_name: str = "payment-service") -> Pool:
    """Open the pool. Raises OSError or asyncpg.PostgresError if the database cannot be reached."""
    pool: Pool = await asyncpg.create_pool(
        **_pool_arguments(config, application_name),
        min_size=min(2, config.db_pool_size),
        max_size=config.db_pool_size,
    )
    return pool


async def open_read_pool(config: DatabaseSettings) -> Pool:
    """Open the pool for reads of the API. It connects with the first read, so it never fails at a start."""
    pool: Pool = _ReadPool(
        **_pool_arguments(config, "payment-service-reads", statement_timeout_ms=READ_STATEMENT_TIMEOUT_MS),
        min_size=0,
        max_size=READ_CONNECTIONS,
        max_queries=_QUERIES_PER_CONNECTION,
        loop=asyncio.get_running_loop(),
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
    )
    await pool
    return pool


class _ReadPool(asyncpg.Pool):  # generic only in its stubs
    """A pool whose callers wait for a connection at most `READ_WAIT_S`, then get a TimeoutError."""

    def acquire(self, *, timeout: float | None = None) -> PoolAcquireContext[asyncpg.Record]:
        """Wait for a connection."""
        return super().acquire(timeout=READ_WAIT_S if timeout is None else timeout)


def _pool_arguments(
    config: DatabaseSettings, application_name: str, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS
) -> dict[str, Any]:
    return {
        **session_arguments(config, application_name, statement_timeout_ms=statement_timeout_ms),
        "max_inactive_connection_lifetime": CONNECTION_IDLE_LIFETIME_S,
        "init": watch_socket,
        "reset": _keep_session,
    }


def session_arguments(
    config: DatabaseSettings, application_name: str, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS
) -> dict[str, Any]:
    """Return the arguments of a session of the service."""
    return {
        **connect_arguments(config.db_dsn.get_secret_value()),
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": COMMAND_TIMEOUT_S,
        "max_cached_statement_lifetime": PLAN_LIFETIME_S,
        "server_settings": {
            "application_name": application_name,
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
            "statement_timeout": str(statement_timeout_ms),
            "synchronous_commit": "on",
            "jit": "off",
            # Every statement has an index. A plan that scans a small table would be kept while the table grows.
            "enable_seqscan": "off",
            "timezone": "UTC",
        },
    }


async def watch_socket(connection: Connection) -> None:
    """Notice a server that is gone."""
    transport = getattr(connection, "_transport", None)
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6} and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


async def _keep_session(_connection: Connection) -> None:
    """Replace the `RESET ALL` of asyncpg, a round trip for each released connection.

    The service sets nothing per session, and asyncpg has already rolled back an open transaction.
    """
