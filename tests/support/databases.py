"""Create fresh databases on one server: each test gets a copy of a migrated template, dropped afterwards."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, LiteralString
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from payment_service.db.rights import Roles
from payment_service_demo.embedded.postgres import EmbeddedPostgres

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder in it gets a random name
# Six workers need 0.2 GB each. Containers often have 64 MB.
ROOM_BYTES_MIN: Final = 4 * 1024**3


def with_database(dsn: str, name: str) -> str:
    """Return the URI of another database on the same server (`dsn` in either of libpq's forms)."""
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    parts.pop("dbname", None)
    user, password, port = (quote(parts.pop(key, ""), safe="") for key in ("user", "password", "port"))
    host = parts.get("host", "")
    authority = "" if host.startswith("/") else quote(parts.pop("host", ""), safe=":.-,")
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    query = f"?{urlencode(parts)}" if parts else ""
    return f"postgresql://{login}{authority}{f':{port}' if port else ''}/{quote(name)}{query}"


class DatabaseServer:
    """A PostgreSQL server on which the suite creates and drops databases."""

    def __init__(self, dsn: str) -> None:
        self.dsn = with_database(dsn, str(conninfo_to_dict(dsn).get("dbname") or "postgres"))
        self._prefix = f"test_{os.getpid()}_{uuid.uuid4().hex[:6]}"
        self._made = 0
        self._session: psycopg.Connection[tuple[object, ...]] | None = None
        self._password = uuid.uuid4().hex
        self.roles = Roles(self._prefix)

    def create(self, template: str | None = None) -> str:
        """Create a database, empty or as a copy of `template`, and return its name."""
        self._made += 1
        name = f"{self._prefix}_{self._made}"
        self._execute(
            "CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8' STRATEGY FILE_COPY", name, template or "template0"
        )
        return name

    def drop(self, name: str) -> None:
        """Drop a database and any connections that a killed process left in it."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    @contextmanager
    def service_role(self) -> Iterator[bool]:
        """Create the service's role and drop it at the end. Yield False if we may not create roles."""
        try:
            self._execute(f"CREATE ROLE {{}} LOGIN PASSWORD '{self._password}'", self.roles.service)
        except psycopg.errors.InsufficientPrivilege:
            self._password = ""
        try:
            yield bool(self._password)
        finally:
            if self._password:
                self._execute("DROP ROLE {}", self.roles.service)

    def for_service(self, dsn: str) -> str:
        """Return the URI of a database for the service: under its own role, if there is one."""
        if not self._password:
            return dsn
        login = make_conninfo(dsn, user=self.roles.service, password=self._password)
        return with_database(login, str(conninfo_to_dict(dsn)["dbname"]))

    def store_own_password_again(self) -> None:
        """Let the setting `scram_iterations` apply: 4,096 iterations double the cost of a login, and tests log in all the time."""
        parts = conninfo_to_dict(self.dsn)
        self._execute(f"ALTER ROLE {{}} PASSWORD '{parts['password']}'", str(parts["user"]))

    def migrate(self, dsn: str) -> None:
        """Migrate a database to this version's schema, with the privileges of the service's role."""
        from payment_service.db.migrate import migrate  # noqa: PLC0415 - so that tests without a database stay quick

        migrate(dsn, roles=self.roles)

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """Create a database, yield its URI, and drop it."""
        name = self.create(template)
        try:
            yield with_database(self.dsn, name)
        finally:
            self.drop(name)

    @contextmanager
    def template(self, prepare: Callable[[str], object]) -> Iterator[str]:
        """Create a database, fill it with `prepare` (called with its URI), and yield its name for copying."""
        name = self.create()
        try:
            prepare(with_database(self.dsn, name))
            yield name
        finally:
            self.drop(name)

    def close(self) -> None:
        """Close the session that creates and drops."""
        if self._session is not None:
            self._session.close()

    def _execute(self, statement: LiteralString, *names: str) -> None:
        if self._session is None or self._session.closed:
            self._session = psycopg.connect(self.dsn, autocommit=True)
        self._session.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _memory() -> Path | None:
    """Return a folder in memory, if there is room. To copy the 550 files of a database takes 0.02 s there, not 0.35 s."""
    try:
        room = os.statvfs(MEMORY)
    except OSError:
        return None
    usable = os.access(MEMORY, os.W_OK) and not room.f_flag & os.ST_NOEXEC
    return MEMORY if usable and room.f_bavail * room.f_frsize >= ROOM_BYTES_MIN else None


@contextmanager
def database_server() -> Iterator[DatabaseServer]:
    """Yield the server of `TEST_DB_DSN` (a role with CREATEDB), or else start an embedded one."""
    if dsn := os.environ.get("TEST_DB_DSN"):
        with closing(DatabaseServer(dsn)) as server, server.service_role():
            yield server
        return
    # Tests kill processes but never cut the power. Without fsync the suite is several times faster.
    with (
        EmbeddedPostgres(fsync=False, temporary=_memory(), settings={"scram_iterations": "1"}) as postgres,
        closing(DatabaseServer(postgres.dsn)) as server,
    ):
        server.store_own_password_again()
        with server.service_role():
            yield server
