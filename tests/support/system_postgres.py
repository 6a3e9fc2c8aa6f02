"""Servers of the system's PostgreSQL, standbys of them, and PgBouncer: the parts that the wheels do not have."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import psycopg

from payment_service_demo.embedded.postgres import unprivileged_account
from payment_service_demo.embedded.process import ChildProcess, Server, WorkFolder, free_port, listens

START_TIMEOUT_S: Final = 60
# Several processes with a pool each, and the tests.
MAX_CONNECTIONS: Final = 200
_PLAIN: Final = {"TZ": "UTC", "LC_ALL": "C"}


def binaries() -> Path:
    """Return the folder of `postgres`, which `scripts/with-postgres` names."""
    return Path(os.environ["POSTGRES_BIN"])


class SystemPostgres(Server):
    """A server with the superuser `postgres` and no password, in a temporary folder.

    `copy_of`: the data folder of a stopped server to start from. `data`: another folder for the data.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        copy_of: Path | None = None,
        data: Path | None = None,
    ) -> None:
        super().__init__()
        self._settings = dict(settings or {})
        self._copy_of = copy_of
        self._wanted = data

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._port}"

    @property
    def dsn(self) -> str:
        """The URI of the database `postgres`."""
        return f"postgresql://postgres@{self.address}/postgres"

    @property
    def data(self) -> Path:
        """The data folder."""
        assert self._folder is not None
        return self._wanted or self._folder.path / "data"

    def start(self) -> Self:
        """Create the server and wait until it accepts connections."""
        self._prepare_folder()
        if self._copy_of:
            subprocess.run(["cp", "-a", self._copy_of, self.data], check=True, timeout=START_TIMEOUT_S)
        else:
            self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--encoding=UTF8", "--locale=C", "-N")
        return self._serve()

    def standby(self) -> SystemPostgres:
        """Start a hot standby of this server. The caller stops it."""
        other = SystemPostgres(settings=self._settings)
        other._prepare_folder()
        other._run("pg_basebackup", "-d", self.dsn, "-D", other.data, "-R", "-X", "stream", "-c", "fast", "-N")
        return other._serve()

    def promote(self) -> None:
        """Make this standby the primary, and wait for it."""
        self._run("pg_ctl", "-D", self.data, "promote", "-w")

    def halt(self) -> None:
        """Stop the server and keep its folder."""
        assert self._child is not None
        assert self._child.stop() == 0

    def kill(self) -> None:
        """Kill the server as a crash of its machine does."""
        assert self._child is not None
        self._child.kill()

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each on its own."""
        with psycopg.connect(self.dsn, dbname=database, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _prepare_folder(self) -> None:
        self._folder = WorkFolder("system-postgres")
        self._folder.path.chmod(0o755)
        account = unprivileged_account()
        if account:
            os.chown(self._folder.path, account.uid, account.gid)

    def _serve(self) -> Self:
        self._port = free_port()
        options = {
            "listen_addresses": "127.0.0.1", "port": str(self._port), "unix_socket_directories": "", "fsync": "off",
            "max_connections": str(MAX_CONNECTIONS), "dynamic_shared_memory_type": "mmap", **self._settings,
        }  # fmt: skip
        assert self._folder is not None
        self._child = ChildProcess(
            [binaries() / "postgres", "-D", self.data, *(p for n, v in options.items() for p in ("-c", f"{n}={v}"))],
            log=self._folder.path / "log",
            env=_PLAIN,
            account=unprivileged_account(),
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
        )
        pid_file = self.data / "postmaster.pid"
        self._child.wait_until(
            lambda: pid_file.exists() and "ready" in pid_file.read_text(), timeout_s=START_TIMEOUT_S, name="PostgreSQL"
        )
        return self

    def _run(self, program: str, *arguments: str | Path) -> None:
        account = unprivileged_account()
        subprocess.run(
            [binaries() / program, *arguments],
            check=True, capture_output=True, cwd="/", timeout=START_TIMEOUT_S, env=_PLAIN,
            user=account.uid if account else None, group=account.gid if account else None,
            extra_groups=[] if account else None,
        )  # fmt: skip


class PgBouncer(Server):
    """PgBouncer before a server. `extra`: lines of its configuration."""

    def __init__(self, server: SystemPostgres, mode: str, *extra: str) -> None:
        super().__init__()
        self._server = server
        self._mode = mode
        self._extra = extra

    def start(self) -> Self:
        """Start it and wait until it listens."""
        self._folder = WorkFolder("pgbouncer")
        folder = self._folder.path
        self._port = free_port()
        host, port = self._server.address.split(":")
        lines = [
            "[databases]", f"* = host={host} port={port} user=postgres",
            "[pgbouncer]", "listen_addr=127.0.0.1", f"listen_port={self._port}", "unix_socket_dir=", "auth_type=any",
            f"pool_mode={self._mode}", "max_client_conn=200", "default_pool_size=60", *self._extra,
        ]  # fmt: skip
        (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        folder.chmod(0o755)
        return self._serve()

    def kill_and_start(self) -> None:
        """Kill it with all its connections, and start it on the same port."""
        assert self._child is not None
        self._child.kill()
        self._child.stop()
        self._serve()

    def _serve(self) -> Self:
        assert self._folder is not None
        folder = self._folder.path
        self._child = ChildProcess(
            [os.environ["PGBOUNCER_BIN"], folder / "pgbouncer.ini"],
            log=folder / "log",
            env=_PLAIN,
            account=unprivileged_account(),
            stop_signal=signal.SIGINT,
        )
        self._child.wait_until(lambda: listens(self._port), timeout_s=START_TIMEOUT_S, name="PgBouncer")
        return self

    def dsn(self, database: str) -> str:
        """Return the URI of a database through it."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"
