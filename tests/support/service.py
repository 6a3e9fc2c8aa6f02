"""Run processes of the service as a user does, and kill, pause or stop them."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from payment_service_demo.embedded.process import ChildProcess, free_port, tail
from tests.support.eventually import TIMEOUT_S, eventually
from tests.support.http import is_ready
from tests.support.prefork import ForkedChild

COMMAND: Final = Path(sys.executable).with_name("payment-service")
READY_TIMEOUT_S: Final = 30.0
# Longer than the service's own grace period for draining.
STOP_TIMEOUT_S: Final = 25.0


class ServiceProcess:
    """A `payment-service …` process with its own environment, whose log is kept as JSON lines.

    `start` waits for `/ready`. A process that exits by itself fails the test during cleanup.
    """

    def __init__(self, env: Mapping[str, str], *, log: Path, arguments: Sequence[str] = ("serve",)) -> None:
        self.service_port = int(env.get("SERVICE_PORT") or free_port())
        self.metrics_port = int(env.get("METRICS_PORT") or free_port())
        self.arguments = arguments
        self.log = log
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ},
            "PYTHONUNBUFFERED": "1",
            **env,
            "SERVICE_HOST": "127.0.0.1",
            "SERVICE_PORT": str(self.service_port),
            "METRICS_PORT": str(self.metrics_port),
        }
        self._child: ChildProcess | None = None
        self._end_expected = False

    @property
    def url(self) -> str:
        """The base URL of webhooks and the API."""
        return f"http://127.0.0.1:{self.service_port}"

    @property
    def metrics_url(self) -> str:
        """The base URL of metrics and API documentation."""
        return f"http://127.0.0.1:{self.metrics_port}"

    @property
    def child(self) -> ChildProcess:
        """The running process. Fails if it was never started."""
        assert self._child is not None, "the service was not started"
        return self._child

    @property
    def pid(self) -> int:
        """The process id."""
        return self.child.pid

    @property
    def running(self) -> bool:
        """True until the process ends."""
        return self._child is not None and self._child.running

    def spawn(self) -> None:
        """Start the process without waiting."""
        assert not self.running, "the service is already running"
        self._end_expected = False
        self._child = ForkedChild(COMMAND.name, self.arguments, log=self.log, env=self.env)

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start the process and wait until `/ready` answers 200."""
        self.spawn()
        self.child.wait_until(self.ready, timeout_s=timeout_s, name=f"payment-service {' '.join(self.arguments)}")

    def ready(self) -> bool:
        """Request `/ready` once."""
        return is_ready(self.service_port)

    def kill(self) -> None:
        """Kill the process with SIGKILL, without a clean shutdown."""
        assert self.running, f"the service exited before the test killed it:\n{tail(self.log)}"
        self._end_expected = True
        self.child.kill()

    def wait_killed(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the process has died, and assert that it died by its own SIGKILL."""
        self._end_expected = True
        assert self.wait(timeout_s) == -signal.SIGKILL, tail(self.log)

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """Wait until the process exits by itself, and return its exit code."""
        self._end_expected = True
        eventually(lambda: not self.running, timeout_s=timeout_s)
        return self.child.stop()

    def stop(self, expected_code: int = 0) -> None:
        """Stop the process with SIGTERM, wait until it has drained, and assert its exit code."""
        self._end_expected = True
        code = self.child.stop(grace_s=STOP_TIMEOUT_S)
        assert code == expected_code, f"the service exited with {code}, not {expected_code}:\n{tail(self.log)}"

    def pause(self) -> None:
        """Suspend the process (SIGSTOP), as on a frozen machine."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a suspended process."""
        os.kill(self.pid, signal.SIGCONT)

    def logs(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the log so far, or its lines about one `event`. Text that is no JSON becomes {"event": text}."""
        lines = [_parse(line) for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return [line for line in lines if event is None or line.get("event") == event]

    def wait_for_log(self, event: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Wait for the first log line about `event`, and return it."""
        return eventually(lambda: self.logs(event), timeout_s=timeout_s)[0]

    def clean_up(self) -> None:
        """Kill the process. Fail if it had exited unexpectedly."""
        if self._child is None:
            return
        died = not self._end_expected and not self._child.running
        self._child.kill()
        assert not died, f"the service exited unexpectedly:\n{tail(self.log)}"


def _parse(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {"event": line}
    return value if isinstance(value, dict) else {"event": line}


StartService = Callable[..., ServiceProcess]


@contextmanager
def services(env: Mapping[str, str], folder: Path) -> Iterator[StartService]:
    """Yield a function that starts a process and waits for it, and clean up all processes afterwards.

    `start("intake,relay", KAFKA_GROUP_ID="x")` serves these roles with this variable changed. With `wait=False` it only
    creates the ServiceProcess.
    """
    started: list[ServiceProcess] = []

    def start(only: str | None = None, *, wait: bool = True, workers: int = 1, **changes: str) -> ServiceProcess:
        roles = ("--only", only) if only else ()
        arguments = ("serve", *roles, *(("--workers", str(workers)) if workers > 1 else ()))
        log = folder / f"service-{len(started) + 1}.log"
        process = ServiceProcess({**env, **changes}, log=log, arguments=arguments)
        started.append(process)
        if wait:
            process.start()
        return process

    failures: list[AssertionError] = []
    try:
        yield start
    finally:
        for process in started:
            try:
                process.clean_up()
            except AssertionError as failure:
                failures.append(failure)
    if failures:
        raise failures[0]
