"""`make bench`: the figures of docs/benchmarks.md with their goals, beside a naive rival in the same run.

docs/benchmarks.md describes the method and the results.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import sysconfig
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from bench import report
from bench.environment import Refused
from bench.rows import run_all

_LIBRARIES: Final = ("uvicorn", "uvloop", "asyncpg", "aiohttp", "confluent-kafka")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=("rates", "all"), default="all", help="rates: without idle, slow and workers"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs, each on fresh processes (%(default)s)")
    parser.add_argument("--orders", type=int, default=20_000, help="orders per run (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="connections of the webhook load (%(default)s)")
    parser.add_argument("--concurrency", type=int, default=64, help="PROVIDER_CONCURRENCY (%(default)s)")
    parser.add_argument(
        "--backlog", type=int, default=1_000_000, help="records of the relay's backlog; 0: none (%(default)s)"
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.json and the plot")
    return parser.parse_args()


def main() -> int:
    """Run and print the table. Exit code 1: the counts differ from the records sent."""
    arguments = _arguments()
    conditions = _conditions()
    print(*(f"{name}: {value}" for name, value in conditions.items()), sep="\n", flush=True)
    try:
        values = run_all(arguments, lambda text: print(text, flush=True))
    except Refused as refused:
        print(f"bench: {refused}", file=sys.stderr)
        return 1
    conditions["load average after"] = round(os.getloadavg()[0], 2)
    print(f"\nload average after: {conditions['load average after']}\n\n{report.table(values)}")
    if arguments.write:
        report.write(values, conditions)
    return 0


def _conditions() -> dict[str, object]:
    return {
        "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "interpreter": f"Python {platform.python_version()}, {_build()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        "load average before": round(os.getloadavg()[0], 2),
    }


def _build() -> str:
    """Return how the interpreter was built. Debian builds with PGO and does not show it."""
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        return "built with PGO"
    return "built by the distribution, with PGO" if sys.base_prefix == "/usr" else "built WITHOUT PGO: a fifth slower"


if __name__ == "__main__":
    sys.exit(main())
