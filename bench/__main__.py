"""`make bench`: durable webhooks and orders per second, medians of several runs, and CPU per process.

docs/benchmarks.md describes the method and the results.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from bench.environment import Refused, start_environment
from bench.runs import Measured, Reader, measure_orders, measure_webhooks, warm_up

AIMS: Final = {"webhooks": 5_000, "orders": 1_500}
RSS_LIMIT_MB: Final = 150


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("webhooks", "orders", "all"), default="all")
    parser.add_argument("--runs", type=int, default=3, help="runs, each on fresh processes (%(default)s)")
    parser.add_argument("--orders", type=int, default=20_000, help="orders per run (%(default)s)")
    parser.add_argument("--webhooks", type=int, help="webhooks per run, at most the orders (default: the same number)")
    parser.add_argument("--connections", type=int, default=64, help="connections of the webhook load (%(default)s)")
    parser.add_argument("--concurrency", type=int, default=64, help="PROVIDER_CONCURRENCY (%(default)s)")
    return parser.parse_args()


def main() -> int:
    """Run and print each result. Exit code 1: the counts differ from the records sent."""
    arguments = _arguments()
    print(_conditions(), flush=True)
    seen: dict[str, list[Measured]] = {"orders": [], "webhooks": []}
    try:
        for number in range(arguments.runs):
            _run(arguments, number, seen)
    except Refused as refused:
        print(f"bench: {refused}", file=sys.stderr)
        return 1
    for what in ("webhooks", "orders"):
        if arguments.what in {what, "all"}:
            _report(what, seen[what])
    return 0


def _conditions() -> str:
    parts = ("uvicorn", "asyncpg", "aiohttp", "confluent-kafka", "uvloop")
    versions = ", ".join(f"{name} {version(name)}" for name in parts)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {platform.machine()}, load average"
        f" {os.getloadavg()[0]:.2f} before\nPython {platform.python_version()}, {versions}"
    )


def _run(arguments: argparse.Namespace, number: int, seen: dict[str, list[Measured]]) -> None:
    with start_environment(arguments.concurrency) as on:
        if number == 0:
            print(f"PostgreSQL: {on.durability}", flush=True)
        reader = Reader(on, "payments.initiated")
        warm_up(on, reader)
        seen["orders"].append(measure_orders(on, reader, arguments.orders))
        reader.close()
        _show("orders", number, seen["orders"][-1])
        if arguments.what != "orders":
            count = min(arguments.webhooks or arguments.orders, arguments.orders)
            seen["webhooks"].append(measure_webhooks(on, count, arguments.connections))
            _show("webhooks", number, seen["webhooks"][-1])


def _show(what: str, number: int, run: Measured) -> None:
    facts = ", ".join(f"{name} {value:,.10g}" for name, value in _rounded(run.facts).items())
    print(
        f"  run {number + 1}: {run.rate:7,.0f} {what}/s, {run.count:,} in {run.elapsed_s:.1f} s ({facts})", flush=True
    )


def _rounded(facts: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) if value < 100 else round(value) for name, value in facts.items()}


def _report(what: str, runs: list[Measured]) -> None:
    rates = sorted(run.rate for run in runs)
    print(
        f"\n{what}/s: {statistics.median(rates):,.0f} (median of {len(rates)}: {rates[0]:,.0f} to {rates[-1]:,.0f};"
        f" the target is {AIMS[what]:,})"
    )
    print("  CPU seconds per 1,000: " + ", ".join(f"{name} {cost:.2f}" for name, cost in _costs(runs).items()))
    rss, peak = max(run.rss_mb for run in runs), max(run.rss_peak_mb for run in runs)
    verdict = "within" if peak <= RSS_LIMIT_MB else "ABOVE"
    print(f"  memory of the service: {rss:.0f} MB at the end, {peak:.0f} MB at its peak, {verdict} {RSS_LIMIT_MB} MB")


def _costs(runs: list[Measured]) -> dict[str, float]:
    costs = {name: statistics.median(1000 * run.cpu_s[name] / run.count for run in runs) for name in runs[0].cpu_s}
    return {**costs, "all": sum(costs.values())}


if __name__ == "__main__":
    sys.exit(main())
