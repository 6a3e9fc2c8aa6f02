"""Fixtures for tests of the relay and the consumer: configurations, a pool on the test's database, members of a group."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payment_service.config.config import Config
from payment_service.db.pool import Pool
from tests.support.consumer import Start, consumer_config, running_members
from tests.support.kafka import Topics, group_id
from tests.support.outbox import config_of, opened


@pytest.fixture
def config(service_env: dict[str, str]) -> Config:
    """Return the configuration of a service on this test's database and broker."""
    return config_of(service_env)


@pytest.fixture
async def pool(config: Config) -> AsyncIterator[Pool]:
    """Open a pool on this test's database."""
    async with opened(config) as pool:
        yield pool


@pytest.fixture
def group_config(topics: Topics) -> Config:
    """Return the configuration of a member of this test's group."""
    return consumer_config(topics, group_id())


@pytest.fixture
async def member(group_config: Config) -> AsyncIterator[Start]:
    """Return a function that starts a member of this test's group."""
    async with running_members(group_config) as start:
        yield start


@pytest.fixture
def exact_ends(_apache_kafka: str | None) -> None:
    """Skip on the embedded broker, which has no transactions and reports end offsets that are too low."""
    if _apache_kafka is None:
        pytest.skip("needs make test-kafka: transactions, deleted records and exact end offsets")
