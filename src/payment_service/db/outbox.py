"""The outbox as the relay uses it: pending records, the lease, parked aggregates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Pool

_SQL = load(__package__, "outbox.sql")


class OutboxRow(NamedTuple):
    """A record to publish. Records of one `aggregate_id` (a payment, or a dead letter) are published one after another."""

    position: int
    aggregate_id: UUID
    topic: str
    key: bytes | None
    value: bytes | None
    headers: str
    created_at: datetime

    def header_list(self) -> list[tuple[str, str | bytes | None]]:
        """Return the headers for the broker. They are stored as Latin-1 text, which preserves all bytes."""
        return [(name, None if text is None else text.encode("latin-1")) for name, text in json.loads(self.headers)]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a fetch begins: after a position, if the server is still the one that was started at `server`; else at the first."""

    after: int
    server: datetime | None


BEGINNING: Final = Start(0, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The view of a statement: when its server started, the last drawn position, the oldest running and the next transaction id.

    `oldest_pending` is the first position that is not published; None if there is none.
    """

    server: datetime
    drawn: int
    oldest_transaction: int
    next_transaction: int
    oldest_pending: int | None


class Placement(NamedTuple):
    """Partition and offset of an acknowledged record."""

    position: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedAggregate:
    """An aggregate whose next record cannot be published: its `topic` accepts none, or (None) the broker refused the record."""

    aggregate_id: UUID
    position: int
    topic: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Fence:
    """The fencing token of a relay. Once another relay has taken the lease, writes with the old token have no effect."""

    holder: UUID
    epoch: int


async def look(pool: Pool, after: int) -> Look:
    """Look what is pending after a position, and which transactions may still write."""
    row = await pool.fetchrow(_SQL.look, after)
    assert row is not None  # noqa: S101 - a SELECT without FROM
    return Look(**row)


async def fetch_unpublished(
    pool: Pool, *, limit: int, in_progress: Sequence[int], limit_bytes: int, start: Start = BEGINNING
) -> list[OutboxRow]:
    """Return the oldest pending records in order, without those in progress and those of parked aggregates."""
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
        for row in await pool.fetch(_SQL.fetch_unpublished, limit, in_progress, limit_bytes, start.after, start.server)
    ]


async def mark_published(pool: Pool, placements: Sequence[Placement], fence: Fence) -> bool:
    """Mark acknowledged records and store their placements. False: another relay has the lease, and nothing was marked."""
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
    """Take the lease if it has expired; return the new epoch, or None if another relay holds it."""
    epoch: int | None = await pool.fetchval(_SQL.take_lease, holder, duration_s)
    return epoch


async def renew_lease(pool: Pool, fence: Fence, *, duration_s: float) -> int | None:
    """Extend the lease; return the last position that was drawn. None: another relay has it."""
    drawn: int | None = await pool.fetchval(_SQL.renew_lease, fence.holder, fence.epoch, duration_s)
    return drawn


async def release_lease(pool: Pool, fence: Fence) -> None:
    """Release the lease, so that another relay can take it at once."""
    await pool.execute(_SQL.release_lease, fence.holder, fence.epoch)


async def park_aggregates(pool: Pool, aggregates: Sequence[ParkedAggregate], fence: Fence) -> bool:
    """Park aggregates, which `fetch_unpublished` then skips. False: another relay has the lease, and nothing was parked."""
    return bool(
        await pool.fetch(
            _SQL.park_aggregates,
            [a.aggregate_id for a in aggregates],
            [a.position for a in aggregates],
            [a.topic for a in aggregates],
            [a.reason for a in aggregates],
            fence.holder,
            fence.epoch,
        )
    )


async def parked_topics(pool: Pool) -> set[str]:
    """Return the topics for which aggregates are parked."""
    return {row["topic"] for row in await pool.fetch(_SQL.parked_topics)}


async def release_topic(pool: Pool, topic: str, *, limit: int) -> list[UUID]:
    """Release up to `limit` aggregates that wait for a topic, the oldest first; return them."""
    return [row["aggregateid"] for row in await pool.fetch(_SQL.release_topic, topic, limit)]
