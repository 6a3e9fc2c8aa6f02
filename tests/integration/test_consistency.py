"""Test that the rules about rows find each planted corruption, and nothing in a store that works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from payment_service.db.pool import Pool, open_pool
from payment_service.flows.comparisons.rows import compare_rows
from tests.support import sample_store
from tests.support.databases import DatabaseServer
from tests.support.flows import config_for


@pytest.fixture(scope="module")
def filled(database: DatabaseServer) -> Iterator[str]:
    """Return the name of a database of a store that works."""

    def prepare(dsn: str) -> None:
        database.migrate(dsn)
        sample_store.fill(dsn)

    with database.template(prepare) as name:
        yield name


@pytest.fixture
def store_dsn(database: DatabaseServer, filled: str) -> Iterator[str]:
    with database.database(filled) as dsn:
        yield dsn


@pytest.fixture
async def pool(store_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(config_for(store_dsn, "http://127.0.0.1:9"))
    yield opened
    opened.terminate()


async def codes(pool: Pool) -> set[str]:
    return {difference.code async for difference in compare_rows(pool)}


async def test_a_store_that_works_has_no_differences(pool: Pool) -> None:
    assert [difference async for difference in compare_rows(pool)] == []
    assert await pool.fetchval("SELECT count(DISTINCT status) FROM payments") >= 6
