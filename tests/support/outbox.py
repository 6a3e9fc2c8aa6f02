"""Write outbox records as flows do, and run relays that publish them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from payment_service.config.config import Config
from payment_service.db.pool import Connection, Pool, open_pool
from payment_service.db.records import OutboxRecord, append_outbox
from payment_service.flows.state.outbox_records import outbox_record
from payment_service.kafka.relay import Relay
from scripts.document_states import SAMPLE
from scripts.sample_records import ANNOUNCEMENTS
from tests.support.eventually import eventually_async
from tests.support.kafka import Record

INITIATED: Final = "payments.initiated"
SUCCEEDED: Final = "payments.succeeded"


def config_of(env: Mapping[str, str], **changes: str) -> Config:
    """Read a configuration from these variables alone."""
    return Config(**{name.lower(): value for name, value in {**env, **changes}.items()})  # type: ignore[arg-type]


def records(
    payment: uuid.UUID,
    count: int = 1,
    *,
    first: int = 1,
    topic: str = INITIATED,
    value: bytes | None = None,
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC),
) -> list[OutboxRecord]:
    """Build the records `first`, `first + 1`, … of a payment. `value` replaces the event by other bytes."""
    return [_record(payment, sequence, topic, value, now) for sequence in range(first, first + count)]


def _record(payment: uuid.UUID, sequence: int, topic: str, value: bytes | None, now: datetime) -> OutboxRecord:
    announcement = next(announcement for announcement in ANNOUNCEMENTS if announcement.data.topic == topic)
    announcement = replace(announcement, cause=str(uuid.uuid4()))
    made = outbox_record(
        replace(SAMPLE, id=payment, sequence=sequence),
        announcement,
        deployment="default",
        now=now,
    )
    return made if value is None else replace(made, value=value)


async def write(pool: Pool, made: Sequence[OutboxRecord]) -> None:
    """Write records in one transaction."""
    async with pool.acquire() as connection, connection.transaction():
        await append_outbox(connection, made)


async def pending(pool: Pool | Connection) -> int:
    """Count the unpublished records."""
    return int(await pool.fetchval("SELECT count(*) FROM outbox_pending"))


async def drained(pool: Pool, *, timeout_s: float = 20.0) -> None:
    """Wait until everything is published."""

    async def nothing_pending() -> bool:
        return await pending(pool) == 0

    await eventually_async(nothing_pending, timeout_s=timeout_s)


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Pool]:
    """Open a pool as the service does."""
    pool = await open_pool(config)
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def relaying(config: Config, pool: Pool, **options: Any) -> AsyncIterator[Relay]:
    """Run a relay."""
    relay = Relay(config, pool, **{"now": lambda: datetime.now(UTC), **options})
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()


def first_occurrences(seen: Sequence[Record]) -> list[Record]:
    """Drop records whose `ce_id` occurred before."""
    by_id: dict[str | None, Record] = {}
    for record in seen:
        by_id.setdefault(record.header("ce_id"), record)
    return list(by_id.values())


def sequences(seen: Sequence[Record]) -> dict[bytes | None, list[int]]:
    """Return each payment's sequences in the order of first occurrence (of one topic: of its partition)."""
    by_key: dict[bytes | None, list[int]] = {}
    for record in first_occurrences(seen):
        by_key.setdefault(record.key, []).append(record.sequence)
    return by_key


def distinct(count: int) -> Callable[[Sequence[Record]], bool]:
    """Return a predicate: this many distinct records have arrived."""
    return lambda seen: len(first_occurrences(seen)) >= count
