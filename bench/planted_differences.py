"""Find 1,000 planted differences among 100,000 payments, and measure the time and the memory of the run.

Run: `make test-planted` (or `python -m bench.planted_differences`). `payment-service reconcile` runs as a process of its own. All
differences must be found, none invented, and the certain ones repaired. A second run must find only those that are left.
The seed is fixed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.environment import COMMAND
from payment_service import exit_codes
from payment_service.db.reconciliations import Window
from payment_service.domain.differences import CATALOG, EVENT_MISSING
from tests.support.databases import DatabaseServer, database_server
from tests.support.harness import Harness, open_harness
from tests.support.planted.kinds import KINDS, Kind
from tests.support.planted.store import clean_rows, fill
from tests.support.sandbox import API_KEY, SandboxProcess

# A smaller fill first, so that growth of the memory shows.
SMALL_SHARE: Final = 10
# The peak may grow by this share between the two. Lists of differences grow; pages do not.
GROWTH_MAX: Final = 0.2
POLL_S: Final = 0.1
# The sandbox reads a state file of 100,000 payments in about a minute.
START_TIMEOUT_S: Final = 300.0
# The codes of the comparison of our rows with the provider. An edited row also contradicts our other rows, and an event that never came
# is reported too: these have tests of their own.
JUDGED: Final = CATALOG.keys() - {EVENT_MISSING}


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the command: its differences, its duration and its peak memory."""

    found: list[tuple[str, str, bool]]
    compared: int
    seconds: float
    peak_mb: float


def main() -> int:
    """Run both sizes. Exit code 1: a difference was missed, invented or not repaired, or the memory grew."""
    parser = argparse.ArgumentParser(prog="python -m bench.planted_differences", description=__doc__)
    parser.add_argument("--payments", type=int, default=100_000, help="payments (%(default)s)")
    parser.add_argument("--differences", type=int, default=1_000, help="planted differences (%(default)s)")
    arguments = parser.parse_args()
    sizes = [(arguments.payments // share, arguments.differences // share) for share in (SMALL_SHARE, 1)]
    with database_server() as server:
        problems, peaks = [], []
        for payments, differences in sizes:
            found, peak_mb = asyncio.run(_measure(server, payments, differences))
            problems += found
            peaks.append(peak_mb)
    if peaks[1] > peaks[0] * (1 + GROWTH_MAX):
        problems.append(f"The peak grew from {peaks[0]:.0f} to {peaks[1]:.0f} MB.")
    print(*problems[:20], sep="\n")
    print("failed" if problems else "passed")
    return int(bool(problems))


async def _measure(server: DatabaseServer, payments: int, differences: int) -> tuple[list[str], float]:
    with tempfile.TemporaryDirectory() as folder, server.database() as dsn:
        server.migrate(dsn)
        sandbox = SandboxProcess(Path(folder), ready_timeout_s=START_TIMEOUT_S)
        sandbox.start()
        try:
            async with open_harness(dsn, sandbox) as harness:
                return await _compare(harness, payments, differences)
        finally:
            sandbox.clean_up()


async def _compare(harness: Harness, payments: int, differences: int) -> tuple[list[str], float]:
    started = time.monotonic()
    plan, templates = await fill(harness, payments, differences)
    expected = plan.expected(templates)
    clean = await clean_rows(harness.flows.pool)
    print(
        f"{payments} payments with {len(expected)} differences, filled in {time.monotonic() - started:.0f} s",
        flush=True,
    )
    first = await asyncio.to_thread(_reconcile, harness, plan.window)
    await harness.flows.run_calls(timeout_s=120)
    second = await asyncio.to_thread(_reconcile, harness, plan.window)
    for name, run in (("first", first), ("second", second)):
        repaired = sum(one[2] for one in run.found)
        print(
            f"{name} run: {run.seconds:.0f} s, peak {run.peak_mb:.0f} MB, compared {run.compared},"
            f" found {len(run.found)}, repaired {repaired}"
        )
    _print_kinds(expected, first)
    wanted = Counter((*key, kind.repaired) for key, kind in expected.items())
    left = Counter((*key, False) for key, kind in expected.items() if not kind.repaired)
    problems = [
        *_differ("first run", wanted, Counter(first.found)),
        *_differ("second run", left, Counter(second.found)),
    ]
    if await clean_rows(harness.flows.pool) != clean:
        problems.append("A row without a difference has changed.")
    return problems, first.peak_mb


def _reconcile(harness: Harness, window: Window) -> Run:
    """Run the command. Its peak is read while it runs: `ru_maxrss` of a child starts with that of its parent."""
    environment = {
        **os.environ,
        "DB_DSN": harness.dsn,
        "STRIPE_SECRET_KEY": API_KEY,
        "STRIPE_API_BASE": harness.sandbox.base_url,
        "PAYMENT_SERVICE_AS": "bench",
        "PROVIDER_RATE_PER_SECOND": "1000",
    }
    since, until = window.since.isoformat(), window.until.isoformat()
    command = [str(COMMAND), "reconcile", "--since", since, "--until", until, "--json"]
    started, peak_mb = time.monotonic(), 0.0
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(command, stdout=output, env=environment) as process,
    ):
        while process.poll() is None:
            peak_mb = max(peak_mb, _peak_mb(process.pid))
            time.sleep(POLL_S)
        seconds = time.monotonic() - started
        output.seek(0)
        text = output.read()
    assert process.returncode in {exit_codes.DONE, exit_codes.DIFFERENCES}, (
        f"reconcile exited with {process.returncode}"
    )
    report = json.loads(text)
    found = [(one["code"], one["subject"], one["repaired"]) for one in report["differences"] if one["code"] in JUDGED]
    return Run(found, report["compared"], seconds, peak_mb)


def _peak_mb(pid: int) -> float:
    """Return the peak resident memory. A process that has ended has none."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _print_kinds(expected: dict[tuple[str, str], Kind], run: Run) -> None:
    planted = Counter(kind.name for kind in expected.values())
    ours = [(expected[code, subject].name, fixed) for code, subject, fixed in run.found if (code, subject) in expected]
    found, repaired = Counter(name for name, _ in ours), Counter(name for name, fixed in ours if fixed)
    for kind in KINDS:
        name = kind.name
        print(f"  {name} ({kind.code}): planted {planted[name]}, found {found[name]}, repaired {repaired[name]}")


def _differ(name: str, wanted: Counter[tuple[str, str, bool]], found: Counter[tuple[str, str, bool]]) -> list[str]:
    missed = [f"{name}: missed {one}" for one in (wanted - found).elements()]
    return [*missed, *[f"{name}: invented {one}" for one in (found - wanted).elements()]]


if __name__ == "__main__":
    sys.exit(main())
