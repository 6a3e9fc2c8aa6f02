"""Measure what a webhook waits while records arrive that are slow or large to read.

Run: `python -m bench.bombs`. Webhooks are sent at a fixed rate, first alone and then while bombs of each kind arrive on
`orders.created`. Exit code 1: the 99th percentile is more than twice the quiet one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from typing import Any, Final

import psycopg

from bench.environment import SECRET, Environment, child_env, start_environment
from bench.runs import Reader, measure_orders, warm_up
from tests.support.bombs import CODECS, MEGABYTE, long_number, many_keys, nested, produce_packed, spaced_digits
from tests.support.kafka import Topics

RATIO_MAX: Final = 2.0
PAUSE_S: Final = 0.5  # between two bombs, so that several arrive during the load


def main() -> int:
    """Run and print both percentiles."""
    parser = argparse.ArgumentParser(prog="python -m bench.bombs", description=__doc__)
    parser.add_argument("--webhooks", type=int, default=1_500, help="webhooks of each load (%(default)s)")
    parser.add_argument("--connections", type=int, default=4, help="connections of the load (%(default)s)")
    parser.add_argument(
        "--rate", type=float, default=100, help="webhooks per second; 0: as fast as they are answered (%(default)s)"
    )
    arguments = parser.parse_args()
    with start_environment(64, sandbox=True) as on:
        reader = Reader(on, "payments.initiated")
        warm_up(on, reader)
        measure_orders(on, reader, 2 * arguments.webhooks)
        reader.close()
        quiet = _load(on, arguments)
        stopping = threading.Event()
        sent: list[str] = []
        sender = threading.Thread(target=_send_bombs, args=(on, stopping, sent))
        sender.start()
        try:
            loud = _load(on, arguments)
        finally:
            stopping.set()
            sender.join()
        with psycopg.connect(on.dsn) as connection:
            rows = connection.execute("SELECT reason, count(*) FROM quarantine GROUP BY 1 ORDER BY 1").fetchall()
        _, peak_mb = on.service_rss_mb()
    print(f"quiet: p50 {quiet['p50_ms']:.1f} ms, p99 {quiet['p99_ms']:.1f} ms, {quiet['accepted']} answered 200")
    print(f"with {len(sent)} bombs: p50 {loud['p50_ms']:.1f} ms, p99 {loud['p99_ms']:.1f} ms, {loud['accepted']}")
    print(f"in quarantine so far: {dict(rows)}; peak memory of the service {peak_mb:.0f} MB")
    return int(loud["p99_ms"] > RATIO_MAX * quiet["p99_ms"])


def _load(on: Environment, arguments: argparse.Namespace) -> dict[str, Any]:
    load = [str(number) for number in (arguments.webhooks, arguments.connections, arguments.rate)]
    command = [sys.executable, "-m", "bench.load", str(on.service_port), on.dsn, SECRET, *load]
    told = subprocess.run(command, env=child_env({}), stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(told.stdout)
    return result


def _send_bombs(on: Environment, stopping: threading.Event, sent: list[str]) -> None:
    topics = Topics(on.brokers)
    slow = {"digits": [spaced_digits()], "nesting": [nested()], "keys": [many_keys()], "number": [long_number()]}
    large = {codec: [bytes(20 * MEGABYTE)] for codec in CODECS}
    while not stopping.is_set():
        for name, values in {**slow, **large}.items():
            produce_packed(topics, values, name if name in CODECS else "gzip")
            sent.append(name)
            if stopping.wait(PAUSE_S):
                return


if __name__ == "__main__":
    sys.exit(main())
