"""Rows of `partition_readers`: which consumer reads a partition, and whether the one before it died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from payment_service.db.pool import Pool

_SQL = load(__package__, "partition_readers.sql")


async def begin(pool: Pool, reader: UUID, partitions: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Record that a consumer reads partitions. Return those whose last reader did not end: it died, or still reads."""
    rows = await pool.fetch(_SQL.begin, reader, [topic for topic, _ in partitions], [one for _, one in partitions])
    return {(row["topic"], row["partition"]) for row in rows}


async def end(pool: Pool, reader: UUID, partitions: Collection[tuple[str, int]]) -> None:
    """Record that a consumer gave up partitions."""
    await pool.execute(_SQL.end_reading, reader, [topic for topic, _ in partitions], [one for _, one in partitions])
