"""Test that listing, showing and claiming cost as much as they return, regardless of the rest of the table."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from payment_service.contracts.api import STATUSES
from payment_service.db.pool import Connection, Pool, open_pool
from payment_service.db.queries import load
from payment_service.provider.port import Kind
from payment_service_events.currency import CURRENCIES
from tests.support.flows import config_for

NOW = datetime.now(UTC)
ROWS = 4_000
# A page of 20 from any index: a few index levels and the rows. A full scan reads thousands.
PAGE_BUFFERS_MAX = 500

FILL = """
INSERT INTO payments (id, order_id, user_id, provider, amount, captured, currency, status, order_topic, order_partition, order_offset,
                      created_at)
SELECT gen_random_uuid(), 'o-' || n, 'user-' || n % 100, 'stripe', 1990, 1990, 'eur', 'succeeded', 'orders.created', 0, n,
       $2::timestamptz - n * interval '1 s'
FROM generate_series(1, $1::integer) n
"""
RARE = """
UPDATE payments SET currency = 'jpy', status = CASE WHEN order_offset % 2 = 0 THEN 'processing' ELSE status END WHERE order_offset > $1
"""
DUE = """
INSERT INTO operations (id, payment_id, provider, kind, cause, request_method, request_path, request_body, api_version)
SELECT gen_random_uuid(), id, 'stripe', $1, 'order', 'POST', '/v1', '', '' FROM payments
"""


@pytest.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    """Open a pool on a table of payments that are alike except for a few, the oldest."""
    pool = await open_pool(config_for(database_dsn, "http://127.0.0.1:9"))
    await pool.execute(FILL, ROWS, NOW)
    await pool.execute(RARE, ROWS - 10)
    yield pool
    pool.terminate()


async def cost(connection: Connection, statement: str, *parameters: object) -> tuple[int, int]:
    """Run a statement with its generic plan. Return the pages it touched and the rows it returned."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    [row] = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *parameters)
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], plan["Actual Rows"]


@pytest.mark.parametrize("analyzed", [False, True])
async def test_a_filtered_list_costs_one_page_however_rare_the_matches(pool: Pool, analyzed: bool) -> None:
    """With and without statistics that include the rows."""
    if analyzed:
        await pool.execute("ANALYZE")
    queries = load("payment_service.db", "payment_reads.sql")
    page = (NOW - timedelta(days=1), NOW + timedelta(days=1), str(uuid4()), 20)
    asked: dict[str, tuple[Any, ...]] = {
        "payments_by_time": (),
        "payments_of_order": ("o-7", None, "processing", "jpy"),
        "payments_of_user": ("user-7", "processing", "jpy"),
    }
    costs = {}
    async with pool.acquire() as connection:
        for name, parameters in asked.items():
            costs[name] = await cost(connection, getattr(queries, name), *page, *parameters)
        for statuses, currencies in (
            (["processing"], list(CURRENCIES)),
            (["succeeded"], ["jpy"]),
            (list(STATUSES), ["jpy"]),
            (["refunded"], ["eur"]),
            (["succeeded"], list(CURRENCIES)),
        ):
            name = f"{len(statuses)} statuses, {len(currencies)} currencies"
            costs[name] = await cost(connection, queries.payments_by_status, *page, statuses, currencies)
    assert [name for name, (pages, _) in costs.items() if pages > PAGE_BUFFERS_MAX] == [], costs
    assert costs["payments_by_time"][1] == 20


async def test_a_claim_reads_no_operation_of_a_blocked_kind(pool: Pool) -> None:
    """Measured before: 29 ms per claim with 100,000 blocked creates, ten times a second."""
    await pool.execute(DUE, "create")
    await pool.execute("INSERT INTO provider_budget (provider, tokens) VALUES ('stripe', 100)")
    open_kinds = [kind.value for kind in Kind if kind is not Kind.CREATE]
    claim = load("payment_service.db", "operations.sql").claim
    async with pool.acquire() as connection:
        pages, claimed = await cost(connection, claim, uuid4(), "stripe", 16, 1.0, 5.0, open_kinds, 82_800.0)
    assert (claimed, pages < 50) == (0, True), pages
