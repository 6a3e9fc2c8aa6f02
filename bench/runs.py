"""Two measurements: orders from `orders.created` to `payments.initiated`, and webhooks to committed rows."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.environment import SECRET, Environment, Refused, child_env

if TYPE_CHECKING:
    from confluent_kafka import Message

# Enough to open all connections and to have the consumer's partitions assigned.
WARM_UP_ORDERS: Final = 300
# From the start of the service until it only waits.
IDLE_SETTLE_S: Final = 10.0
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

    def cost_ms(self, process: str) -> float:
        """Return the CPU of a process per item, milliseconds."""
        return 1000 * self.cpu_s[process] / self.count


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
        self.ages_s: list[float] = []  # from `ce_time`, shortly before the commit, until the record was read

    def read_until(self, payments: int, *, while_running: subprocess.Popen[str] | None = None) -> None:
        """Read until records of this many payments have arrived. Raises Refused after PATIENCE_S without any."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.keys) < payments:
            failed = while_running is not None and while_running.poll() not in {None, 0}
            if failed or time.monotonic() > deadline:
                raise Refused(f"{len(self.keys)} of {payments} payments were published within {PATIENCE_S:.0f} s.")
            for message in self._consumer.consume(num_messages=1000, timeout=0.02):
                if message.error() is None:
                    self.records += 1
                    self.keys.add(message.key() or b"")
                    self._note_age(message)

    def _note_age(self, message: Message) -> None:
        at = dict(message.headers() or []).get("ce_time")
        if isinstance(at, bytes):
            self.ages_s.append(time.time() - datetime.fromisoformat(at.decode()).timestamp())

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
    if not environment.naive:
        _require(environment, "SELECT count(*) FROM operations WHERE state = 'done'", WARM_UP_ORDERS + count)
    return measured


def measure_webhooks(environment: Environment, count: int, connections: int, *, rate_per_s: float = 0) -> Measured:
    """Measure from the first event sent until the last is answered. By then each event must be a row.

    An event whose payment was locked is applied a little later, so results are counted after all payments are published. With a
    rate, latencies are those of an open loop.
    """
    measured = Measured(count)
    before = _ask(environment, "SELECT count(*) FROM payments WHERE status = 'succeeded'")
    reader = Reader(environment, "payments.succeeded")
    reader.read_until(before)
    reader.ages_s.clear()
    told = _load(environment, measured, reader, before + count, (count, connections, rate_per_s))
    _require(environment, "SELECT count(*) FROM payment_events", before + count)
    _require(environment, "SELECT count(*) FROM payments WHERE status = 'succeeded'", before + count)
    if not environment.naive:
        _require(
            environment, "SELECT count(*) FROM payment_events WHERE processed AND result = 'applied'", before + count
        )
    measured.elapsed_s = told["elapsed_s"]
    measured.cpu_s["load"] = told["cpu_s"]
    measured.facts |= {"answered 200": told["accepted"]}
    measured.facts |= {name: told[name] for name in ("p50_ms", "p99_ms", "body_bytes")}
    measured.facts["records repeated"] = reader.records - before - count
    if reader.ages_s:
        measured.facts["consumer_p99_ms"] = 1000 * sorted(reader.ages_s)[len(reader.ages_s) * 99 // 100]
    reader.close()
    return measured


def _load(
    environment: Environment, measured: Measured, reader: Reader, expected: int, arguments: tuple[float, ...]
) -> dict[str, Any]:
    """Run the load generator, read the records meanwhile, and return what it prints."""
    command = [sys.executable, "-m", "bench.load", str(environment.service_port), environment.dsn, SECRET]
    with _measuring(environment, measured):
        load = subprocess.Popen([*command, *map(str, arguments)], env=child_env({}), stdout=subprocess.PIPE, text=True)
        reader.read_until(expected, while_running=load)
        output, _ = load.communicate()
    if load.returncode != 0:
        raise Refused("The load generator failed; see above.")
    told: dict[str, Any] = json.loads(output)
    if told["accepted"] != measured.count:
        raise Refused(f"{told['accepted']} of {measured.count} webhooks were answered with 200.")
    return told


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


def measure_idle(environment: Environment, seconds: float) -> dict[str, float]:
    """Return the transactions per second and the part of a core (percent) of a service with nothing to do."""
    time.sleep(IDLE_SETTLE_S)
    query = "SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database WHERE datname = current_database()"
    before, cpu_s = _ask(environment, query), environment.cpu_s()["service"]
    time.sleep(seconds)
    after = _ask(environment, query)
    # The first question was counted after it.
    return {
        "idle_per_s": max(0, after - before - 1) / seconds,
        "idle_percent": 100 * (environment.cpu_s()["service"] - cpu_s) / seconds,
    }
