"""A child process that ends with its parent, however the parent ends.

Rule 1: each child has its own process group. A Ctrl-C in the terminal reaches the parent alone, which stops the child in order.
Rule 2: the kernel ends a child whose parent was killed (PR_SET_PDEATHSIG). That signal follows the *thread* that started
the child, so start children from the main thread only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PR_SET_PDEATHSIG: Final = 1
# Below the range of local ports for outgoing connections on Linux (32768 and up). Otherwise a client could take the port
# between this choice and the moment when the server listens.
PORTS: Final = range(20_000, 32_000)
# A process has every 64th port to itself, 187 ports, and returns one again only after all others. So two processes that start at
# the same time seldom choose the same port, and a port that is chosen has time to be bound.
LANES: Final = 64
POLL_INTERVAL_S: Final = 0.01

_libc: Final = ctypes.CDLL(None, use_errno=True)


class EmbeddedError(RuntimeError):
    """An embedded server failed to start. The message says why and shows the end of its log."""


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system user that a child runs as."""

    uid: int
    gid: int


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens now. Raises EmbeddedError."""
    for port in itertools.islice(_own_ports(os.getpid()), len(PORTS) // LANES):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    message = f"No free port between {PORTS.start} and {PORTS.stop} on 127.0.0.1."
    raise EmbeddedError(message)


@functools.cache
def _own_ports(pid: int) -> Iterator[int]:
    ports = list(PORTS[pid % LANES :: LANES])
    random.shuffle(ports)
    return itertools.cycle(ports)


def listens(port: int) -> bool:
    """Return True if this port of 127.0.0.1 accepts connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a log file, or an empty text when the file does not exist."""
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    return ""


def die_with_parent(death_signal: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """Return a `preexec_fn` that asks the kernel to send `death_signal` when the parent dies.

    Raises RuntimeError outside the main thread. A change of user clears the request, but `subprocess` changes the user before
    it calls `preexec_fn`.
    """
    if threading.current_thread() is not threading.main_thread():
        message = "Start child processes from the main thread: the kernel ends them with the thread that started them."
        raise RuntimeError(message)
    parent_pid = os.getpid()

    def ask() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent_pid:  # the parent died before the request
            os._exit(1)

    return ask


class ChildProcess:
    """A running program. The constructor starts it, `stop` ends it, and a log file holds its output."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.log = log
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [os.fspath(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd="/",
                process_group=0,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                preexec_fn=die_with_parent(death_signal),
            )

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """True until the process has ended."""
        return self._popen.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float, name: str) -> None:
        """Wait until `ready()`. Stop the process and raise EmbeddedError when it exits first or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            ended = not self.running
            if ended or time.monotonic() > deadline:
                self.stop()
                why = f"exited with code {self._popen.returncode}" if ended else f"was not ready in {timeout_s} s"
                message = f"{name} {why}. The end of its log:\n{tail(self.log)}"
                raise EmbeddedError(message)
            time.sleep(POLL_INTERVAL_S)

    def stop(self, grace_s: float = 10) -> int:
        """Signal the process to end, kill its group after `grace_s`, and return the exit code."""
        if self.running:
            self._popen.send_signal(self._stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._popen.wait(grace_s)
            self.kill()
        return self._popen.wait()

    def kill(self) -> None:
        """End the process and its group at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()


class WorkFolder:
    """A temporary folder. Creating one removes the folders of killed processes.

    The owner holds a lock on the file `lock` inside. A lock that can be acquired belonged to a dead owner.
    """

    def __init__(self, name: str, parent: Path | None = None) -> None:
        prefix = f"payment-service-{name}-"
        parent = parent or Path(tempfile.gettempdir())
        for other in parent.glob(f"{prefix}*"):
            _remove_abandoned(other)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        # Lock the file before it gets its name, so that no other process finds it unlocked.
        self._lock = (self.path / "lock.new").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.path / "lock.new").rename(self.path / "lock")

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _remove_abandoned(folder: Path) -> None:
    # Ignore a folder of another user, one that is gone already, and one that is still in use.
    with contextlib.suppress(OSError), (folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """The base of the embedded servers: a port, a child process and its folder. `with` starts and stops them."""

    def __init__(self) -> None:
        self._port = 0
        self._folder: WorkFolder | None = None
        self._child: ChildProcess | None = None

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1, once started."""
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the server. Raises RuntimeError while it does not run."""
        if self._child is None:
            message = f"{type(self).__name__} is not running; call start() first."
            raise RuntimeError(message)
        return self._child.pid

    def start(self) -> Self:
        """Start the server and wait until it serves. Raises EmbeddedError."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop the server even with clients connected, and remove its folder. No effect when it does not run."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
