"""Run `payment-service` and `stripe-sandbox` as forks of one process that has imported them.

The imports of a command take a second of CPU, and the suite starts a thousand commands. A fork is a real process: it has
its own environment, folder, output, exit code and signals. Only the start of the interpreter is shared. With PYTHONPATH, a fork
makes its commands again, because packages add some. The tests of the demo and of the wheels start the installed commands.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, Final, NoReturn, cast

from payment_service_demo.embedded.process import ChildProcess, die_with_parent

ROOT: Final = Path(__file__).parents[2]
_MAINS: Final = {"payment-service": "payment_service.cli", "stripe-sandbox": "stripe_sandbox.cli"}
_ALSO: Final = ("payment_service.serving", "payment_service.doctor.checks", "payment_service.db.migrate")
_PACKAGES: Final = ("payment_service.commands", "payment_service.bank_transfer")
_REQUEST_BYTES_MAX: Final = 128 * 1024
_NUMBER: Final = struct.Struct("i")
_lock: Final = threading.Lock()
_servers: Final[list[tuple[socket.socket, subprocess.Popen[bytes]]]] = []


class Fork(subprocess.Popen[bytes]):
    """A forked command. It has what `ChildProcess` needs of Popen."""

    _child_created = False  # so that Popen does not wait for it

    def __init__(
        self, program: str, arguments: Sequence[str], env: Mapping[str, str], files: Sequence[int], folder: str
    ) -> None:
        self.args = [program, *arguments]
        self.returncode = cast("int", None)
        request = {"program": program, "arguments": list(arguments), "env": dict(env), "folder": folder}
        self._report, report = socket.socketpair()
        with report, _lock:
            socket.send_fds(_server(), [json.dumps(request).encode()], [*files, report.fileno()])
        self.pid = self._read()

    def poll(self) -> int | None:
        """Return the exit code, or None while the command runs."""
        if self.returncode is None and select.select([self._report], [], [], 0)[0]:
            self.returncode = os.waitstatus_to_exitcode(self._read())
            self._report.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raise TimeoutExpired."""
        if self.returncode is None and not select.select([self._report], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return cast("int", self.poll())

    def _read(self) -> int:
        data = self._report.recv(_NUMBER.size)
        assert len(data) == _NUMBER.size, "the process that forks commands has ended"
        return int(_NUMBER.unpack(data)[0])

    def __del__(self) -> None:
        self._report.close()


class ForkedChild(ChildProcess):
    """A forked command whose log file holds its output."""

    def __init__(self, program: str, arguments: Sequence[str], *, log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        self._stop_signal = signal.SIGTERM
        with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
            files = (nothing.fileno(), output.fileno(), output.fileno())
            self._popen = Fork(program, arguments, env, files, "/")


def run_forked(
    program: str, arguments: Sequence[str], env: Mapping[str, str], *, files: tuple[IO[bytes], ...], timeout_s: float
) -> int:
    """Run a command to its end with these files as input, output and errors. Kill it after `timeout_s`."""
    command = Fork(program, arguments, env, [file.fileno() for file in files], str(Path.cwd()))
    try:
        return command.wait(timeout_s)
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
        raise


def _server() -> socket.socket:
    """Return the connection to the process that forks, which ends with this process."""
    if not _servers:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            server = subprocess.Popen(
                [sys.executable, "-m", __name__], stdin=theirs.fileno(), cwd=ROOT, process_group=0
            )
        _servers.append((ours, server))
    return _servers[0][0]


def _serve(channel: socket.socket) -> Callable[[], object]:
    """Fork on request. Return only in a fork: its main function."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        data, files, *_ = socket.recv_fds(channel, _REQUEST_BYTES_MAX, 4)
        if not data:
            sys.exit()
        follow = die_with_parent()
        if os.fork() == 0:
            follow()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            channel.close()
            _watch(files[3])
            return _prepare(files, **json.loads(data))
        for file in files:
            os.close(file)


def _watch(report: int) -> None:
    """Fork again. The parent reports process id and exit code and ends; the child returns."""
    follow = die_with_parent()
    pid = os.fork()
    if pid == 0:
        follow()
        os.setpgid(0, 0)
        return
    with suppress(OSError):
        os.setpgid(pid, pid)
    os.closerange(0, report)
    with suppress(BrokenPipeError):
        os.write(report, _NUMBER.pack(pid))
        os.write(report, _NUMBER.pack(os.waitpid(pid, 0)[1]))
    os._exit(0)


def _prepare(
    files: Sequence[int], *, program: str, arguments: Sequence[str], env: dict[str, str], folder: str
) -> Callable[[], object]:
    """Give this process its environment and files."""
    from payment_service import crash_points  # noqa: PLC0415 - it reads the environment

    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    os.closerange(3, max(files) + 1)
    sys.stdin = sys.__stdin__ = _text(0, "r")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _text(1, "w")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _text(2, "w")  # type: ignore[misc]
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(folder)
    sys.argv = [str(Path(sys.executable).with_name(program)), *arguments]
    importlib.reload(crash_points)
    commands = importlib.import_module(_MAINS[program])
    if "PYTHONPATH" in env:
        sys.path[1:1] = env["PYTHONPATH"].split(os.pathsep)
        importlib.reload(commands)
    return cast("Callable[[], object]", commands.main)


def _text(number: int, mode: str) -> Any:
    return open(number, mode, buffering=1, encoding="utf-8", closefd=False)


def _end(main: Callable[[], object]) -> NoReturn:
    """Run a command and end as the interpreter does, but keep its memory: to free it would copy what the forks share."""
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 - what the interpreter does with it
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _import_all() -> None:
    for name in (*_MAINS.values(), *_ALSO):
        importlib.import_module(name)
    for package in _PACKAGES:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if not module.ispkg:
                importlib.import_module(module.name)
    _make_commands()
    gc.collect()
    gc.freeze()


def _make_commands() -> None:
    """Make the commands of the service once, which takes each fork 15 ms."""
    typer: Any = importlib.import_module("typer.main")
    typer.get_command = cache(typer.get_command)
    typer.get_command(importlib.import_module(_MAINS["payment-service"]).app)


if __name__ == "__main__":
    _connection = socket.socket(fileno=os.dup(0))
    _import_all()
    _end(_serve(_connection))
