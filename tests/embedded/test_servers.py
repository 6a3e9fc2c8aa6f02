"""Test that embedded servers start, stop, and never outlive the process that started them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from payment_service_demo.embedded.broker import EmbeddedBroker
from payment_service_demo.embedded.postgres import EmbeddedPostgres
from payment_service_demo.embedded.process import ChildProcess, EmbeddedError, WorkFolder, free_port, listens
from tests.support.eventually import eventually
from tests.support.kafka import create_topics, topic_names

PARENT = """
import signal
from payment_service_demo.embedded.broker import EmbeddedBroker
from payment_service_demo.embedded.postgres import EmbeddedPostgres

with EmbeddedPostgres(fsync=False) as postgres, EmbeddedBroker() as broker:
    print(postgres.pid, postgres.port, broker.pid, broker.port, flush=True)
    signal.pause()
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Create a temporary folder that every user may enter, as PostgreSQL needs when the suite runs as root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_postgres_runs_with_fsync_by_default_and_stops() -> None:
    """PostgreSQL 18 runs with fsync on. After `stop` neither a process nor a listener remains."""
    with EmbeddedPostgres() as postgres, psycopg.connect(postgres.dsn) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.info.server_version >= 180_000
        pid, port = postgres.pid, postgres.port
    assert not psutil.pid_exists(pid)
    assert not listens(port)


def test_postgres_requires_the_password() -> None:
    """Otherwise any account on the machine could run programs as the server's user."""
    with (
        EmbeddedPostgres(fsync=False) as postgres,
        pytest.raises(psycopg.OperationalError, match="password"),
    ):
        psycopg.connect(host="127.0.0.1", port=postgres.port, user="payments", dbname="postgres")


def test_postgres_keeps_a_given_data_folder_across_restarts(open_folder: Path) -> None:
    """The caller owns the folder: `stop` keeps it, and the next start finds the rows."""
    with EmbeddedPostgres(open_folder / "data") as postgres, psycopg.connect(postgres.dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    with EmbeddedPostgres(open_folder / "data") as postgres, psycopg.connect(postgres.dsn) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_a_refused_postgres_setting_raises_an_error_with_the_reason() -> None:
    """The log is gone by then, so the message must contain the reason."""
    with pytest.raises(EmbeddedError, match="no_such_parameter"):
        EmbeddedPostgres(settings={"no_such_parameter": "1"}).start()


def test_a_restarted_broker_is_empty_and_keeps_its_port() -> None:
    """Clients find it again at the same address. Its memory is gone."""
    with EmbeddedBroker() as broker:
        create_topics(broker.bootstrap_servers, ["a"])
        assert topic_names(broker.bootstrap_servers) == {"a"}
    assert not listens(broker.port)
    with EmbeddedBroker(broker.port) as again:
        assert again.bootstrap_servers == broker.bootstrap_servers
        assert topic_names(again.bootstrap_servers) == set()


def test_children_and_folders_are_removed_after_the_parent_is_killed(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel ends the children of a killed process. The next start removes its folders."""
    env = {**os.environ, "TMPDIR": str(open_folder)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert parent.stdout is not None
        postgres_pid, postgres_port, broker_pid, broker_port = map(int, parent.stdout.readline().split())
        family = [psutil.Process(pid) for pid in (postgres_pid, broker_pid)]
        family += family[0].children(recursive=True)
        assert listens(postgres_port)
        assert listens(broker_port)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
    eventually(lambda: not any(process.is_running() for process in family))
    assert len(list(open_folder.iterdir())) == 2
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    for name in ("postgres", "broker"):
        WorkFolder(name).remove()
    assert list(open_folder.iterdir()) == []


def test_a_folder_in_use_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two suites on one machine do not remove each other's databases."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    one, other = WorkFolder("x"), WorkFolder("x")
    assert one.path.exists()
    one.remove()
    other.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_child_can_only_be_started_from_the_main_thread(tmp_path: Path) -> None:
    """The kernel signals a child when its starting thread ends, so a worker thread would end its child."""
    with ThreadPoolExecutor() as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(ChildProcess, ["sleep", "1"], log=tmp_path / "log").result()


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """`stop` returns within its grace period, regardless of the child."""
    log = tmp_path / "log"
    child = ChildProcess(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], log=log)
    child.wait_until(lambda: "ready" in log.read_text(), timeout_s=10, name="sh")
    assert child.stop(grace_s=0.1) == -signal.SIGKILL
    assert not child.running


def test_a_free_port_can_be_bound_by_a_server() -> None:
    """Two calls may return the same port, but nothing listens on it."""
    assert not listens(free_port())
