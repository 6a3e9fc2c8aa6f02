"""Measure a claim while 100,000 calls are due, with all kinds open and with the waiting kind blocked.

It uses the embedded PostgreSQL and the statement and schema of the service. Run: `python bench/claims.py [--rows 100000]`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from uuid import UUID, uuid4

from payment_service.db import operations, workers
from payment_service.db.migrate import migrate
from payment_service.db.pool import Pool, open_pool
from payment_service_demo.embedded.postgres import EmbeddedPostgres
from tests.support.flows import config_for

CLAIMS = 200
SLOTS = 16
BATCH = 5_000

FILL = """
WITH made AS (
    INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset)
    SELECT gen_random_uuid(), 'o-' || $1 || n, 'stripe', 1990, 'eur', 'orders.created', 0, n FROM generate_series($2::integer, $3::integer) n
    RETURNING id
)
INSERT INTO operations (id, payment_id, provider, kind, cause, request_method, request_path, request_body, api_version)
SELECT gen_random_uuid(), id, 'stripe', $1, 'order', 'POST', '/v1/payment_intents', repeat('x', 400), '2026' FROM made
"""


async def claim_ms(pool: Pool, worker: UUID, blocked: tuple[str, ...]) -> tuple[float, float, int]:
    """Return median and 90th percentile of a claim, and the operations per claim. Claimed operations are released."""
    times, taken = [], 0
    for _ in range(CLAIMS):
        started = time.perf_counter()
        batch = await operations.claim(
            pool,
            worker=worker,
            provider="stripe",
            slots=SLOTS,
            rate_per_s=1e6,
            burst=1e6,
            blocked=blocked,
            key_valid_s=82_800,
        )
        claimed = batch.operations
        times.append((time.perf_counter() - started) * 1000)
        taken += len(claimed)
        await operations.release_unsent(pool, claimed)
    return statistics.median(times), statistics.quantiles(times, n=10)[-1], taken // CLAIMS


async def measure(dsn: str, rows: int) -> None:
    pool = await open_pool(config_for(dsn, "http://127.0.0.1:9"))
    worker = uuid4()
    await workers.register(pool, worker)
    await operations.ensure_budget(pool, "stripe")
    # The statement is planned on nearly empty tables, as in a service that was idle.
    await claim_ms(pool, worker, ())
    for first in range(0, rows, BATCH):
        await pool.execute(FILL, "create", first + 1, first + BATCH)
    for title, blocked in (("all open", ()), ("create blocked, nothing else due", ("create",))):
        median, high, taken = await claim_ms(pool, worker, blocked)
        print(f"{title:40} {median:6.2f} ms, p90 {high:6.2f} ms, {taken} per claim", flush=True)
    await pool.execute(FILL, "refund", 1, 1_000)
    median, high, taken = await claim_ms(pool, worker, ("create",))
    print(
        f"{'create blocked, 1,000 refunds due':40} {median:6.2f} ms, p90 {high:6.2f} ms, {taken} per claim", flush=True
    )
    pool.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    # Without fsync: the search is measured, and the cost of the disk is the same in all cases.
    with EmbeddedPostgres(fsync=False) as postgres:
        migrate(postgres.dsn)
        asyncio.run(measure(postgres.dsn, rows))


if __name__ == "__main__":
    main()
