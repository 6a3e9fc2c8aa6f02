"""Test that frequent statements use an index, even with a plan made while the tables were almost empty."""

from __future__ import annotations

import re

import pytest

from payment_service.db.pool import open_pool
from payment_service.db.queries import load
from tests.support.flows import config_for, open_flows

FLOWING = {
    "operations.sql": ("claim", "record_results", "release_unknown"),
    "payments.sql": ("lock_available", "existing", "save"),
    "events.sql": ("insert", "record_results", "lock_pending"),
    "workers.sql": ("heartbeat",),
    "outbox.sql": ("fetch_unpublished", "mark_published"),
    "payment_reads.sql": (
        *("payment", "payment_exists", "payments_of_order", "payments_of_user"),
        *("payments_by_time", "payments_by_status", "payments_by_currency", "events"),
    ),
    "refund_reads.sql": ("refund", "refunds", "disputes"),
    "timeline.sql": ("timeline",),
}
STATEMENTS = [(file, name) for file, names in FLOWING.items() for name in names]


@pytest.mark.parametrize(("file", "name"), STATEMENTS)
async def test_a_plan_made_on_small_tables_scans_no_table(database_dsn: str, file: str, name: str) -> None:
    """This is the plan that PostgreSQL caches for tables whose statistics show three rows."""
    async with open_flows(database_dsn, "http://127.0.0.1:9") as flows:
        await flows.accept("small-1", "small-2", "small-3")
    pool = await open_pool(config_for(database_dsn, "http://127.0.0.1:9"))
    async with pool.acquire() as connection:
        await connection.execute("ANALYZE")
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        statement = getattr(load("payment_service.db", file), name)
        await connection.execute(f"PREPARE flowing AS {statement}")
        parameters = await connection.fetchval(
            "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'flowing'"
        )
        nothing = ", ".join(["NULL"] * parameters)
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE flowing ({nothing})"))
    pool.terminate()
    read_whole = [line for line in plan.splitlines() if re.search("Seq Scan on (?!relay_lease|workers )", line)]
    assert read_whole == [], plan
