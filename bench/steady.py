"""Measure an idle replica, and a hundred orders per second with a provider that takes 300 ms, fresh and under an old snapshot.

Run: `python -m bench.steady [--orders 3000] [--per-second 100] [--statements 12]`. The snapshot stays open for the second part.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.environment import Environment, start_environment
from bench.runs import order

ANSWER_AFTER_MS: Final = 300
SETTLE_S: Final = 12.0
IDLE_S: Final = 20.0
TOPIC: Final = "payments.initiated"


class Statements:
    """The statements that the server counted since `reset`, by text. Its own are left out."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    def reset(self) -> None:
        """Count from 0 again."""
        self._connection.execute("SELECT pg_stat_statements_reset()")

    def counted(self) -> list[tuple[str, int, float, int]]:
        """Return text, calls, milliseconds and buffers, the most expensive first."""
        return self._connection.execute(
            "SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 90), calls, total_exec_time, shared_blks_hit + shared_blks_read"
            " FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%' ORDER BY total_exec_time DESC"
        ).fetchall()

    def hot(self) -> list[tuple[str, int, int]]:
        """Return table, updates and HOT updates of money's rows so far."""
        return self._connection.execute(
            "SELECT relname::text, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname IN ('payments', 'operations') ORDER BY 1"
        ).fetchall()


@contextmanager
def old_snapshot(dsn: str) -> Iterator[None]:
    """Keep a snapshot open, as a report does."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 1")
        yield


class Latencies:
    """The time from the commit of a record (`created_at` of its row) to its consumer, on one machine's clock."""

    def __init__(self, environment: Environment) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": environment.brokers, "group.id": "steady", "fetch.wait.max.ms": 5}
        )
        partitions = self._consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        self._consumer.assign([TopicPartition(TOPIC, number, 0) for number in partitions])
        self.arrived: dict[str, float] = {}

    def read(self, timeout_s: float) -> None:
        """Note what has arrived."""
        for message in self._consumer.consume(num_messages=500, timeout=timeout_s):
            if message.error() is None:
                headers: dict[str, Any] = dict(message.headers() or [])
                self.arrived.setdefault(headers["ce_id"].decode(), time.time())

    def since_written_ms(self, dsn: str, since: datetime) -> list[float]:
        """Return the milliseconds of each record written since."""
        with psycopg.connect(dsn) as connection:
            rows = connection.execute(
                "SELECT id::text, extract(epoch FROM created_at)::float8 FROM outbox WHERE created_at >= %s AND type = %s",
                (since, TOPIC),
            ).fetchall()
        return sorted(1000 * (self.arrived[ce_id] - at) for ce_id, at in rows if ce_id in self.arrived)


def measure_idle(on: Environment, statements: Statements, shown: int) -> None:
    """Print statements per second and CPU while nothing happens."""
    time.sleep(SETTLE_S)
    statements.reset()
    before = on.cpu_s()
    time.sleep(IDLE_S)
    after = on.cpu_s()
    counted = statements.counted()
    calls = sum(n for _, n, _, _ in counted) / IDLE_S
    cpu = {name: 100 * (after[name] - before[name]) / IDLE_S for name in ("service", "postgresql")}
    print(
        f"idle: {calls:.1f} statements/s, service {cpu['service']:.2f} % of a core, PostgreSQL {cpu['postgresql']:.2f} %",
        flush=True,
    )
    for text, n, _, _ in sorted(counted, key=lambda row: -row[1])[:shown]:
        print(f"    {n / IDLE_S:5.2f}/s  {text}")


def measure_orders(
    on: Environment, statements: Statements, title: str, count: int, per_second: int, shown: int
) -> None:
    """Produce orders at a steady rate; print CPU, statements and latency per order."""
    latencies = Latencies(on)
    producer = Producer({"bootstrap.servers": on.brokers, "linger.ms": 1})
    statements.reset()
    since, before, started = datetime.now(UTC), on.cpu_s(), time.perf_counter()
    for n in range(count):
        producer.produce("orders.created", order(f"{title}-{n}", n))
        producer.poll(0)
        while (ahead_s := started + (n + 1) / per_second - time.perf_counter()) > 0:
            latencies.read(ahead_s)
    producer.flush()
    deadline = time.monotonic() + 60
    while len(latencies.arrived) < count and time.monotonic() < deadline:
        latencies.read(0.05)
    after = on.cpu_s()
    cpu = {name: 1000 * (after[name] - before[name]) / count for name in ("service", "postgresql")}
    counted = statements.counted()
    times = latencies.since_written_ms(on.dsn, since)
    calls = sum(n for _, n, _, _ in counted) / count
    p99 = statistics.quantiles(times, n=100)[-1] if len(times) > 1 else float("nan")
    print(
        f"{title}: {len(times)} of {count} orders at {per_second}/s: service {cpu['service']:.2f} + PostgreSQL {cpu['postgresql']:.2f} ms"
        f" CPU, {calls:.1f} statements per order; transaction begin to consumer p50 {statistics.median(times):.0f} ms, p99 {p99:.0f} ms",
        flush=True,
    )
    for text, n, ms, blocks in counted[:shown]:
        print(
            f"    {n / count:5.2f} calls/order {ms / count:7.3f} ms/order {blocks / max(n, 1):8.0f} buffers/call  {text}"
        )
    print(
        "    HOT: " + json.dumps({name: f"{hot} of {updates}" for name, updates, hot in statements.hot()}), flush=True
    )


def main() -> None:
    """Run all three."""
    parser = argparse.ArgumentParser(prog="python -m bench.steady", description=__doc__)
    parser.add_argument("--orders", type=int, default=3_000, help="orders per part (%(default)s)")
    parser.add_argument("--per-second", type=int, default=100, help="orders per second (%(default)s)")
    parser.add_argument(
        "--statements", type=int, default=0, help="statements to list, the most expensive (%(default)s)"
    )
    arguments = parser.parse_args()
    with start_environment(64, latency_ms=ANSWER_AFTER_MS) as on:
        statements = Statements(on.dsn)
        measure_idle(on, statements, arguments.statements)
        parts = (arguments.orders, arguments.per_second, arguments.statements)
        measure_orders(on, statements, "fresh", *parts)
        with old_snapshot(on.dsn):
            for part in ("pinned", "pinned longer"):
                measure_orders(on, statements, part.replace(" ", "-"), *parts)


if __name__ == "__main__":
    main()
