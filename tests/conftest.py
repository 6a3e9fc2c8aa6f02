"""The test ground: a real PostgreSQL, a real broker, a fresh database per test.

`TEST_DB_DSN` runs the suite against another server; `TEST_KAFKA=apache` runs the tests marked `kafka` on Apache Kafka.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from payment_service_demo.embedded.broker import EmbeddedBroker
from tests.support.databases import DatabaseServer, database_server
from tests.support.flows import Flows, open_flows
from tests.support.harness import Harness, open_harness
from tests.support.kafka import TOPICS, Topics, create_topics, group_id
from tests.support.sandbox import SandboxProcess
from tests.support.service import StartService, services
from tests.support.shop import Shop, shops

# Timings are for the benchmarks: machines are shared.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

WEBHOOK_SECRET = "whsec_suite"


@pytest.fixture(scope="session")
def database() -> Iterator[DatabaseServer]:
    """Give the PostgreSQL server of this session (of this worker, under xdist)."""
    with database_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(database: DatabaseServer) -> Iterator[str]:
    """Give the name of a database that has the schema, to be copied by `database_dsn`."""
    with database.template(database.migrate) as name:
        yield name


@pytest.fixture
def database_dsn(database: DatabaseServer, migrated_template: str) -> Iterator[str]:
    """Give the URI of a database with the schema and nothing in it, for this test alone; as the owner of its tables."""
    with database.database(migrated_template) as dsn:
        yield dsn


@pytest.fixture
def service_dsn(database: DatabaseServer, database_dsn: str) -> str:
    """Give the URI of the same database for the service: under a role that may do what `db/rights.py` says, and no more."""
    return database.for_service(database_dsn)


@pytest.fixture
def empty_database_dsn(database: DatabaseServer) -> Iterator[str]:
    """Give the URI of a database without anything in it, for this test alone."""
    with database.database() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def _apache_kafka() -> Iterator[str | None]:
    if os.environ.get("TEST_KAFKA") != "apache":
        yield None
        return
    from tests.support.apache_kafka import ApacheKafka  # noqa: PLC0415

    with ApacheKafka() as kafka:
        yield kafka.bootstrap_servers


@pytest.fixture
def broker(_apache_kafka: str | None) -> Iterator[str]:
    """Give the bootstrap servers of a broker without any topics: a new Tansu, or Apache Kafka swept clean."""
    if _apache_kafka is not None:
        yield _apache_kafka
        Topics(_apache_kafka).delete_all()
        return
    with EmbeddedBroker() as embedded:
        yield embedded.bootstrap_servers


@pytest.fixture
def topics(broker: str) -> Topics:
    """Create the topics of the service, empty, 6 partitions each, and give a way to write and read them."""
    create_topics(broker, TOPICS)
    return Topics(broker)


@pytest.fixture
def service_env(service_dsn: str, topics: Topics) -> dict[str, str]:
    """Give the environment of a service on this test's database and broker; its Stripe refuses connections until set."""
    return {
        "DB_DSN": service_dsn,
        "KAFKA_BROKERS": topics.bootstrap_servers,
        "KAFKA_GROUP_ID": group_id(),
        "STRIPE_SECRET_KEY": "sk_test_suite",
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "STRIPE_API_BASE": "http://127.0.0.1:9",
    }


@pytest.fixture
def start_service(service_env: dict[str, str], tmp_path: Path) -> Iterator[StartService]:
    """Give a function that starts processes of the service (see `tests.support.service.services`)."""
    with services(service_env, tmp_path) as start:
        yield start


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """Give a sandbox for this test alone, which remembers nothing."""
    process = SandboxProcess(tmp_path, in_memory=True)
    process.start()
    yield process
    process.clean_up()


@pytest.fixture
async def flows(database_dsn: str) -> AsyncIterator[Flows]:
    """Give the flows on this test's database, with a Stripe that refuses connections."""
    async with open_flows(database_dsn, "http://127.0.0.1:9") as opened:
        yield opened


@pytest.fixture
async def harness(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Harness]:
    """Give the flows and the API of a service on this test's database and sandbox, in the process of the test."""
    async with open_harness(database_dsn, sandbox) as opened:
        yield opened


@pytest.fixture
def shop(topics: Topics, database_dsn: str, start_service: StartService, tmp_path: Path) -> Iterator[Shop]:
    """Give a shop with a sandbox, a broker and a database of its own, and no process of the service yet."""
    with shops(topics=topics, dsn=database_dsn, start=start_service, folder=tmp_path) as opened:
        yield opened
