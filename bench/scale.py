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
from uuid import UUID, uuid4

from payment_service.db import event_positions, workers
from payment_service.db.migrate import migrate
from payment_service.db.operations import BEGINNING
from payment_service.db.outbox import Start
from payment_service.db.pool import Connection, Pool, open_pool
from payment_service.db.queries import load
from payment_service.provider.port import Kind
from payment_service_demo.embedded.postgres import EmbeddedPostgres
from tests.support.flows import config_for
from tests.support.plans import PAGE_BUFFERS_MAX, PLAN_MODES, cost, fill_skewed, skewed_filters, walking_lists

OLD: Final = "old snapshot"
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
CLAIM: Final = "UPDATE operations SET state = 'claimed', worker = $1, attempt = 1 WHERE state = 'due'"
FINISH: Final = (
    "UPDATE operations SET state = 'done', worker = NULL, outcome = 'done', finished_at = now() WHERE state = 'claimed'"
)
# Records that were published, and polls that ended.
PUBLISHED: Final = (
    "INSERT INTO outbox_pending SELECT nextval('outbox_position'), gen_random_uuid(), now() FROM generate_series(1, $1::integer)",
    "DELETE FROM outbox_pending WHERE $1 > 0",
)
POLLED: Final = (
    "INSERT INTO polls SELECT id, 'stripe', now() FROM payments ORDER BY created_at DESC LIMIT $1",
    "DELETE FROM polls WHERE $1 > 0",
)
# Calls: each takes a token.
SPENT: Final = 5_000
KINDS: Final = [kind.value for kind in Kind]
# Statements that step over all that an old snapshot retains. Their loops run them for at most a hundredth of the time.
BY_SHARE: Final = frozenset({"claim from the beginning", "gauges", "due work", "forgotten claims"})
# An old snapshot also retains the list entries of payments whose status changed meanwhile. The time limit of reads bounds these.
LISTS_BY_TIME_LIMIT: Final = True


def statements(
    payment_id: object, newest: datetime, worker: UUID, published: Start
) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Return the statements of the loops and the timeline with their parameters."""

    def named(file: str, name: str) -> str:
        return str(getattr(load("payment_service.db", file), name))

    claim = (worker, "stripe", 16, 1000.0, 1000.0, KINDS, 82_800.0)
    result = ([uuid4()], [1], ["done"], ["done"], [""], [""], [""], [0.0], [False], [False], [False])
    fetch: tuple[Any, ...] = (500, [], 1_000_000, published.after, published.server)
    return {
        "claim": (named("operations.sql", "claim"), (*claim, datetime.now(UTC))),
        "claim from the beginning": (named("operations.sql", "claim"), (*claim, BEGINNING)),
        "results": (named("operations.sql", "record_results"), result),
        "orphaned claims": (named("operations.sql", "release_orphaned"), (worker, False)),
        "forgotten claims": (named("operations.sql", "release_unknown"), (worker, [])),
        "heartbeat": (named("workers.sql", "heartbeat"), (worker, "stripe", KINDS, datetime.now(UTC))),
        "reservation": (named("budget.sql", "take"), ("stripe", 1000.0, 1000.0, 16)),
        "checkout": (named("budget.sql", "spend_on_checkout"), ("stripe", 1000.0, 1000.0, 500.0, 500.0)),
        "page of events": (named("event_positions.sql", "claim_events"), ("stripe", 1000.0, 1000.0, 60.0, 0.1)),
        "due work": (named("due_work.sql", "due_work"), (["stripe"],)),
        "pending events": (named("events.sql", "lock_pending"), (["stripe"], 100)),
        "unpublished records": (named("outbox.sql", "fetch_unpublished"), fetch),
        "positions": (named("outbox.sql", "look"), (published.after,)),
        "due cancellations": (named("order_cancellations.sql", "lock_due"), (100,)),
        "expiring payments": (named("payments.sql", "lock_expiring"), (newest, ["stripe"], 100)),
        "gauges": (named("gauges.sql", "gauges"), ()),
        "timeline": (named("timeline.sql", "timeline"), (payment_id, datetime(1970, 1, 1, tzinfo=UTC), "", 100)),
    }


async def examine(connection: Connection, label: str, rows: int, newest: datetime, worker: UUID) -> int:
    """Run everything, print the statements that walk, and return their number."""
    payment_id = await connection.fetchval("SELECT id FROM payments ORDER BY created_at LIMIT 1")
    filters = list(skewed_filters(newest, newest - timedelta(seconds=rows)))
    walks = 0
    published = await published_until(connection)
    for mode in PLAN_MODES:
        started = time.perf_counter()
        for one, found in (await walking_lists(connection, filters, mode)).items():
            bounded = LISTS_BY_TIME_LIMIT and label == OLD
            print(
                f"{label}, {mode}: a list by {one} touches {found.buffers} pages{', bounded by its time limit' * bounded}"
            )
            walks += not bounded
        print(f"{label}, {mode}: {len(filters)} lists in {time.perf_counter() - started:.1f} s", flush=True)
        for name, (statement, parameters) in statements(payment_id, newest, worker, published).items():
            transaction = connection.transaction()
            await transaction.start()
            found = await cost(connection, mode, statement, *parameters)
            await transaction.rollback()
            bounded = name in BY_SHARE and label == OLD
            print(
                f"{label}, {mode}: {name} touches {found.buffers} pages{', bounded by its share of the time' * bounded}",
                flush=True,
            )
            walks += found.buffers > PAGE_BUFFERS_MAX and not bounded
    return walks


async def published_until(connection: Connection) -> Start:
    """Return where the relay's fetch begins after everything is published."""
    row = await connection.fetchrow("SELECT pg_postmaster_start_time() AS server, last_value FROM outbox_position")
    assert row is not None
    return Start(row["last_value"], row["server"])


async def work(connection: Connection, worker: UUID) -> None:
    """Change payments, run operations, publish, poll and spend, each thousands of times."""
    await connection.execute(CHANGE, CHANGES)
    await connection.execute(DONE_OPERATIONS, CHANGES)
    await connection.execute(CLAIM, worker)
    await connection.execute(FINISH)
    for statement in (*PUBLISHED, *POLLED):
        await connection.execute(statement, CHANGES)
    spend = str(load("payment_service.db", "budget.sql").spend)
    for _ in range(SPENT):
        await connection.execute(spend, "stripe")
    await connection.execute("UPDATE provider_budget SET tokens = 1000, version = version + 1")


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
        worker = uuid4()
        await workers.register(pool, worker)
        await event_positions.ensure(pool, "stripe")
        await connection.execute("INSERT INTO provider_budget (provider, tokens) VALUES ('stripe', 1000)")
        await connection.execute("VACUUM ANALYZE", timeout=3_600)
        print(f"{rows} payments in {time.perf_counter() - started:.0f} s", flush=True)
        walks = await examine(connection, "fresh", rows, newest, worker)
        async with old_snapshot(pool):
            await work(connection, worker)
            walks += await examine(connection, OLD, rows, newest, worker)
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
