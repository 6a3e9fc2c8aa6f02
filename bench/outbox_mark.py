"""Compare ways to store which records are published, and their partition and offset: a column of the outbox with a partial
index, or rows in separate tables.

It publishes a backlog in batches (fetch, then mark) on the embedded PostgreSQL. In half of the runs another session holds a
snapshot, as a backup or a report does, so that vacuum cannot remove dead rows. Run: `python bench/outbox_mark.py [--rows 200000]`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass

import asyncpg

from payment_service_demo.embedded.postgres import EmbeddedPostgres

BATCH = 500
PARTITIONS = 21  # a week kept and 14 days ahead
RUNS = 3

OUTBOX = """
CREATE TABLE outbox (
    position bigint NOT NULL, id uuid NOT NULL DEFAULT gen_random_uuid(), aggregatetype text NOT NULL DEFAULT 'payment',
    aggregateid uuid NOT NULL, sequence integer DEFAULT 1, type text NOT NULL DEFAULT 'payments.initiated', key bytea, payload bytea,
    headers json NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), {columns}
    PRIMARY KEY (position, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX ON outbox (aggregateid, position);
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to store the mark."""

    name: str
    columns: str
    tables: str
    insert: str
    fetch: str
    mark: str


ROWS = """
SELECT n, gen_random_uuid(), 'key'::bytea, convert_to(repeat('payload ', 35), 'UTF8'),
       '[["content-type","application/json"],["ce_specversion","1.0"],["ce_id","0b2c"],["ce_type","payments.initiated"]]'::json
FROM generate_series($1::bigint, $2::bigint) n
"""
INSERT = f"INSERT INTO outbox (position, aggregateid, key, payload, headers) {ROWS}"

COLUMN = Variant(
    name="column with partial index",
    columns="published_at timestamptz, published_partition integer, published_offset bigint,",
    tables="CREATE INDEX ON outbox (position) WHERE published_at IS NULL;",
    insert=INSERT,
    fetch="""
SELECT position, created_at, key, payload, headers FROM outbox o
WHERE published_at IS NULL AND NOT EXISTS (SELECT FROM parked_aggregates h WHERE h.aggregateid = o.aggregateid)
ORDER BY position LIMIT $1""",
    mark="""
UPDATE outbox o SET published_at = now(), published_partition = m.partition, published_offset = m.record_offset
FROM unnest($1::bigint[], $2::timestamptz[], $3::integer[], $4::bigint[]) AS m(position, created_at, partition, record_offset)
WHERE o.position = m.position AND o.created_at = m.created_at AND o.published_at IS NULL""",
)
PENDING = Variant(
    name="table of what is pending",
    columns="",
    tables="CREATE TABLE outbox_pending (position bigint PRIMARY KEY, aggregateid uuid NOT NULL, created_at timestamptz NOT NULL)"
    " WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);",
    insert=f"""
WITH written AS ({INSERT} RETURNING position, aggregateid, created_at)
INSERT INTO outbox_pending (position, aggregateid, created_at) SELECT position, aggregateid, created_at FROM written""",  # noqa: S608 - constants of this file
    fetch="""
SELECT o.position, o.created_at, o.key, o.payload, o.headers
FROM (
    SELECT position, created_at FROM outbox_pending p
    WHERE NOT EXISTS (SELECT FROM parked_aggregates h WHERE h.aggregateid = p.aggregateid)
    ORDER BY position LIMIT $1
) p JOIN outbox o ON o.position = p.position AND o.created_at = p.created_at
ORDER BY p.position""",
    mark="""
DELETE FROM outbox_pending WHERE position = ANY($1::bigint[])
AND $2::timestamptz[] IS NOT NULL AND $3::integer[] IS NOT NULL AND $4::bigint[] IS NOT NULL""",
)

PLACEMENTS = """
CREATE TABLE outbox_placements (
    position bigint NOT NULL, created_at timestamptz NOT NULL, partition integer NOT NULL, record_offset bigint NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (created_at);
CREATE TABLE outbox_placements_default PARTITION OF outbox_placements DEFAULT;
{index}
"""
PLACE = """
WITH marked AS (
    DELETE FROM outbox_pending WHERE position = ANY($1::bigint[]) AND $2::timestamptz[] IS NOT NULL RETURNING position, created_at
)
INSERT INTO outbox_placements (position, created_at, partition, record_offset)
SELECT m.position, m.created_at, v.partition, v.record_offset
FROM marked m JOIN unnest($1::bigint[], $3::integer[], $4::bigint[]) AS v (position, partition, record_offset) USING (position)"""


def placed(name: str, index: str) -> Variant:
    """Return a variant with pending records in one table and insert-only placements in another."""
    return Variant(
        name=name,
        columns="",
        tables=PENDING.tables + PLACEMENTS.format(index=index),
        insert=PENDING.insert,
        fetch=PENDING.fetch,
        mark=PLACE,
    )


PLACED = placed("pending, and placements", "CREATE INDEX ON outbox_placements (position);")
PLACED_BRIN = placed("placements under BRIN", "CREATE INDEX ON outbox_placements USING brin (position);")
PLACED_ARRAYS = Variant(
    name="a placement per batch",
    columns="",
    tables=PENDING.tables
    + """
CREATE TABLE outbox_placements (first bigint NOT NULL, last bigint NOT NULL, positions bigint[] NOT NULL, partitions integer[] NOT NULL,
    offsets bigint[] NOT NULL, published_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON outbox_placements (first);""",
    insert=PENDING.insert,
    fetch=PENDING.fetch,
    mark="""
WITH marked AS (
    DELETE FROM outbox_pending WHERE position = ANY($1::bigint[]) AND $2::timestamptz[] IS NOT NULL
)
INSERT INTO outbox_placements (first, last, positions, partitions, offsets)
SELECT min(p), max(p), $1, $3, $4 FROM unnest($1::bigint[]) p""",
)


@dataclass(slots=True)
class Times:
    """Milliseconds per batch, in order, and the cost on the server."""

    fetch_ms: list[float]
    mark_ms: list[float]
    insert_s: float
    insert_wal_mb: float
    publish_s: float
    mark_wal_mb: float


async def wal_bytes(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


async def prepare(connection: asyncpg.Connection, variant: Variant) -> None:
    await connection.execute("DROP TABLE IF EXISTS outbox, outbox_pending, outbox_placements, parked_aggregates")
    await connection.execute(OUTBOX.format(columns=variant.columns))
    for day in range(-7, PARTITIONS - 7):
        await connection.execute(
            f"CREATE TABLE outbox_{day + 7} PARTITION OF outbox FOR VALUES"
            f" FROM (date_trunc('day', now()) + interval '{day} d') TO (date_trunc('day', now()) + interval '{day + 1} d')"
        )
    await connection.execute(variant.tables)
    await connection.execute("CREATE TABLE parked_aggregates (aggregateid uuid PRIMARY KEY)")


async def fill(connection: asyncpg.Connection, variant: Variant, rows: int) -> None:
    for first in range(1, rows + 1, BATCH):
        await connection.execute(variant.insert, first, min(first + BATCH - 1, rows))


async def publish(connection: asyncpg.Connection, variant: Variant, times: Times) -> int:
    done = 0
    while True:
        started = time.perf_counter()
        batch = await connection.fetch(variant.fetch, BATCH)
        fetched = time.perf_counter()
        if not batch:
            return done
        positions = [row["position"] for row in batch]
        await connection.execute(
            variant.mark, positions, [row["created_at"] for row in batch], [1] * len(batch), positions
        )
        times.fetch_ms.append((fetched - started) * 1000)
        times.mark_ms.append((time.perf_counter() - fetched) * 1000)
        done += len(batch)


async def run(dsn: str, variant: Variant, rows: int, *, pinned: bool) -> Times:
    connection, other = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    await prepare(connection, variant)
    times = Times([], [], 0, 0, 0, 0)
    if pinned:
        await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await other.execute("SELECT 1 FROM parked_aggregates")
    before, started = await wal_bytes(connection), time.perf_counter()
    await fill(connection, variant, rows)
    times.insert_s, filled = time.perf_counter() - started, await wal_bytes(connection)
    times.insert_wal_mb = (filled - before) / 1e6
    started = time.perf_counter()
    assert await publish(connection, variant, times) == rows
    times.publish_s, times.mark_wal_mb = time.perf_counter() - started, (await wal_bytes(connection) - filled) / 1e6
    await other.close()
    await connection.close()
    return times


def report(variant: Variant, runs: list[Times], *, pinned: bool) -> None:
    def median(pick: list[float]) -> float:
        return statistics.median(pick)

    def part(name: str, end: slice) -> float:
        return median([median(getattr(run, name)[end]) for run in runs])

    first, last = slice(0, 20), slice(-20, None)
    print(
        f"{variant.name:26} {'pinned' if pinned else 'free':7}"
        f" insert {median([run.insert_s for run in runs]):6.2f} s {median([run.insert_wal_mb for run in runs]):6.0f} MB WAL"
        f" | publish {median([run.publish_s for run in runs]):6.2f} s {median([run.mark_wal_mb for run in runs]):6.0f} MB WAL"
        f" | fetch {part('fetch_ms', first):6.1f} -> {part('fetch_ms', last):6.1f} ms"
        f" | mark {part('mark_ms', first):6.1f} -> {part('mark_ms', last):6.1f} ms",
        flush=True,
    )


async def measure(dsn: str, rows: int, runs: int) -> None:
    print(f"{rows} rows, batches of {BATCH}, medians of {runs}; fetch and mark: first 20 batches -> last 20 batches")
    for pinned in (False, True):
        for variant in (COLUMN, PENDING, PLACED, PLACED_BRIN, PLACED_ARRAYS):
            report(variant, [await run(dsn, variant, rows, pinned=pinned) for _ in range(runs)], pinned=pinned)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=RUNS)
    arguments = parser.parse_args()
    with EmbeddedPostgres() as postgres:
        asyncio.run(measure(postgres.dsn, arguments.rows, arguments.runs))


if __name__ == "__main__":
    main()
