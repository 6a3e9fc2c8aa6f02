"""The figures of `make bench`, their limits, and the runs that fill them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.backlog import measure_backlog
from bench.environment import start_environment
from bench.runs import Measured, Reader, measure_idle, measure_orders, measure_webhooks, warm_up

if TYPE_CHECKING:
    from argparse import Namespace

    from bench.environment import Environment

# An open loop at this part of the rate of the closed one.
LOAD: Final = 0.7
IDLE_S: Final = 20.0
# The naive rival takes its orders one after another.
NAIVE_SHARE: Final = 0.2
# As of a provider in production: Stripe answers a create in about this time, and allows about this rate.
SLOW_MS: Final = 300
SLOW_PER_S: Final = 100
SLOW_ORDERS: Final = 1_200


@dataclass(frozen=True, slots=True)
class Row:
    """A figure. `limit` is its goal: at least (`more`) or at most."""

    key: str
    name: str
    unit: str
    limit: float | None = None
    more: bool = False
    digits: int = 2

    def holds(self, value: float) -> bool | None:
        """Return whether a value reaches the goal. None: there is no goal."""
        if self.limit is None:
            return None
        return value >= self.limit if self.more else value <= self.limit


ROWS: Final = (
    Row("webhooks_ratio", "durable webhooks/s, of the naive rival's", "x", 2.5, more=True),
    Row("webhooks_per_s", "durable webhooks/s", "/s", digits=0),
    Row("naive_webhooks_per_s", "the same, naive rival", "/s", digits=0),
    Row("orders_ratio", "orders/s, of the naive rival's", "x", 2.0, more=True),
    Row("orders_per_s", "orders/s", "/s", digits=0),
    Row("naive_orders_per_s", "the same, naive rival", "/s", digits=0),
    Row("webhook_cpu_ms", "CPU per webhook, service and PostgreSQL", "ms", 0.20, digits=3),
    Row("webhook_service_ms", "of it, service", "ms", digits=3),
    Row("webhook_postgresql_ms", "of it, PostgreSQL", "ms", digits=3),
    Row("naive_webhook_cpu_ms", "the same, naive rival", "ms", digits=3),
    Row("slow_service_ms", "CPU per order at 100 orders/s and 300 ms: service", "ms", 0.5),
    Row("slow_postgresql_ms", "CPU per order at 100 orders/s and 300 ms: PostgreSQL", "ms", 0.4),
    Row("idle_per_s", "idle: transactions", "/s", 5.0, digits=1),
    Row("idle_percent", "idle: CPU of the service", "% of a core", 0.5),
    Row("ack_p99_ms", "webhook answered at 70 % load, open loop: p99", "ms", 25.0, digits=1),
    Row("consumer_p99_ms", "commit to consumer at 70 % load: p99", "ms", 50.0, digits=1),
    Row("backlog_per_s", "relay of a backlog, in order", "/s", 20_000, more=True, digits=0),
    Row("backlog_growth_mb", "relay of a backlog: memory gained", "MB", 10.0, digits=1),
    Row("start_s", "start until ready", "s", 1.0),
    Row("memory_mb", "memory at its peak under load", "MB", 100.0, digits=0),
    Row("workers_ratio", "webhooks/s with 2 workers, of those with 1", "x"),
    Row("workers_share", "share of the busier of 2 workers", "%", 75.0, digits=0),
)


Values = dict[str, list[float]]


def run_all(arguments: Namespace, show: Callable[[str], None]) -> Mapping[str, float]:
    """Run everything `arguments.runs` times and return the median of each figure. Ratios are formed within a run."""
    values: Values = defaultdict(list)
    for number in range(arguments.runs):
        show(f"run {number + 1}: the naive rival")
        naive = _rival(arguments, values)
        show(f"run {number + 1}: the service")
        webhooks_per_s = _service(arguments, values, naive, with_backlog=number == 0)
        if arguments.what == "all":
            show(f"run {number + 1}: a slow provider")
            _slow(values)
            show(f"run {number + 1}: two workers")
            _workers(arguments, values, webhooks_per_s)
    return {key: statistics.median(found) for key, found in values.items()}


def _rival(arguments: Namespace, values: Values) -> tuple[float, float]:
    """Measure the naive rival; return its webhooks and orders per second."""
    count = int(arguments.orders * NAIVE_SHARE)
    with start_environment(arguments.concurrency, naive=True) as on:
        orders = _orders(on, count)
        webhooks = measure_webhooks(on, count, arguments.connections)
    values["naive_orders_per_s"].append(orders.rate)
    values["naive_webhooks_per_s"].append(webhooks.rate)
    values["naive_webhook_cpu_ms"].append(webhooks.cost_ms("service") + webhooks.cost_ms("postgresql"))
    return webhooks.rate, orders.rate


def _service(arguments: Namespace, values: Values, naive: tuple[float, float], *, with_backlog: bool) -> float:
    """Measure the service; return its webhooks per second."""
    half = arguments.orders // 2
    with start_environment(arguments.concurrency) as on:
        values["start_s"].append(on.start_s)
        if arguments.what == "all":
            for key, value in measure_idle(on, IDLE_S).items():
                values[key].append(value)
        orders = _orders(on, arguments.orders)
        webhooks = measure_webhooks(on, half, arguments.connections)
        steady = measure_webhooks(on, half, arguments.connections, rate_per_s=LOAD * webhooks.rate)
        values["memory_mb"].append(on.service_rss_mb()[1])
        if with_backlog and arguments.backlog:
            backlog = measure_backlog(on, arguments.backlog)
            values["backlog_per_s"].append(backlog["records_per_s"])
            values["backlog_growth_mb"].append(backlog["peak_mb"] - backlog["before_mb"])
    service, postgresql = webhooks.cost_ms("service"), webhooks.cost_ms("postgresql")
    found = {
        "orders_per_s": orders.rate,
        "orders_ratio": orders.rate / naive[1],
        "webhooks_per_s": webhooks.rate,
        "webhooks_ratio": webhooks.rate / naive[0],
        "webhook_service_ms": service,
        "webhook_postgresql_ms": postgresql,
        "webhook_cpu_ms": service + postgresql,
        "ack_p99_ms": steady.facts["p99_ms"],
        "consumer_p99_ms": steady.facts["consumer_p99_ms"],
    }
    for key, value in found.items():
        values[key].append(value)
    return webhooks.rate


def _slow(values: Values) -> None:
    with start_environment(64, rate_per_s=SLOW_PER_S, latency_ms=SLOW_MS) as on:
        orders = _orders(on, SLOW_ORDERS)
    values["slow_service_ms"].append(orders.cost_ms("service"))
    values["slow_postgresql_ms"].append(orders.cost_ms("postgresql"))


def _workers(arguments: Namespace, values: Values, webhooks_per_s: float) -> None:
    count = arguments.orders // 2
    with start_environment(arguments.concurrency, workers=2) as on:
        _orders(on, count)
        before = on.service_cpu_s()[1:]
        webhooks = measure_webhooks(on, count, arguments.connections)
        spent = [after - was for was, after in zip(before, on.service_cpu_s()[1:], strict=True)]
    values["workers_ratio"].append(webhooks.rate / webhooks_per_s)
    values["workers_share"].append(100 * max(spent) / sum(spent))


def _orders(on: Environment, count: int) -> Measured:
    reader = Reader(on, "payments.initiated")
    warm_up(on, reader)
    measured = measure_orders(on, reader, count)
    reader.close()
    return measured
