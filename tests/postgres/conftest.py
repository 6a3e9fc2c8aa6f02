"""A service on the system's PostgreSQL instead of the suite's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from payment_service.db.migrate import migrate
from tests.conftest import WEBHOOK_SECRET
from tests.support.kafka import Topics, group_id
from tests.support.service import services
from tests.support.shop import Shop, shops
from tests.support.system_postgres import SystemPostgres


@pytest.fixture(scope="session")
def migrated_folder() -> Iterator[Path]:
    """Return the data folder of a stopped server whose database `postgres` is migrated."""
    with SystemPostgres() as server:
        migrate(server.dsn)
        server.halt()
        yield server.data


@pytest.fixture
def server(migrated_folder: Path) -> Iterator[SystemPostgres]:
    """Start a server with a migrated database `postgres`."""
    with SystemPostgres(copy_of=migrated_folder) as started:
        yield started


@contextmanager
def shop_on(dsn: str, *, direct: str, topics: Topics, folder: Path) -> Iterator[Shop]:
    """Open a shop whose processes use `dsn`; the test itself looks at `direct`."""
    env = {
        "DB_DSN": dsn,
        "KAFKA_BROKERS": topics.bootstrap_servers,
        "KAFKA_GROUP_ID": group_id(),
        "STRIPE_SECRET_KEY": "sk_test_suite",
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "RECONCILE_INTERVAL": "0",
    }
    with services(env, folder) as start, shops(topics=topics, dsn=direct, start=start, folder=folder) as shop:
        yield shop
