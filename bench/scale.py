"""`make test-scale`: a million payments, and every list filter, loop statement and timeline on them.

Almost all payments share a status, a currency and a user. Each statement runs with both kinds of plans, fresh and while an old
snapshot is open. Exit code 1: a statement touches more pages than its result needs, so its plan walks.
`make test-scale ARGS='--payments 10000000'` fills ten million; it needs about 15 GB of disk.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from payment_service.db.migrate import migrate
from payment_service.db.pool import Connection, Pool, open_pool
from payment_service.db.queries import load
from payment_service.provider.port import Kind
from payment_service_demo.embedded.postgres import EmbeddedPostgres
from tests.support.flows import config_for
from tests.support.plans import PAGE_BUFFERS_MAX, PLAN_MODES, cost, fill_skewed, skewed_filters, walking_lists

# Payments that change their status while the old snapshot is open. Their old index entries cannot be removed.
CHANGES: Final = 15_000
CHANGE: Final = """
UPDATE payments SET status = CASE status WHEN 'canceled' THEN 'declined' ELSE 'canceled' END, updated_at = now()
WHERE id IN (SELECT id FROM payments WHERE status IN ('canceled', 'declined') ORDER BY created_at DESC LIMIT $1)
"""
# Operations that ran while the old snapshot is open: created, claimed and done.
DONE_OPERATIONS: Final = """
INSERT INTO operations (id, payment_id, provider, kind, cause, request_method, request_path, request_body, api_version)
SELECT gen_random_uuid(), id, 'stripe', 'create', 'order', 'POST', '/v1/payment_intents', '', ''
FROM payments ORDER BY created_at DESC LIMIT $1
"""
FINISH: Final = "UPDATE operations SET state = 'done', outcome = 'done', finished_at = now() WHERE state = 'due'"
KINDS: Final = [kind.value for kind in Kind]


def statements(payment_id: object, newest: datetime) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Return the statements of the loops and the timeline with their parameters."""

    def named(file: str, name: str) -> str:
        return str(getattr(load("payment_service.db", file), name))

    return {
        "claim": (named("operations.sql", "claim"), (uuid4(), "stripe", 16, 1000.0, 1000.0, KINDS, 82_800.0)),
        "pending events": (named("events.sql", "lock_pending"), (["stripe"], 100)),
        "unpublished records": (named("outbox.sql", "fetch_unpublished"), (500, [], 1_000_000)),
        "due cancellations": (named("order_cancellations.sql", "lock_due"), (100,)),
        "expiring payments": (named("payments.sql", "lock_expiring"), (newest, ["stripe"], 100)),
        "gauges": (named("gauges.sql", "gauges"), ()),
        "timeline": (named("timeline.sql", "timeline"), (payment_id, datetime(1970, 1, 1, tzinfo=UTC), "", 100)),
    }


async def examine(connection: Connection, label: str, rows: int, newest: datetime) -> int:
    """Run everything, print the statements that walk, and return their number."""
    payment_id = await connection.fetchval("SELECT id FROM payments ORDER BY created_at LIMIT 1")
    filters = list(skewed_filters(newest, newest - timedelta(seconds=rows)))
    walks = 0
    for mode in PLAN_MODES:
        started = time.perf_counter()
        for one, found in (await walking_lists(connection, filters, mode)).items():
            print(f"{label}, {mode}: a list by {one} touches {found.buffers} pages")
            walks += 1
        print(f"{label}, {mode}: {len(filters)} lists in {time.perf_counter() - started:.1f} s", flush=True)
        for name, (statement, parameters) in statements(payment_id, newest).items():
            transaction = connection.transaction()
            await transaction.start()
            found = await cost(connection, mode, statement, *parameters)
            await transaction.rollback()
            print(f"{label}, {mode}: {name} touches {found.buffers} pages", flush=True)
            walks += found.buffers > PAGE_BUFFERS_MAX
    return walks


@asynccontextmanager
async def old_snapshot(pool: Pool) -> AsyncIterator[None]:
    """Keep a snapshot open, as a report or pg_dump does."""
    async with pool.acquire() as connection:
        await connection.execute("SET idle_in_transaction_session_timeout = 0")
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("SELECT 1")
            yield


async def run(dsn: str, rows: int) -> int:
    """Fill the database and examine it. Return the number of statements that walk."""
    newest = datetime.now(UTC)
    pool = await open_pool(config_for(dsn, "http://127.0.0.1:9"))
    async with pool.acquire() as connection:
        started = time.perf_counter()
        await fill_skewed(connection, rows, newest)
        await connection.execute("INSERT INTO provider_budget (provider, tokens) VALUES ('stripe', 1000)")
        await connection.execute("VACUUM ANALYZE", timeout=3_600)
        print(f"{rows} payments in {time.perf_counter() - started:.0f} s", flush=True)
        walks = await examine(connection, "fresh", rows, newest)
        async with old_snapshot(pool):
            await connection.execute(CHANGE, CHANGES)
            await connection.execute(DONE_OPERATIONS, CHANGES)
            await connection.execute(FINISH)
            walks += await examine(connection, "old snapshot", rows, newest)
    pool.terminate()
    return walks


def main() -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make test-scale", description=__doc__)
    parser.add_argument("--payments", type=int, default=1_000_000, help="payments to insert (%(default)s)")
    rows = parser.parse_args().payments
    with EmbeddedPostgres(fsync=False) as postgres:
        migrate(postgres.dsn)
        walks = asyncio.run(run(postgres.dsn, rows))
    print(f"{walks} statements walk" if walks else "no statement walks")
    return 1 if walks else 0


if __name__ == "__main__":
    sys.exit(main())
