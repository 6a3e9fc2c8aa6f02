"""Measure the sandbox as a provider: PaymentIntents created per second by one process on one core.

Run: `python -m bench.sandbox`. The sandbox is pinned to one core and the load to another. Each request has its own
idempotency key. It is a closed loop: each connection sends its next create after the last answer, and the sandbox answers
only after its batch is on disk. At the end the sandbox is killed and restarted, and its ledger must have every intent.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import urlopen

import psutil
import uvloop

from bench.environment import START_TIMEOUT_S
from bench.load import send_all
from payment_service_demo.embedded.process import ChildProcess, free_port

COMMAND: Final = Path(sys.executable).with_name("stripe-sandbox")
AIM: Final = 2_000
WARM_UP: Final = 500
SANDBOX_CORE: Final = 0
PAID: Final = {"payment_method": "pm_card_visa", "confirm": "true"}


@dataclass(frozen=True, slots=True)
class Mode:
    """A kind of request; `params` replace those of a create."""

    name: str
    state: bool
    params: dict[str, str]


MODES: Final = (
    Mode("creates, durable", state=True, params={}),
    Mode("creates, in memory", state=False, params={}),
    Mode("creates that pay at once, durable", state=True, params=PAID),
)


def main() -> int:
    """Run each mode and print its median. Exit code 1: an answered create was lost by the kill."""
    parser = argparse.ArgumentParser(prog="python -m bench.sandbox", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each mode, on fresh processes (%(default)s)")
    parser.add_argument("--creates", type=int, default=10_000, help="creates per run (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="connections of the load (%(default)s)")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[1:] or cores)
    print(
        f"{len(cores)} cores, load average {os.getloadavg()[0]:.2f} before; the target is {AIM:,} creates/s", flush=True
    )
    for mode in MODES:
        runs = [
            _run(mode, arguments.creates, arguments.connections, cores[SANDBOX_CORE]) for _ in range(arguments.runs)
        ]
        rates, costs = sorted(run[0] for run in runs), sorted(run[1] for run in runs)
        middle = len(runs) // 2
        print(
            f"{mode.name}: {rates[middle]:,.0f}/s (from {rates[0]:,.0f} to {rates[-1]:,.0f}), {costs[middle]:.3f} CPU"
            f" seconds per 1,000, so {1000 / costs[middle]:,.0f} per second of one core",
            flush=True,
        )
    return 0


def _run(mode: Mode, creates: int, connections: int, core: int) -> tuple[float, float]:
    """Return creates per second, and CPU seconds of the sandbox per 1,000."""
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        with _sandbox(folder, core, state=mode.state) as (port, process):
            uvloop.run(send_all(port, _requests(port, mode, "warm", WARM_UP), connections))
            before = process.cpu_times()
            told = uvloop.run(send_all(port, _requests(port, mode, "create", creates), connections))
            after = process.cpu_times()
        cpu_s = after.user + after.system - before.user - before.system
        if told["accepted"] != creates:
            sys.exit(f"bench: {told['accepted']} of {creates} creates were answered 200.")
        if mode.state:
            _require_kept(folder, core, WARM_UP + creates)
    return creates / told["elapsed_s"], 1000 * cpu_s / creates


def _requests(port: int, mode: Mode, name: str, count: int) -> list[bytes]:
    return [_request(port, f"{name}-{n}", mode.params) for n in range(count)]


def _request(port: int, order: str, more: dict[str, str]) -> bytes:
    params = {
        "amount": "1999",
        "currency": "eur",
        "payment_method_types[0]": "card",
        "metadata[deployment]": "bench",
        "metadata[order_id]": order,
        **more,
    }
    body = urlencode(params)
    head = (
        f"POST /v1/payment_intents HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer sk_test_bench\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nIdempotency-Key: {order}\r\n"
        f"Stripe-Version: 2026-08-26.dahlia\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def _require_kept(folder: Path, core: int, intents: int) -> None:
    """Check after the kill that every answered create exists."""
    with _sandbox(folder, core, state=True) as (port, _), urlopen(f"http://127.0.0.1:{port}/sandbox/ledger") as answer:
        ledger: list[dict[str, Any]] = json.load(answer)["data"]
    kept = sum(entry["effect"] == "intent.created" for entry in ledger)
    if kept != intents:
        sys.exit(f"bench: {kept} of {intents} intents were kept.")


@contextmanager
def _sandbox(folder: Path, core: int, *, state: bool) -> Iterator[tuple[int, psutil.Process]]:
    """Run a sandbox on one core and kill it at the end."""
    port, log = free_port(), folder / f"log-{time.monotonic_ns()}"
    command = [str(COMMAND), "--port", str(port), *(["--state", str(folder / "state")] if state else [])]
    with ExitStack() as stack:
        child = ChildProcess(["taskset", "-c", str(core), *command], log=log, env={"PYTHONUNBUFFERED": "1"})
        stack.callback(child.kill)
        child.wait_until(lambda: "sandbox ready" in log.read_text(), timeout_s=START_TIMEOUT_S, name="The sandbox")
        yield port, psutil.Process(child.pid)


if __name__ == "__main__":
    sys.exit(main())
