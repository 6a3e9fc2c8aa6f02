"""The relay's side of the outbox: what is to be published, who may publish, and what is held back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Pool

_SQL = load(__package__, "outbox.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A record to be published. `aggregate_id`: the payment (or notice) whose records go out one after another."""

    position: int
    aggregate_id: UUID
    topic: str
    key: bytes | None
    value: bytes | None
    headers: str
    created_at: datetime

    def header_list(self) -> list[tuple[str, str | bytes | None]]:
        """Headers as they go to the broker; any bytes survive their storage as Latin-1 text."""
        return [(name, None if text is None else text.encode("latin-1")) for name, text in json.loads(self.headers)]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where on its topic an acknowledged record is."""

    position: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedAggregate:
    """An aggregate whose next record can't go out. `topic`: the one that refused it; None when the record is at fault."""

    aggregate_id: UUID
    position: int
    topic: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Fence:
    """Under which a relay writes: once another has taken the lease, nothing written under the old one counts."""

    holder: UUID
    epoch: int


async def fetch_unpublished(pool: Pool, *, limit: int, in_hand: Sequence[int], limit_bytes: int) -> list[OutboxRow]:
    """Read the oldest unpublished records but those in hand and those of held aggregates, in their order."""
    return [
        OutboxRow(
            position=row["position"],
            aggregate_id=row["aggregateid"],
            topic=row["type"],
            key=row["key"],
            value=row["payload"],
            headers=row["headers"],
            created_at=row["created_at"],
        )
        for row in await pool.fetch(_SQL.fetch_unpublished, limit, in_hand, limit_bytes)
    ]


async def mark_published(pool: Pool, placements: Sequence[Placement], fence: Fence) -> bool:
    """Mark records that the broker has acknowledged, and note where they went. False: the lease is another's, nothing was marked."""
    return bool(
        await pool.fetch(
            _SQL.mark_published,
            [p.position for p in placements],
            [p.partition for p in placements],
            [p.offset for p in placements],
            fence.holder,
            fence.epoch,
        )
    )


async def take_lease(pool: Pool, holder: UUID, *, duration_s: float) -> int | None:
    """Take the lease if it has expired; gives the new epoch, None when another holds it."""
    epoch: int | None = await pool.fetchval(_SQL.take_lease, holder, duration_s)
    return epoch


async def renew_lease(pool: Pool, fence: Fence, *, duration_s: float) -> bool:
    """Extend the lease. False: another has it."""
    return bool(await pool.fetch(_SQL.renew_lease, fence.holder, fence.epoch, duration_s))


async def release_lease(pool: Pool, fence: Fence) -> None:
    """Let a successor take the lease at once."""
    await pool.execute(_SQL.release_lease, fence.holder, fence.epoch)


async def park_aggregates(pool: Pool, holds: Sequence[ParkedAggregate], fence: Fence) -> bool:
    """ParkedAggregate back aggregates: `fetch_unpublished` passes over them. False: the lease is another's, nothing is held."""
    return bool(
        await pool.fetch(
            _SQL.park_aggregates,
            [h.aggregate_id for h in holds],
            [h.position for h in holds],
            [h.topic for h in holds],
            [h.reason for h in holds],
            fence.holder,
            fence.epoch,
        )
    )


async def parked_topics(pool: Pool) -> set[str]:
    """Give the topics for whose sake aggregates are held."""
    return {row["topic"] for row in await pool.fetch(_SQL.parked_topics)}


async def release_topic(pool: Pool, topic: str, *, limit: int) -> list[UUID]:
    """Let go the aggregates that have waited longest for a topic, at most `limit`."""
    return [row["aggregateid"] for row in await pool.fetch(_SQL.release_topic, topic, limit)]
