"""Test that the rules about rows find each planted corruption, and nothing in a store that works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from payment_service.db.pool import Pool, open_pool
from payment_service.domain.consistency import RECORD_ACTIONS, ROW_ACTIONS
from payment_service.flows.comparisons.rows import compare_rows
from tests.support import sample_store
from tests.support.databases import DatabaseServer
from tests.support.flows import config_for

CORRUPTIONS = [
    (block.partition("\n")[2], frozenset(block.partition("\n")[0].split(", ")))
    for block in (Path(sample_store.__file__).with_name("corruptions.sql")).read_text().split("-- codes: ")[1:]
]
NAMES = {
    ":succeeded": "aggregateid = :paid AND sequence = 2",
    ":paid": "(SELECT id FROM payments WHERE order_id = 'o-paid')",
    ":pending": "(SELECT id FROM payments WHERE order_id = 'o-pending')",
    ":partly": "(SELECT id FROM payments WHERE order_id = 'o-partly')",
}


def corrupt(dsn: str, statements: str) -> None:
    """Run statements, each of which changes at least one row or the schema."""
    for name, replacement in NAMES.items():
        statements = statements.replace(name, replacement)
    with psycopg.connect(dsn) as connection:
        for statement in statements.strip().removesuffix(";").split(";\n"):
            assert connection.execute(statement.encode()).rowcount != 0, statement


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


async def test_a_store_that_works_has_no_differences(pool: Pool) -> None:
    assert [difference async for difference in compare_rows(pool)] == []
    assert await pool.fetchval("SELECT count(DISTINCT status) FROM payments") == 5


@pytest.mark.parametrize(("statements", "expected"), CORRUPTIONS, ids=[min(codes) for _, codes in CORRUPTIONS])
async def test_a_planted_corruption_is_found(
    store_dsn: str, pool: Pool, statements: str, expected: frozenset[str]
) -> None:
    corrupt(store_dsn, statements)
    found = [difference async for difference in compare_rows(pool)]
    assert {difference.code for difference in found} == expected
    assert len({difference.key for difference in found}) == len(found)
    assert [difference async for difference in compare_rows(pool)] == found


def test_every_code_has_a_corruption_that_causes_it() -> None:
    assert frozenset().union(*(codes for _, codes in CORRUPTIONS)) == set(ROW_ACTIONS)


async def test_only_changed_payments_and_recent_records_are_compared_since_a_time(store_dsn: str, pool: Pool) -> None:
    with psycopg.connect(store_dsn) as connection:
        connection.execute("UPDATE payments SET refunded = 1 WHERE order_id = 'o-paid'")
        connection.execute("UPDATE payments SET created_at = now() - interval '1 h'")
        connection.execute("UPDATE payment_history SET created_at = now() - interval '1 h'")
        now = connection.execute("SELECT now()").fetchone()
    assert now is not None
    assert [difference async for difference in compare_rows(pool, since=now[0] - timedelta(minutes=30))] == []
    [found] = [difference async for difference in compare_rows(pool, since=now[0] - timedelta(hours=2))]
    assert found.code == "refunded_differs_from_refunds"


async def test_slices_of_one_payment_find_the_same(store_dsn: str, pool: Pool) -> None:
    with psycopg.connect(store_dsn) as connection:
        connection.execute("UPDATE payments SET reserved = 1")
    small = [difference.key async for difference in compare_rows(pool, slice_payments=1)]
    assert sorted(small) == sorted([difference.key async for difference in compare_rows(pool)])
    assert len(small) >= 10


def test_the_runbook_lists_every_code_with_its_action() -> None:
    runbook = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
    actions = {**ROW_ACTIONS, **RECORD_ACTIONS}
    assert [code for code, action in actions.items() if f"| `{code}` | {action} |" not in runbook] == []
