"""Run a PostgreSQL that accepts only TLS. The embedded one has no TLS, so this uses the system's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from payment_service_demo.embedded.postgres import unprivileged_account
from payment_service_demo.embedded.process import Account, ChildProcess, WorkFolder, free_port
from tests.support.certificates import Authority, Certificate

PASSWORD: Final = "canary-of-the-suite"
START_TIMEOUT_S: Final = 60
# The superuser needs a password; `by_certificate` needs a certificate with its name. All connections need TLS.
RULES: Final = """
hostssl all by_certificate 127.0.0.1/32 cert
hostssl all all            127.0.0.1/32 scram-sha-256
"""


@contextmanager
def tls_postgres(authority: Authority, server: Certificate) -> Iterator[int]:
    """Run it on 127.0.0.1 and yield its port. Skip the test if no PostgreSQL is installed."""
    folders = [Path("/usr/lib/postgresql") / version / "bin" for version in ("18", "17", "16", "15")]
    binaries = next((folder for folder in folders if (folder / "initdb").exists()), None)
    if binaries is None or shutil.which("openssl") is None:
        pytest.skip("needs Debian's PostgreSQL (apt-get install postgresql) and openssl")
    work = WorkFolder("tls-postgres")
    child = None
    try:
        account = unprivileged_account()
        port = free_port()
        options = _prepare(binaries, work.path, account, authority, server)
        child = ChildProcess(
            [binaries / "postgres", "-D", work.path / "data", "-c", f"port={port}", *options],
            log=work.path / "log",
            env={"TZ": "UTC", "LC_ALL": "C"},
            account=account,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
        )
        pid_file = work.path / "data" / "postmaster.pid"
        child.wait_until(
            lambda: pid_file.exists() and "ready" in pid_file.read_text(), timeout_s=START_TIMEOUT_S, name="PostgreSQL"
        )
        yield port
    finally:
        if child is not None:
            child.stop()
        work.remove()


def _prepare(
    binaries: Path, folder: Path, account: Account | None, authority: Authority, server: Certificate
) -> list[str]:
    """Create a data folder with the server's certificate, and return the server's options."""
    folder.chmod(0o755)
    data = folder / "data"
    (folder / "password").write_text(PASSWORD)
    if account:
        os.chown(folder, account.uid, account.gid)
        os.chown(folder / "password", account.uid, account.gid)
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "admin", f"--pwfile={folder / 'password'}", "-A", "scram-sha-256",
         "--encoding=UTF8", "--locale=C", "--no-sync"],
        check=True, capture_output=True, cwd="/", timeout=START_TIMEOUT_S, env={"TZ": "UTC", "LC_ALL": "C"},
        user=account.uid if account else None, group=account.gid if account else None,
        extra_groups=[] if account else None,
    )  # fmt: skip
    (data / "pg_hba.conf").write_text(RULES)
    for source, name in ((authority.certificate, "ca.pem"), (server.certificate, "tls.pem"), (server.key, "tls.key")):
        shutil.copy(source, data / name)
        (data / name).chmod(0o600)
        if account:
            os.chown(data / name, account.uid, account.gid)
    settings = {
        "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "ssl": "on",
        "ssl_ca_file": "ca.pem", "ssl_cert_file": "tls.pem", "ssl_key_file": "tls.key",
    }  # fmt: skip
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
