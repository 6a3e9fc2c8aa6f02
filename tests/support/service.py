"""Processes of the service, started as a user starts them, and what can happen to a process."""

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

COMMAND: Final = Path(sys.executable).with_name("payment-service")
READY_TIMEOUT_S: Final = 30.0
# Longer than the service's own grace period for draining.
STOP_TIMEOUT_S: Final = 25.0


class ServiceProcess:
    """One `payment-service …` process with an environment of its own, its log kept as JSON lines.

    `start` waits for `/ready`. A process that ends by itself fails the test when it is cleaned up.
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
        """Where webhooks and the API are served."""
        return f"http://127.0.0.1:{self.service_port}"

    @property
    def metrics_url(self) -> str:
        """Where metrics and API documentation are served."""
        return f"http://127.0.0.1:{self.metrics_port}"

    @property
    def child(self) -> ChildProcess:
        """The running process; an assertion fails when it was never started."""
        assert self._child is not None, "the service was not started"
        return self._child

    @property
    def pid(self) -> int:
        """The process id."""
        return self.child.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._child is not None and self._child.running

    def spawn(self) -> None:
        """Start the process without waiting for anything."""
        assert not self.running, "the service is running already"
        self._end_expected = False
        self._child = ChildProcess([COMMAND, *self.arguments], log=self.log, env=self.env)

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start the process and wait until `/ready` answers 200."""
        self.spawn()
        self.child.wait_until(self.ready, timeout_s=timeout_s, name=f"payment-service {' '.join(self.arguments)}")

    def ready(self) -> bool:
        """Ask `/ready` once."""
        return is_ready(self.service_port)

    def kill(self) -> None:
        """End the process with SIGKILL: it gets no chance to finish anything."""
        assert self.running, f"the service had ended before it was to be killed:\n{tail(self.log)}"
        self._end_expected = True
        self.child.kill()

    def wait_killed(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the process has died by a SIGKILL that it gave itself, and assert that it was that."""
        self._end_expected = True
        assert self.wait(timeout_s) == -signal.SIGKILL, tail(self.log)

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """Wait until the process has ended by itself, and give its exit code."""
        self._end_expected = True
        eventually(lambda: not self.running, timeout_s=timeout_s)
        return self.child.stop()

    def stop(self, expected_code: int = 0) -> None:
        """End the process with SIGTERM, wait until it has drained, and assert its exit code."""
        self._end_expected = True
        code = self.child.stop(grace_s=STOP_TIMEOUT_S)
        assert code == expected_code, f"the service ended with {code}, not {expected_code}:\n{tail(self.log)}"

    def pause(self) -> None:
        """Stop the process where it is (SIGSTOP), as a long garbage collection or a frozen machine does."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def logs(self, event: str | None = None) -> list[dict[str, Any]]:
        """Give the log so far, or its lines about one `event`; text that is no JSON comes as {"event": text}."""
        lines = [_parse(line) for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return [line for line in lines if event is None or line.get("event") == event]

    def wait_for_log(self, event: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Wait until the log has a line about `event`, and give the first such."""
        return eventually(lambda: self.logs(event), timeout_s=timeout_s)[0]

    def clean_up(self) -> None:
        """End the process in any case; fail when it had ended though nobody asked it to."""
        if self._child is None:
            return
        died = not self._end_expected and not self._child.running
        self._child.kill()
        assert not died, f"the service ended by itself:\n{tail(self.log)}"


def _parse(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {"event": line}
    return value if isinstance(value, dict) else {"event": line}


StartService = Callable[..., ServiceProcess]


@contextmanager
def services(env: Mapping[str, str], folder: Path) -> Iterator[StartService]:
    """Give a function that starts a process and waits for it, and end all of them afterwards.

    `start("intake,relay", KAFKA_GROUP_ID="x")` serves these roles with this variable changed; `wait=False` only makes
    the ServiceProcess.
    """
    started: list[ServiceProcess] = []

    def start(only: str | None = None, *, wait: bool = True, **changes: str) -> ServiceProcess:
        arguments = ("serve", "--only", only) if only else ("serve",)
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
