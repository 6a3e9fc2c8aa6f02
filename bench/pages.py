"""`python -m bench.pages`: the CPU time of each operators' page on a million payments, service and PostgreSQL together.

The store is the skewed one of `make test-scale`, with refunds, disputes and history. A visit includes the visitor's own
HTTP client, which runs in the same process. Exit code 1: a page needs more than the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from payment_service.db.migrate import migrate
from payment_service.db.pool import Connection
from payment_service_demo.embedded.postgres import EmbeddedPostgres
from tests.support.flows import open_flows
from tests.support.pages import ServedPages, Visitor, serve_pages
from tests.support.plans import fill_skewed

# A person waits for a page, and each takes this much from payments. In 95 of 100 visits.
PAGE_CPU_MS_MAX: Final = 150.0
VISITS: Final = 20
_FILL_TIMEOUT_S: Final = 3_600
# Every 100th payment has a refund and every 1,000th a dispute, as old as itself. Every payment has an attempt and two changes.
CHILDREN: Final = (
    """
    INSERT INTO refunds (id, payment_id, provider, amount, currency, status, external, created_at)
    SELECT gen_random_uuid(), id, provider, 500, currency, CASE WHEN order_offset % 1000 = 0 THEN 'pending' ELSE 'succeeded' END, true, created_at
    FROM payments WHERE order_offset % 100 = 0
    """,
    """
    INSERT INTO disputes (id, payment_id, provider, provider_dispute_id, amount, currency, status, reason, fact_rank, fact_at,
                          fact_precedence, fact_source, created_at)
    SELECT gen_random_uuid(), id, provider, 'du_' || order_offset, 500, currency,
           CASE WHEN order_offset % 10000 = 0 THEN 'needs_response' ELSE 'lost' END, 'fraudulent', 1, 1, 1, 'evt', created_at
    FROM payments WHERE order_offset % 1000 = 0
    """,
    """
    INSERT INTO payment_history (payment_id, from_status, to_status, cause, created_at)
    SELECT p.id, s.before, s.after, 'bench', p.created_at
    FROM payments p CROSS JOIN (VALUES ('created', 'pending'), ('pending', 'succeeded')) s (before, after)
    """,
)


class Cpu:
    """CPU time of this process and of PostgreSQL, in milliseconds."""

    def __init__(self, postmaster: int) -> None:
        self._postmaster = psutil.Process(postmaster)

    def read(self) -> float:
        """Return the sum so far. The kernel counts each process in nanoseconds."""
        ran_ns = sum(_ran_ns(one.pid) for one in self._postmaster.children())
        return 1000 * time.process_time() + ran_ns / 1e6


def _ran_ns(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    except FileNotFoundError:  # ended meanwhile
        return 0


async def fill(connection: Connection, rows: int) -> str:
    """Fill the store; return the id of a payment."""
    await fill_skewed(connection, rows, datetime.now(UTC))
    for statement in CHILDREN:
        await connection.execute(statement, timeout=_FILL_TIMEOUT_S)
    await connection.execute("VACUUM ANALYZE", timeout=_FILL_TIMEOUT_S)
    return str(await connection.fetchval("SELECT id FROM payments WHERE order_offset = 1000"))


def paths(payment_id: str) -> list[str]:
    """Return the addresses to visit."""
    lists = [
        "",
        "?status=succeeded",
        "?status=declined",
        "?status=partially_refunded",
        "?status=processing",
        "?currency=usd",
    ]
    lists += [
        "?currency=eur",
        "?status=refunded&currency=usd",
        "?since=2020-01-01&until=2099-12-31",
        "?until=2020-01-01",
    ]
    searches = ["?q=order-1097", f"?q={payment_id}", "?q=pi_3Nobody", "?q=nobody", "?q=4242+19.90"]
    return [
        "/",
        *(f"/payments{one}" for one in (*lists, *searches)),
        f"/payments/{payment_id}",
        *("/refunds", "/refunds?status=pending", "/disputes", "/disputes?status=needs_response"),
        *("/attention", "/health", "/audit"),
    ]


async def visit(visitor: Visitor, path: str, cpu: Cpu) -> float:
    """Return the 95th percentile of the CPU time of some visits. The first one, which fills caches, counts too."""
    used = []
    for _ in range(VISITS):
        before = cpu.read()
        answer = await visitor.get(path)
        assert answer.status in {200, 303}, (path, answer.status, answer.body[:300])
        used.append(cpu.read() - before)
    return sorted(used)[int(0.95 * VISITS) - 1]


@asynccontextmanager
async def served(dsn: str, rows: int) -> AsyncIterator[tuple[ServedPages, str]]:
    """Serve the pages on a full store."""
    async with open_flows(dsn, "http://127.0.0.1:9") as flows:
        async with flows.pool.acquire() as connection:
            payment_id = await fill(connection, rows)
        async with serve_pages(flows) as pages:
            yield pages, payment_id


async def run(postgres: EmbeddedPostgres, postmaster: int, rows: int) -> int:
    """Visit every page. Return the number of slow ones."""
    slow = 0
    async with served(postgres.dsn, rows) as (pages, payment_id):
        visitor = await pages.log_in("ada@shop.example", "operator")
        for path in paths(payment_id):
            ms = await visit(visitor, path, Cpu(postmaster))
            slow += ms > PAGE_CPU_MS_MAX
            print(
                f"{ms:7.1f} ms CPU  {path.replace(payment_id, 'ID')}{'  too slow' * (ms > PAGE_CPU_MS_MAX)}", flush=True
            )
    return slow


def main() -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--payments", type=int, default=1_000_000, help="payments to insert (%(default)s)")
    rows = parser.parse_args().payments
    with EmbeddedPostgres(fsync=False) as postgres:
        migrate(postgres.dsn)
        slow = asyncio.run(run(postgres, postgres.pid, rows))
    print(f"{slow} pages need more than {PAGE_CPU_MS_MAX:.0f} ms" if slow else "no page is slow")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
