"""Fixtures for tests of the relay: a configuration, and a pool on the test's database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payment_service.config.config import Config
from payment_service.db.pool import Pool
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
