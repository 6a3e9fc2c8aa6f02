"""Rows of `recovery` and `recovered_records`: a restored backup, and what was published since it was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.db.queries import load
from payment_service.db.records import headers_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "recovery.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRecord:
    """A record of this deployment that a topic of `payments.*` has."""

    ce_id: UUID
    payment_id: UUID
    attempt: int
    sequence: int
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPayment:
    """A payment that was published and has no row."""

    payment_id: UUID
    attempt: int
    order_id: str


async def begin(connection: Connection | Pool, restored_to: datetime) -> datetime:
    """Begin or resume a recovery, so that the service does not start. Return the time from which it reads."""
    found: datetime = await connection.fetchval(_SQL.begin, restored_to)
    return found


async def finish(connection: Connection | Pool) -> None:
    """Let the service start."""
    await connection.execute(_SQL.finish)


async def restored_to(connection: Connection) -> datetime | None:
    """Return the time of the backup that was restored in the last 30 days, or None."""
    found: datetime | None = await connection.fetchval(_SQL.restored_to)
    return found


async def problem(connection: Connection | Pool) -> str | None:
    """Return why the service must not start: a recovery that is unfinished. Return None if there is none."""
    restored_to: datetime | None = await connection.fetchval(_SQL.unfinished)
    if restored_to is None:
        return None
    return f"The recovery of this database is unfinished. Run: payment-service recover --to {restored_to.isoformat()}"


async def running_processes(connection: Connection | Pool) -> int:
    """Return how many sessions and workers of the service use this database."""
    return int(await connection.fetchval(_SQL.running))


async def insert_records(connection: Connection, records: Sequence[PublishedRecord]) -> tuple[int, int]:
    """Store what was published. Return how many records the backup lacked, and how many it had as pending."""
    row = await connection.fetchrow(
        _SQL.insert_records,
        [r.ce_id for r in records],
        [r.payment_id for r in records],
        [r.attempt for r in records],
        [r.sequence for r in records],
        [r.topic for r in records],
        [r.partition for r in records],
        [r.offset for r in records],
        [r.key for r in records],
        [r.value for r in records],
        [headers_text(r.headers) for r in records],
        [r.recorded_at for r in records],
    )
    return (row["lost"], row["published"]) if row else (0, 0)


async def write_records(connection: Connection, after: UUID, payments: int) -> UUID | None:
    """Write the recovered records of the next payments, by id, to the outbox and the history. Return the last payment."""
    found: UUID | None = await connection.fetchval(_SQL.write_records, after, payments)
    return found


async def sequences_of(connection: Connection, payment_ids: Iterable[UUID]) -> dict[UUID, dict[UUID, int]]:
    """Return the recovered records of payments: by payment, the sequence of each `ce_id`."""
    found: dict[UUID, dict[UUID, int]] = {}
    for row in await connection.fetch(_SQL.records_of, list(payment_ids)):
        found.setdefault(row["payment_id"], {})[row["ce_id"]] = row["sequence"]
    return found


async def canceled_before(connection: Connection, payment_ids: Collection[UUID]) -> Mapping[UUID, str | None]:
    """Return the payments whose end without money was published, with its code."""
    rows = await connection.fetch(_SQL.canceled, list(payment_ids))
    return {row["payment_id"]: row["code"] for row in rows}


async def unsent_creates(connection: Connection) -> list[UUID]:
    """Return the payments without an intent whose end without money was published."""
    return [row["id"] for row in await connection.fetch(_SQL.unsent_creates)]


async def missing_payments(connection: Connection | Pool) -> list[MissingPayment]:
    """Return the payments that were published and have no row."""
    return [MissingPayment(**row) for row in await connection.fetch(_SQL.missing_payments)]


async def look_first(connection: Connection, providers: Collection[str], limit: int) -> int:
    """Make up to `limit` unfinished operations read before they send. Return how many."""
    status: str = await connection.execute(_SQL.look_first, list(providers), limit)
    return int(status.rpartition(" ")[2])


async def open_payments(connection: Connection, after: UUID, providers: Collection[str], limit: int) -> list[UUID]:
    """Return the next payments, by id, that may have changed at the provider since the backup."""
    return [row["id"] for row in await connection.fetch(_SQL.open_payments, after, list(providers), limit)]
