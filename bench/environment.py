"""The environment of a run: new processes for each run, and the CPU and memory of each process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import psycopg

from payment_service_demo.embedded.broker import EmbeddedBroker
from payment_service_demo.embedded.postgres import EmbeddedPostgres
from payment_service_demo.embedded.process import ChildProcess, WorkFolder, free_port, listens

ROOT: Final = Path(__file__).parent.parent
COMMAND: Final = Path(sys.executable).with_name("payment-service")
SANDBOX: Final = Path(sys.executable).with_name("stripe-sandbox")
SECRET: Final = "whsec_benchbenchbenchbench"
START_TIMEOUT_S: Final = 30
COMMITS_TIMED: Final = 200
# The server counts statements (bench/steady.py). It costs each statement about a microsecond.
COUNT_STATEMENTS: Final = {"shared_preload_libraries": "pg_stat_statements"}
# In-memory file systems, on which fsync does nothing.
_NO_DISK: Final = frozenset({"tmpfs", "ramfs"})


class Refused(Exception):
    """An environment in which the results would mean nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Durability:
    """The settings that the server reports, and the duration of a durable commit (ms, median)."""

    settings: Mapping[str, str]
    file_system: str
    commit_ms: float

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{told}; on {self.file_system}, one commit {self.commit_ms:.2f} ms"


@dataclass(frozen=True, slots=True)
class Environment:
    """A running service and its dependencies. `service_port` receives webhooks, `provider_port` calls."""

    dsn: str
    brokers: str
    service_port: int
    provider_port: int
    metrics_port: int
    pids: Mapping[str, int]
    durability: Durability
    start_s: float
    """From the start of the service's process until it is ready."""
    naive: bool = False

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds of each part so far. PostgreSQL includes all its processes, also ended ones."""
        return {name: _cpu_s(pid) for name, pid in self.pids.items()}

    def service_rss_mb(self) -> tuple[float, float]:
        """Return the memory of the service now, and its peak (MB)."""
        status = Path(f"/proc/{self.pids['service']}/status").read_text()
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith("Vm")}
        return sizes["VmRSS"] / 1024, sizes["VmHWM"] / 1024

    def service_cpu_s(self) -> list[float]:
        """Return the CPU seconds of the service's process and of each of its workers."""
        main = psutil.Process(self.pids["service"])
        return [sum(one.cpu_times()[:2]) for one in (main, *main.children())]


def _cpu_s(pid: int) -> float:
    process = psutil.Process(pid)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:  # ended meanwhile; its parent has its CPU
            continue
        total += times.user + times.system
        if one is process:  # the CPU of its ended children
            total += times.children_user + times.children_system
    return total


@contextmanager
def start_environment(
    concurrency: int,
    *,
    rate_per_s: int = 100_000,
    sandbox: bool = False,
    latency_ms: int = 0,
    workers: int = 1,
    naive: bool = False,
) -> Iterator[Environment]:
    """Start PostgreSQL, the broker, the stub (or the `sandbox`) and the service (or the `naive` rival). Raises Refused."""
    with ExitStack() as stack:
        folder = WorkFolder("bench")
        stack.callback(folder.remove)
        postgres = stack.enter_context(EmbeddedPostgres(settings=COUNT_STATEMENTS))
        durability = _require_durability(postgres.dsn)
        broker = stack.enter_context(EmbeddedBroker())
        stub_port, service_port, metrics_port = free_port(), free_port(), free_port()
        stub_command = [sys.executable, "-m", "bench.stub", str(stub_port), str(latency_ms)]
        command = [str(SANDBOX), "--port", str(stub_port)] if sandbox else stub_command
        stub = _start(stack, command, folder, "stub", {})
        stub.wait_until(lambda: listens(stub_port), timeout_s=START_TIMEOUT_S, name="The stub")
        env = {
            "DB_DSN": postgres.dsn,
            "KAFKA_BROKERS": broker.bootstrap_servers,
            "STRIPE_SECRET_KEY": "sk_test_bench",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "STRIPE_API_BASE": f"http://127.0.0.1:{stub_port}",
            "DEPLOYMENT": "bench",
            "PROVIDER_RATE_PER_SECOND": str(rate_per_s),
            "PROVIDER_CONCURRENCY": str(concurrency),
            "SERVICE_HOST": "127.0.0.1",
            "SERVICE_PORT": str(service_port),
            "METRICS_PORT": str(metrics_port),
        }
        for arguments in ([] if naive else ["migrate"], ["topics", "create"]):
            if arguments:
                _run_to_end(stack, [str(COMMAND), *arguments], folder, env)
        rival = [sys.executable, "-m", "bench.naive", str(service_port)]
        started = time.perf_counter()
        program = rival if naive else [str(COMMAND), "serve", "--workers", str(workers)]
        service = _start(stack, program, folder, "service", env)
        service.wait_until(lambda: _ready(service_port), timeout_s=START_TIMEOUT_S, name="The service")
        start_s = time.perf_counter() - started
        pids = {"service": service.pid, "postgresql": postgres.pid, "broker": broker.pid, "stub": stub.pid}
        yield Environment(
            dsn=postgres.dsn,
            brokers=broker.bootstrap_servers,
            service_port=service_port,
            provider_port=stub_port,
            metrics_port=metrics_port,
            pids=pids,
            durability=durability,
            start_s=start_s,
            naive=naive,
        )


def _start(stack: ExitStack, command: list[str], folder: WorkFolder, name: str, env: Mapping[str, str]) -> ChildProcess:
    child = ChildProcess(command, log=folder.path / f"{name}.log", env=child_env(env))
    stack.callback(child.stop)
    return child


def child_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a child process."""
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), **env}


def _run_to_end(stack: ExitStack, command: list[str], folder: WorkFolder, env: Mapping[str, str]) -> None:
    child = _start(stack, command, folder, command[1], env)
    deadline = time.monotonic() + START_TIMEOUT_S
    while child.running and time.monotonic() < deadline:
        time.sleep(0.01)
    if child.stop() != 0:
        raise Refused(f"`{' '.join(command[1:])}` failed:\n{child.log.read_text(errors='replace')[-2000:]}")


def _ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _require_durability(dsn: str) -> Durability:
    with psycopg.connect(dsn, autocommit=True) as connection:
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")
        settings = {name: str(connection.execute(f"SHOW {name}").fetchall()[0][0]) for name in names}
        folder = str(connection.execute("SHOW data_directory").fetchall()[0][0])
        commit_ms = _commit_ms(connection)
    wrong = [name for name in ("fsync", "synchronous_commit", "full_page_writes") if settings[name] != "on"]
    if wrong:
        raise Refused(f"{', '.join(wrong)} must be on: without it the results are not durable.")
    file_system = _file_system(folder)
    if file_system in _NO_DISK:
        raise Refused(f"{folder} is in memory ({file_system}), where fsync does nothing. Set TMPDIR to a disk.")
    return Durability(settings, file_system, commit_ms)


def _commit_ms(connection: psycopg.Connection) -> float:
    connection.execute("CREATE TABLE commit_time (n integer)")
    times = []
    for n in range(COMMITS_TIMED):
        started = time.perf_counter()
        connection.execute("INSERT INTO commit_time VALUES (%s)", (n,))
        times.append(time.perf_counter() - started)
    connection.execute("DROP TABLE commit_time")
    return 1000 * sorted(times)[COMMITS_TIMED // 2]


def _file_system(folder: str) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if Path(folder).is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
