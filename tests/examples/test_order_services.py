"""The example order services of each language, on Apache Kafka, with one service and the sandbox."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from payment_service.db.records import OutboxRecord
from payment_service_demo.embedded.process import ChildProcess, tail
from payment_service_events.published_events import Failed, Initiated, Succeeded
from scripts.sample_records import record_of, samples
from tests.conftest import WEBHOOK_SECRET
from tests.support.databases import DatabaseServer
from tests.support.eventually import eventually
from tests.support.flows import name_of
from tests.support.kafka import TOPICS, Record, Topics, create_topics, group_id
from tests.support.service import services
from tests.support.shop import Shop, shops

pytestmark = [pytest.mark.examples, pytest.mark.timeout(120)]

ROOT: Final = Path(__file__).parents[2]
BUILT: Final = ROOT / ".cache" / "examples"
COMMANDS: Final[dict[str, tuple[str | Path, ...]]] = {
    "python": (sys.executable, ROOT / "docs" / "examples" / "order-service" / "python" / "order_service.py"),
    "node": ("node", BUILT / "node" / "order-service.js"),
    "go": (BUILT / "go" / "order-service",),
    "java": ("java", "-cp", f"{BUILT}/java/target/classes:{BUILT}/java/target/dependency/*", "OrderService"),
}
LANGUAGES: Final = os.environ.get("EXAMPLES", "").split()
[INITIATED], [DECLINED, _], [SUCCEEDED] = samples(Initiated), samples(Failed), samples(Succeeded)
LIFE: Final = (INITIATED, DECLINED, SUCCEEDED)
STOPPED: Final = {0, 143}  # a JVM exits with 143 after SIGTERM
PUBLISHED: Final = 2  # records of a payment that succeeds at the first try


@pytest.fixture(scope="module")
def shop(
    _apache_kafka: str, database: DatabaseServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """Open a shop with a running service, which all languages share."""
    create_topics(_apache_kafka, TOPICS)
    folder, topics = tmp_path_factory.mktemp("shop"), Topics(_apache_kafka)
    with database.database(migrated_template) as dsn:
        env = {
            "DB_DSN": database.for_service(dsn),
            "KAFKA_BROKERS": _apache_kafka,
            "STRIPE_SECRET_KEY": "sk_test_suite",
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
        with services(env, folder) as start, shops(topics=topics, dsn=dsn, start=start, folder=folder) as opened:
            opened.serve()
            yield opened


class OrderService:
    """A process of an example, with its log and its database."""

    def __init__(self, child: ChildProcess, log: Path, dsn: str) -> None:
        self.child = child
        self._log = log
        self._dsn = dsn

    def said(self, line: str) -> bool:
        """Return True if it has printed this line. Fail if it has exited."""
        assert self.child.running, tail(self._log)
        return line in self.lines()

    def lines(self) -> list[str]:
        """Return the lines that it has printed."""
        return self._log.read_text().splitlines()

    def events_of(self, order: str) -> int:
        """Return how many events of an order it has stored."""
        assert self.child.running, tail(self._log)
        with psycopg.connect(self._dsn) as connection:
            row = connection.execute("SELECT count(*) FROM order_service.payment_events WHERE order_id = %s", (order,))
            return int((row.fetchone() or (0,))[0])

    def orders(self) -> dict[str, tuple[str, int]]:
        """Return the status and the number of parcels of each order."""
        with psycopg.connect(self._dsn) as connection:
            rows = connection.execute("SELECT order_id, status, parcels FROM order_service.orders").fetchall()
        return {order: (status, parcels) for order, status, parcels in rows}


@contextmanager
def running(
    language: str, order: Sequence[str], shop: Shop, key: str, dsn: str, folder: Path
) -> Iterator[OrderService]:
    env = {
        **os.environ,
        "KAFKA_BROKERS": shop.topics.bootstrap_servers,
        "KAFKA_GROUP_ID": group_id(),
        "ORDERS_DSN": dsn,
        "API_URL": f"http://127.0.0.1:{shop.port}",
        "API_KEY": key,
    }
    log = folder / f"{language}.log"
    child = ChildProcess([*COMMANDS[language], *order], log=log, env=env)
    try:
        yield OrderService(child, log, dsn)
    finally:
        child.kill()


def write(topics: Topics, record: OutboxRecord, partition: int) -> None:
    headers: dict[str, str | bytes] = {name: text or b"" for name, text in record.headers}
    topics.produce([record.value], topic=record.topic, key=lambda _: record.key, headers=headers, partition=partition)


def repeat(topics: Topics, records: Sequence[Record]) -> None:
    """Write records twice more, the last first, as they were and where they were."""
    for record in [*reversed(records), *reversed(records)]:
        headers: dict[str, str | bytes] = {name: text or b"" for name, text in record.headers.items()}
        topics.produce(
            [record.value],
            topic=record.topic,
            key=lambda _, key=record.key: key,  # type: ignore[misc]
            headers=headers,
            partition=record.partition,
        )


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_order_is_shipped_once_although_its_records_repeat_and_overtake_each_other(
    language: str, shop: Shop, database: DatabaseServer, tmp_path: Path
) -> None:
    placed, overtaken, last = (f"{name}-{language}" for name in ("placed", "overtaken", "last"))
    key = await shop.make_key()
    topics = shop.topics
    with (
        database.database() as dsn,
        running(language, (placed, "19.90", "eur"), shop, key, dsn, tmp_path) as service,
    ):
        eventually(lambda: service.said(f"{placed}: checkout: pay 19.90 eur"), timeout_s=60)
        shop.pay(placed)
        eventually(lambda: service.said(f"{placed}: paid"))
        payment = str(name_of(placed)).encode()
        found = topics.read(lambda records: sum(record.key == payment for record in records) >= PUBLISHED)
        records = [record for record in found if record.key == payment]
        repeat(topics, records)

        write(topics, record_of(SUCCEEDED, order=overtaken, sequence=3), partition=0)
        eventually(lambda: service.said(f"{overtaken}: paid"))
        for sequence in (2, 1, 3, 2, 1):
            write(topics, record_of(LIFE[sequence - 1], order=overtaken, sequence=sequence), partition=0)

        # Behind all of them, in the same partitions: once these are stored, the repeated ones were read.
        partitions = sorted({0, *(record.partition for record in records)})
        for attempt, partition in enumerate(partitions, 1):
            for sequence, event in enumerate(LIFE, 1):
                write(topics, record_of(event, order=last, sequence=sequence, attempt=attempt), partition)
        eventually(lambda: service.events_of(last) == len(partitions) * len(LIFE))
        orders = service.orders()
        assert service.child.stop() in STOPPED
    assert orders[placed] == orders[overtaken] == ("paid", 1)
    assert [line for line in service.lines() if line.startswith((placed, overtaken)) and line.endswith("paid")] == [
        f"{placed}: paid",
        f"{overtaken}: paid",
    ]
