"""Fixtures shared by all tests: a real PostgreSQL server, a real broker, and a fresh database per test.

`TEST_DB_DSN` runs the suite against another server. `TEST_KAFKA=apache` runs the tests marked `kafka` on Apache Kafka.
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

# Test machines are shared, so only the benchmarks measure time.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

WEBHOOK_SECRET = "whsec_suite"


@pytest.fixture(scope="session")
def database() -> Iterator[DatabaseServer]:
    """Start the PostgreSQL server of this session, one per xdist worker."""
    with database_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(database: DatabaseServer) -> Iterator[str]:
    """Return the name of a migrated database, which `database_dsn` copies."""
    with database.template(database.migrate) as name:
        yield name


@pytest.fixture
def database_dsn(database: DatabaseServer, migrated_template: str) -> Iterator[str]:
    """Return the URI of a fresh, empty database with the schema, as the owner of its tables."""
    with database.database(migrated_template) as dsn:
        yield dsn


@pytest.fixture
def service_dsn(database: DatabaseServer, database_dsn: str) -> str:
    """Return the URI of the same database under the service's role, with the privileges in `db/rights.py`."""
    return database.for_service(database_dsn)


@pytest.fixture
def empty_database_dsn(database: DatabaseServer) -> Iterator[str]:
    """Return the URI of a fresh database without any schema."""
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
    """Return the bootstrap servers of a broker without topics: a new Tansu, or a cleaned Apache Kafka."""
    if _apache_kafka is not None:
        yield _apache_kafka
        Topics(_apache_kafka).delete_all()
        return
    with EmbeddedBroker() as embedded:
        yield embedded.bootstrap_servers


@pytest.fixture
def topics(broker: str) -> Topics:
    """Create the service's topics with 6 partitions each, and return a reader and writer for them."""
    create_topics(broker, TOPICS)
    return Topics(broker)


@pytest.fixture
def service_env(service_dsn: str, topics: Topics) -> dict[str, str]:
    """Return the environment of a service on this test's database and broker.

    Its Stripe refuses connections by default.
    """
    return {
        "DB_DSN": service_dsn,
        "KAFKA_BROKERS": topics.bootstrap_servers,
        "KAFKA_GROUP_ID": group_id(),
        "STRIPE_SECRET_KEY": "sk_test_suite",
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        # Reconciliation would repair what a test is about. Its own tests start it.
        "RECONCILE_INTERVAL": "0",
    }


@pytest.fixture
def start_service(service_env: dict[str, str], tmp_path: Path) -> Iterator[StartService]:
    """Return a function that starts processes of the service (see `tests.support.service.services`)."""
    with services(service_env, tmp_path) as start:
        yield start


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """Start an in-memory sandbox for this test alone."""
    process = SandboxProcess(tmp_path, in_memory=True)
    process.start()
    yield process
    process.clean_up()


@pytest.fixture
async def flows(database_dsn: str) -> AsyncIterator[Flows]:
    """Open the flows on this test's database, with a Stripe that refuses connections."""
    async with open_flows(database_dsn, "http://127.0.0.1:9") as opened:
        yield opened


@pytest.fixture
async def harness(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Harness]:
    """Open the flows and the API in the test's process, on this test's database and sandbox."""
    async with open_harness(database_dsn, sandbox) as opened:
        yield opened


@pytest.fixture
def shop(topics: Topics, database_dsn: str, start_service: StartService, tmp_path: Path) -> Iterator[Shop]:
    """Open a shop with its own sandbox, broker and database, but no process of the service yet."""
    with shops(topics=topics, dsn=database_dsn, start=start_service, folder=tmp_path) as opened:
        yield opened
