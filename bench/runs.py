"""Two measurements: orders from `orders.created` to `payments.initiated`, and webhooks to committed rows."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.environment import SECRET, Environment, Refused, child_env

# Enough to open all connections and to have the consumer's partitions assigned.
WARM_UP_ORDERS: Final = 300
# A run that takes longer than this has hung.
PATIENCE_S: Final = 120.0


@dataclass(slots=True)
class Measured:
    """The result of a run of `count` items. CPU in seconds, by process; `facts` has further numbers."""

    count: int
    elapsed_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    rss_mb: float = 0.0
    rss_peak_mb: float = 0.0
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Return the items per second."""
        return self.count / self.elapsed_s


class Reader:
    """A reader of one topic from its beginning. It does not use end offsets, because the embedded broker reports wrong ones."""

    def __init__(self, environment: Environment, topic: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": environment.brokers, "group.id": "bench", "fetch.wait.max.ms": 20}
        )
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        self.records = 0
        self.keys: set[bytes] = set()

    def read_until(self, payments: int) -> None:
        """Read until records of this many payments have arrived. Raises Refused after PATIENCE_S."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.keys) < payments:
            if time.monotonic() > deadline:
                raise Refused(f"{len(self.keys)} of {payments} payments were published within {PATIENCE_S:.0f} s.")
            for message in self._consumer.consume(num_messages=1000, timeout=0.02):
                if message.error() is None:
                    self.records += 1
                    self.keys.add(message.key() or b"")

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()


@contextmanager
def _measuring(environment: Environment, measured: Measured) -> Iterator[None]:
    before, own_before = environment.cpu_s(), time.process_time()
    yield
    after = environment.cpu_s()
    measured.cpu_s |= {name: after[name] - before[name] for name in after}
    measured.cpu_s["bench"] = measured.cpu_s.get("bench", 0.0) + time.process_time() - own_before
    measured.rss_mb, measured.rss_peak_mb = environment.service_rss_mb()


def warm_up(environment: Environment, reader: Reader) -> None:
    """Process some orders without measuring."""
    _produce(environment, "warm", WARM_UP_ORDERS)
    reader.read_until(WARM_UP_ORDERS)


def measure_orders(environment: Environment, reader: Reader, count: int) -> Measured:
    """Measure from the first order given to the producer until `payments.initiated` of the last is read."""
    measured = Measured(count)
    seen = reader.records
    with _measuring(environment, measured):
        started = time.perf_counter()
        _produce(environment, "order", count)
        reader.read_until(WARM_UP_ORDERS + count)
        measured.elapsed_s = time.perf_counter() - started
    measured.facts["records repeated"] = reader.records - seen - count
    _require(environment, "SELECT count(*) FROM payments WHERE provider_payment_id IS NOT NULL", WARM_UP_ORDERS + count)
    _require(environment, "SELECT count(*) FROM operations WHERE state = 'done'", WARM_UP_ORDERS + count)
    measured.facts["calls repeated"] = _ask(environment, "SELECT coalesce(sum(attempt - 1), 0) FROM operations")
    return measured


def measure_webhooks(environment: Environment, count: int, connections: int) -> Measured:
    """Measure from the first event sent until the last is answered. By then each event must be a row.

    An event whose payment was locked is applied a little later, so results are counted after all payments are published.
    """
    measured = Measured(count)
    reader = Reader(environment, "payments.succeeded")
    command = [sys.executable, "-m", "bench.load", str(environment.service_port), environment.dsn, SECRET]
    with _measuring(environment, measured):
        load = subprocess.run(
            [*command, str(count), str(connections)], env=child_env({}), stdout=subprocess.PIPE, check=False, text=True
        )
        answered_at = time.perf_counter()
        if load.returncode != 0:
            raise Refused("The load generator failed; see above.")
        told: dict[str, Any] = json.loads(load.stdout)
        measured.elapsed_s = told["elapsed_s"]
        _require(environment, "SELECT count(*) FROM payment_events", count)
        reader.read_until(count)
        published_s = measured.elapsed_s + time.perf_counter() - answered_at
    _require(environment, "SELECT count(*) FROM payment_events WHERE processed AND result = 'applied'", count)
    _require(environment, "SELECT count(*) FROM payments WHERE status = 'succeeded' AND captured = amount", count)
    measured.cpu_s["load"] = told["cpu_s"]
    measured.facts |= {"answered 200": told["accepted"], "published/s": count / published_s}
    measured.facts |= {name: told[name] for name in ("p50_ms", "p99_ms", "body_bytes")}
    measured.facts["records repeated"] = reader.records - count
    reader.close()
    return measured


def _require(environment: Environment, query: str, expected: int) -> None:
    found = _ask(environment, query)
    if found != expected:
        raise Refused(f"{found} instead of {expected} by: {query}")


def _ask(environment: Environment, query: str) -> int:
    with psycopg.connect(environment.dsn) as connection:
        return int(connection.execute(query).fetchall()[0][0])


def _produce(environment: Environment, name: str, count: int) -> None:
    """Produce orders and wait until the broker has all of them."""
    failures: list[object] = []
    note: Callable[..., None] = lambda error, _message: failures.append(error) if error else None  # noqa: E731
    producer = Producer(
        {"bootstrap.servers": environment.brokers, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000}
    )
    for n in range(count):
        order_id = f"{name}-{n:06}"
        producer.produce("orders.created", key=order_id, value=order(order_id, n), on_delivery=note)
        if n % 1_000 == 0:
            producer.poll(0)
    if producer.flush(PATIENCE_S) or failures:
        raise Refused(f"The broker did not accept the orders: {failures[:1]}")


def order(order_id: str, n: int) -> bytes:
    price = f"{10 + n % 90}.{n % 100:02}"
    value = {
        "order_id": order_id,
        "user_id": f"user-{n % 1_000}",
        "total": price,
        "currency": "eur",
        "items_count": 1,
        "items": [{"product_id": f"product-{n % 100}", "quantity": 1, "price": price}],
    }
    return json.dumps(value).encode()
