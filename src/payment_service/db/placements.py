"""Published records with their placements, for the comparison with their topics."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from payment_service.db.consistency import reading
from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from payment_service.db.pool import Pool

_SQL = load(__package__, "placements.sql")


class Place(NamedTuple):
    """The place of a record on Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """A record of the outbox. `places`: where it was published, the first publication first. Dead letters have no sequence."""

    id: UUID
    aggregate_id: UUID
    sequence: int | None
    topic: str
    key: bytes | None
    value: bytes | None
    headers: frozenset[tuple[str, bytes | None]]
    places: tuple[Place, ...]
    created_at: datetime


async def rows_of(pool: Pool, aggregates: Collection[UUID]) -> list[PublishedRow]:
    """Return every record of some payments."""
    async with reading(pool) as connection:
        return _rows(await connection.fetch(_SQL.of_aggregates, aggregates))


async def placed_rows(pool: Pool, after: int, until: int, *, since: datetime) -> list[PublishedRow]:
    """Return the records after one position up to another that were written since a time, in order."""
    async with reading(pool) as connection:
        return _rows(await connection.fetch(_SQL.placed, after, until, since))


def _rows(found: Iterable[asyncpg.Record]) -> list[PublishedRow]:
    return [
        PublishedRow(
            id=row["id"],
            aggregate_id=row["aggregateid"],
            sequence=row["sequence"],
            topic=row["type"],
            key=row["key"],
            value=row["payload"],
            headers=frozenset(
                (name, None if text is None else text.encode("latin-1")) for name, text in json.loads(row["headers"])
            ),
            places=tuple(
                Place(row["type"], partition, offset)
                for partition, offset in zip(row["partitions"], row["offsets"], strict=True)
            ),
            created_at=row["created_at"],
        )
        for row in found
    ]
