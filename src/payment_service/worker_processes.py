"""Several worker processes under one parent, for `serve --workers N`.

Each is a replica of its own: the kernel spreads the connections of SERVICE_PORT over them (SO_REUSEPORT), and the database
coordinates the rest, as between hosts.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

import structlog

from payment_service import exit_codes

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

log = structlog.get_logger(__name__)


def run_workers(number: int, run: Callable[[int, int], int]) -> int:
    """Fork `number` processes that call `run(n, parent_pipe)`, and return the first exit code above 0, else 0.

    `parent_pipe` ends once the parent is gone, so that no worker outlives it. Fork before any thread starts.
    """
    parent_pipe, kept_open = os.pipe()
    pids = set()
    for n in range(number):
        pid = os.fork()
        if pid == 0:
            os.close(kept_open)
            _be_worker(n, parent_pipe, run)
        pids.add(pid)
    os.close(parent_pipe)
    return _Workers(pids).wait()


def _be_worker(n: int, parent_pipe: int, run: Callable[[int, int], int]) -> None:
    """Run as a worker. Never returns."""
    os.setpgid(0, 0)  # a terminal signals the whole group of the parent, which passes it on
    code = exit_codes.FAILED
    try:
        code = run(n, parent_pipe)
    except BaseException:  # noqa: BLE001 - told here, because the exit code is all that the parent gets
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Workers:
    """The running workers. If one ends, the others stop too, and the supervisor of the service starts all again."""

    def __init__(self, pids: set[int]) -> None:
        self._pids = pids
        self._stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)

    def wait(self) -> int:
        """Wait until all have ended, and return the first exit code above 0, else 0."""
        code = exit_codes.DONE
        while self._pids:
            pid, status = os.wait()
            self._pids.discard(pid)
            ended = os.waitstatus_to_exitcode(status)
            code = code or (ended if ended >= 0 else 128 - ended)  # as a shell shows the end by a signal
            if not self._stopping:
                log.error("worker_ended", pid=pid, exit_code=ended)
                self._pass_on(signal.SIGTERM, None)
        return code

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        # A worker drains on the first signal and exits at once on the second.
        self._stopping = True
        for pid in self._pids:
            os.kill(pid, number)
