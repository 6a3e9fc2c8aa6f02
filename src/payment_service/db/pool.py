"""The connection pools, and the limits of every session of the service."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
import structlog
from asyncpg.connect_utils import SessionAttribute
from asyncpg.pool import PoolAcquireContext

from payment_service.config.dsn import Dsn, read_dsn
from payment_service.db.queries import load
from payment_service.db.server import require_usable
from payment_service.rate_limiter import RateLimiter
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncpg.pool import PoolConnectionProxy

    from payment_service.config.config import DatabaseSettings

log = structlog.get_logger(__name__)

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
# Statements are planned again after this time: a plan for a small table is bad when many orders arrive. A new plan costs a round trip.
PLAN_LIFETIME_S: Final = 60
# The default of asyncpg: a connection that served so many queries is replaced, and with it what the server cached for it.
_QUERIES_PER_CONNECTION: Final = 50_000
# Idle connections close after this time, so that the pool returns to its minimum.
CONNECTION_IDLE_LIFETIME_S: Final = 120
# A busy connection is replaced at this age, so that a process follows a name that moved to another server, even while the old
# server still answers. A connection takes about 10 ms to open.
CONNECTION_AGE_MAX_S: Final = 300
# Connections of one age are replaced within this time, not all at once.
AGE_SPREAD_S: Final = 60
# A server that is gone does not confirm the end of a session.
CLOSE_TIMEOUT_S: Final = 1.0
LOG_INTERVAL_S: Final = 10.0

# Reads of the API have their own connections, so that slow lists never delay webhooks and orders. Three serve some hundred
# pages per second.
READ_CONNECTIONS: Final = 3
# A page takes milliseconds. A longer read answers 503, and its connection serves the next one.
READ_STATEMENT_TIMEOUT_MS: Final = 2_000
# A request that finds every read connection in use answers 503 after this time.
READ_WAIT_S: Final = 2.0

# Below it, each server has the same types under the same numbers (`src/include/access/transam.h` of PostgreSQL).
_FIXED_OIDS_BELOW: Final = 10_000
_TYPES: Final[dict[frozenset[int], list[asyncpg.Record]]] = {}  # by the numbers that a statement needed

_SOCKET_OPTIONS: Final = {
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
}

_SQL: Final = load(__package__, "pool.sql")

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

# The server stops, or no longer accepts writes: a failover. Its other connections are as good as dead.
_LOST_SERVER: Final = (
    asyncpg.ReadOnlySQLTransactionError,  # 25006
    asyncpg.AdminShutdownError,  # 57P01
    asyncpg.CrashShutdownError,  # 57P02
    asyncpg.CannotConnectNowError,  # 57P03
)
_READ_ONLY: Final = "no server in DB_DSN accepts writes: each is a standby, or has default_transaction_read_only"


class NoWritableServer(ConnectionError):
    """Every server in DB_DSN that answers is read-only."""

    def __init__(self) -> None:
        super().__init__(_READ_ONLY)


class _Connection(asyncpg.Connection):  # generic only in its stubs
    """A connection with the time, by the monotonic clock, after which it is not used again."""

    __slots__ = ("usable_until_s",)

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float) -> Any:  # noqa: ASYNC109 - asyncpg's
        """Read the descriptions of PostgreSQL's own types once per process.

        asyncpg reads those of arrays by each connection, in three round trips and 4 ms of the server's CPU.
        """
        asked = frozenset(typeoids)
        if asked not in _TYPES:
            types, statement = await super()._introspect_types(typeoids, timeout)  # type: ignore[misc] # not in the stubs
            if max(asked) < _FIXED_OIDS_BELOW:
                _TYPES[asked] = types
            return types, statement
        return _TYPES[asked], SimpleNamespace(name="cached")  # with a name: nothing replaced an unnamed statement


class Connector:
    """Open connections to the first server in DB_DSN that accepts writes, beginning with the one that did last.

    Each server has its own time limit. asyncpg would spend one limit on the first server that does not answer.
    """

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._best = 0

    async def __call__(self, **arguments: Any) -> Any:
        """Connect. Raises NoWritableServer, OSError, TimeoutError, asyncpg.PostgresError."""
        failures: list[Exception] = []
        servers = list(enumerate(self._dsn.servers))
        for number, (host, port) in servers[self._best :] + servers[: self._best]:
            try:
                connection = await self._connect(host, port, arguments)
            except asyncpg.TargetServerAttributeNotMatched:
                failures.append(NoWritableServer())
            except (OSError, asyncpg.CannotConnectNowError) as error:
                failures.append(error)
            else:
                self._best = number
                return connection
        raise next((error for error in failures if isinstance(error, NoWritableServer)), failures[-1])

    async def _connect(self, host: str | None, port: int | None, arguments: Mapping[str, Any]) -> Any:
        given: dict[str, Any] = {"connection_class": _Connection, **arguments}
        if self._dsn.ssl is not None:
            given["ssl"] = self._dsn.ssl
        connection: Any = await asyncpg.connect(
            self._dsn.uri,
            host=host,
            port=port,
            timeout=self._dsn.connect_timeout_s,
            command_timeout=COMMAND_TIMEOUT_S,
            target_session_attrs=SessionAttribute(self._dsn.target_session_attrs),
            **given,
        )
        spread_s = connection.get_server_pid() % AGE_SPREAD_S
        connection.usable_until_s = time.monotonic() + CONNECTION_AGE_MAX_S - spread_s
        return connection


class _Acquired(PoolAcquireContext):  # generic only in its stubs
    """A connection from the pool, for the length of a block: not older than the maximum, and not reused after a failover."""

    pool: ServicePool

    async def __aenter__(self) -> PoolConnectionProxy[asyncpg.Record]:
        self.pool.waiting += 1
        try:
            return await self._acquire()
        finally:
            self.pool.waiting -= 1

    async def _acquire(self) -> PoolConnectionProxy[asyncpg.Record]:
        connection: Any = await super().__aenter__()
        while time.monotonic() >= connection.usable_until_s:
            with suppress(*TRANSIENT_ERRORS):
                await connection.close(timeout=CLOSE_TIMEOUT_S)  # returns its place to the pool
            self.connection = None
            connection = await super().__aenter__()
        return connection  # type: ignore[no-any-return]

    async def __aexit__(self, *exc: object) -> None:
        _kind, error, _traceback = exc
        if isinstance(error, _LOST_SERVER) or isinstance(getattr(error, "__cause__", None), _LOST_SERVER):
            await self.pool.expire_connections()
        await super().__aexit__(*exc)


class ServicePool(asyncpg.Pool):  # generic only in its stubs
    """A pool that leaves a server that stops or no longer accepts writes, and takes the `followers` with it.

    A pool that only reads does not notice that its server has become a standby.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(
            **arguments,
            max_queries=_QUERIES_PER_CONNECTION,
            loop=asyncio.get_running_loop(),
            connection_class=_Connection,
            record_class=asyncpg.Record,
        )
        self.followers: list[Pool] = []
        self.waiting = 0  # callers without a connection yet
        self._logged = RateLimiter(burst=1, every_s=LOG_INTERVAL_S)

    def acquire(self, *, timeout: float | None = None) -> PoolAcquireContext[asyncpg.Record]:
        """Wait for a connection."""
        return _Acquired(self, timeout)

    def show_use(self, name: str) -> None:
        """Let the gauge of connections read this pool."""
        for state, read in (
            ("limit", self.get_max_size),
            ("open", self.get_size),
            ("in_use", lambda: self.get_size() - self.get_idle_size()),
            ("waiting", lambda: self.waiting),
        ):
            metrics.DATABASE_CONNECTIONS.labels(name, state).set_function(read)

    async def expire_connections(self) -> None:
        """Replace each connection before its next use, here and in the followers."""
        if self._logged.allows(""):
            log.warning("database_connections_dropped", reason="the server stops or does not accept writes")
        await super().expire_connections()
        for follower in self.followers:
            await follower.expire_connections()


async def open_pool(config: DatabaseSettings, *, application_name: str = "payment-service") -> ServicePool:
    """Open the pool. Raises UnusableDatabase; OSError or asyncpg.PostgresError if the database cannot be reached."""
    dsn = read_dsn(config.db_dsn.get_secret_value())
    await require_usable(partial(Connector(dsn), statement_cache_size=0))
    pool = ServicePool(
        **_pool_arguments(dsn, application_name, plan_cache_mode="force_generic_plan"),
        min_size=min(2, config.db_pool_size),
        max_size=config.db_pool_size,
    )
    await pool
    return pool


async def open_read_pool(config: DatabaseSettings, *, beside: ServicePool | None = None) -> ServicePool:
    """Open the pool for reads of the API. It connects with the first read, so it never fails at a start.

    It follows the pool `beside` it to another server.
    """
    dsn = read_dsn(config.db_dsn.get_secret_value())
    pool = _ReadPool(
        **_pool_arguments(dsn, "payment-service-reads", statement_timeout_ms=READ_STATEMENT_TIMEOUT_MS),
        min_size=0,
        max_size=READ_CONNECTIONS,
    )
    await pool
    if beside is not None:
        beside.followers.append(pool)
    return pool


class _ReadPool(ServicePool):
    """A pool whose callers wait for a connection at most `READ_WAIT_S`, then get a TimeoutError."""

    def acquire(self, *, timeout: float | None = None) -> PoolAcquireContext[asyncpg.Record]:
        """Wait for a connection."""
        return super().acquire(timeout=READ_WAIT_S if timeout is None else timeout)


def _pool_arguments(
    dsn: Dsn,
    application_name: str,
    *,
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    plan_cache_mode: str = "auto",
) -> dict[str, Any]:
    """Return the arguments of a pool. `force_generic_plan` plans a statement once, not for each of its first five executions."""
    settings = _session_settings(dsn, application_name, statement_timeout_ms=statement_timeout_ms)
    settings["plan_cache_mode"] = plan_cache_mode
    return {
        "connect": Connector(dsn),
        "max_inactive_connection_lifetime": CONNECTION_IDLE_LIFETIME_S,
        "max_cached_statement_lifetime": PLAN_LIFETIME_S,
        "init": partial(_prepare, dsn=dsn, settings=settings),
        "reset": _keep_session,
    }


async def open_session(config: DatabaseSettings, application_name: str) -> Connection:
    """Open a connection outside the pools, with the limits of a session. Raises what opening a pool raises."""
    dsn = read_dsn(config.db_dsn.get_secret_value())
    connection: Connection = await Connector(dsn)(max_cached_statement_lifetime=PLAN_LIFETIME_S)
    await _prepare(connection, dsn=dsn, settings=_session_settings(dsn, application_name))
    return connection


def _session_settings(
    dsn: Dsn, application_name: str, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS
) -> dict[str, str]:
    return {
        **dsn.settings,
        "application_name": application_name,
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
        "statement_timeout": str(statement_timeout_ms),
        "synchronous_commit": "on",
        "default_transaction_isolation": "read committed",
        "jit": "off",
        # Every statement has an index. A plan that scans a small table would be kept while the table grows.
        "enable_seqscan": "off",
        "timezone": "UTC",
    }


async def _prepare(connection: Connection, *, dsn: Dsn, settings: Mapping[str, str]) -> None:
    """Apply the limits of the session by a statement: poolers refuse or drop parameters of the startup."""
    _watch_socket(connection, dsn.socket)
    await connection.fetch(_SQL.apply_settings, list(settings), list(settings.values()))


def _watch_socket(connection: Connection, options: Mapping[str, int]) -> None:
    transport = getattr(connection, "_transport", None)
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, options.get("keepalives", 1))
    for name, option in _SOCKET_OPTIONS.items():
        if options.get(name) and hasattr(socket, option):  # 0 is the system's default; macOS lacks some
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), options[name])


async def _keep_session(_connection: Connection) -> None:
    """Replace the `RESET ALL` of asyncpg, a round trip for each released connection.

    The service sets nothing per session later, and asyncpg has already rolled back an open transaction.
    """
