"""Test that an old snapshot, such as a report's, does not slow the statements of every order.

PostgreSQL retains what was deleted or changed meanwhile, so a search from the beginning of a queue steps over all of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from payment_service.db import budget, operations, workers
from payment_service.db.operations import OperationUpdate
from payment_service.db.pool import Pool
from payment_service.db.queries import load
from payment_service.provider.port import Kind
from tests.support.flows import Flows
from tests.support.plans import PLAN_MODES, cost

ORDERS = 600
# An index descent has two to four pages; a claim makes about ten.
PAGES_MAX = 40
KINDS = [kind.value for kind in Kind]


@asynccontextmanager
async def old_snapshot(pool: Pool) -> AsyncIterator[None]:
    async with pool.acquire() as connection:
        await connection.execute("SET idle_in_transaction_session_timeout = 0")
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("SELECT 1")
            yield


async def process(flows: Flows, worker: UUID, name: str) -> None:
    """Accept orders, claim their creates and record that they are done."""
    await flows.accept(*[f"{name}-{i}" for i in range(ORDERS)])
    done = 0
    while done < ORDERS:
        claimed = await flows.claim(worker, slots=64)
        updates = [OperationUpdate(id=o.id, attempt=o.attempt, state="done", outcome="done") for o in claimed]
        async with flows.pool.acquire() as connection:
            await operations.record_results(connection, updates)
        done += len(updates)


@pytest.mark.parametrize("mode", PLAN_MODES)
async def test_an_old_snapshot_does_not_slow_claims_and_results(flows: Flows, mode: str) -> None:
    worker = uuid4()
    await operations.ensure_budget(flows.pool, "stripe")
    await flows.pool.execute("UPDATE provider_budget SET tokens = 1e6")
    await workers.register(flows.pool, worker)
    await process(flows, worker, "before")
    await flows.pool.execute("ANALYZE")
    sql = load("payment_service.db", "operations.sql")
    async with old_snapshot(flows.pool):
        await process(flows, worker, "after")
        for _ in range(300):
            await budget.spend(flows.pool, "stripe")
        now = await flows.pool.fetchval("SELECT now()")
        await flows.accept("last")
        async with flows.pool.acquire() as connection, connection.transaction():
            claim = (worker, "stripe", 16, 1e6, 1e6, KINDS, 82_800.0)
            claimed = await cost(connection, mode, sql.claim, *claim, now)
            assert claimed.buffers <= PAGES_MAX
            row = await connection.fetchrow("SELECT id, attempt FROM operations WHERE state = 'claimed'")
            assert row is not None
            result = (
                [row["id"]],
                [row["attempt"]],
                ["done"],
                ["done"],
                [""],
                [""],
                [""],
                [0.0],
                [False],
                [False],
                [False],
            )
            assert (await cost(connection, mode, sql.record_results, *result)).buffers <= PAGES_MAX
        everything = (worker, "stripe", 16, 1e6, 1e6, KINDS, 82_800.0, datetime(1970, 1, 1, tzinfo=UTC))
        async with flows.pool.acquire() as connection:
            assert (await cost(connection, mode, sql.claim, *everything)).buffers > claimed.buffers
