"""Measure the pages that statements touch, with the plans that PostgreSQL makes for them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any, Final

from payment_service.db import payment_reads
from payment_service.db.payment_reads import Filters
from payment_service.db.pool import Connection

# PostgreSQL makes both kinds: a plan for the values at hand, and after five of those a plan for any value.
PLAN_MODES: Final = ("force_custom_plan", "force_generic_plan")
# A page of 20 from each status of one currency: a few index levels and the rows. Measured: at most 88 of 200,000 payments.
# A walk over 50,000 payments reads more than a thousand.
PAGE_BUFFERS_MAX: Final = 250
PAGE_ROWS: Final = 20
_FILL_TIMEOUT_S: Final = 3_600  # ten million rows on a slow disk

# All payments in usd, 97 of 100 succeeded and by guests, who share a user id. The oldest 20 are the only ones in jpy, and
# partly refunded.
FILL_SKEWED: Final = """
INSERT INTO payments (id, order_id, user_id, provider, amount, captured, refunded, currency, status, order_topic, order_partition,
                      order_offset, created_at)
SELECT gen_random_uuid(), 'order-' || n, CASE WHEN n % 100 < 97 THEN 'guest' ELSE 'user-' || n END, 'stripe', 1990,
       CASE WHEN n <= 20 OR n % 100 < 97 OR n % 100 = 98 THEN 1990 ELSE 0 END,
       CASE WHEN n <= 20 THEN 500 WHEN n % 100 = 98 THEN 1990 ELSE 0 END,
       CASE WHEN n <= 20 THEN 'jpy' ELSE 'usd' END,
       CASE WHEN n <= 20 OR n % 100 < 97 OR n % 100 = 98 THEN 'succeeded' WHEN n % 1000 = 97 THEN 'declined' ELSE 'canceled' END,
       'orders.created', 0, n, $2::timestamptz - ($1 - n) * interval '1 s'
FROM generate_series(1, $1::bigint) n
"""


async def fill_skewed(connection: Connection, rows: int, newest: datetime) -> None:
    """Insert payments, one per second until `newest`."""
    await connection.execute("SET statement_timeout = 0")
    await connection.execute(FILL_SKEWED, rows, newest, timeout=_FILL_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Cost:
    """The pages that a statement touched, the rows that it returned, and its plan."""

    buffers: int
    rows: int
    plan: str


async def cost(connection: Connection, mode: str, statement: str, *parameters: object) -> Cost:
    """Run a statement with a plan of this mode (`plan_cache_mode`)."""
    await connection.execute(f"SET plan_cache_mode = {mode}")
    await connection.execute(f"PREPARE measured AS {statement}")
    try:
        values = f"({', '.join(map(_literal, parameters))})" if parameters else ""
        [row] = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE measured {values}")
    finally:
        await connection.execute("DEALLOCATE measured")
        await connection.execute("RESET plan_cache_mode")
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return Cost(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], plan["Actual Rows"], row[0])


class MeasuredReads:
    """A connection for the functions of `db/`: it measures each read, and returns no rows."""

    def __init__(self, connection: Connection, mode: str) -> None:
        self._connection = connection
        self._mode = mode
        self.costs: list[Cost] = []

    async def fetch(self, statement: str, *parameters: object) -> list[Any]:
        """Measure a statement."""
        self.costs.append(await cost(self._connection, self._mode, statement, *parameters))
        return []


def skewed_filters(newest: datetime, oldest: datetime) -> Iterable[Filters]:
    """Return combinations of filters on `FILL_SKEWED`: common, rare and absent values, and times without payments."""
    middle = oldest + (newest - oldest) / 2
    times = ((None, None), (None, middle), (newest + timedelta(days=1), None))
    for user_id, status, currency, (start, end) in product(
        (None, "guest", "user-1097", "nobody"),
        (None, "succeeded", "refunded", "partially_refunded", "declined", "processing"),
        (None, "usd", "jpy", "eur"),
        times,
    ):
        yield Filters(user_id=user_id, status=status, currency=currency, created_from=start, created_to=end)
    for status, currency in product((None, "succeeded", "refunded"), (None, "usd", "eur")):
        yield Filters(order_id="order-1097", status=status, currency=currency)
        yield Filters(order_id="nobody's", status=status, currency=currency)


async def walking_lists(connection: Connection, filters: Iterable[Filters], mode: str) -> dict[Filters, Cost]:
    """List payments by each of these filters, and return those lists that touch more pages than a page of payments needs."""
    costs: dict[Filters, Cost] = {}
    for one in filters:
        reads = MeasuredReads(connection, mode)
        await payment_reads.payments(reads, one, limit=PAGE_ROWS + 1)  # type: ignore[arg-type]
        [costs[one]] = reads.costs
    return {one: found for one, found in costs.items() if found.buffers > PAGE_BUFFERS_MAX}


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return _literal("{" + ",".join(f'"{one}"' for one in value) + "}")
    if isinstance(value, int | float):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"
