"""Compare the records on the topics with the outbox, in both directions and in steps.

Each record of this deployment needs a row in the outbox, and each published row needs its record at its place. A record that is
on the topic twice is no difference: records are published at least once, and consumers recognize the second by its `ce_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias
from uuid import UUID

from payment_service.contracts.records import DEAD_LETTERS
from payment_service.db import consistency, placements
from payment_service.db.clock import database_time
from payment_service.db.placements import Place, PublishedRow
from payment_service.db.retention import OUTBOX_KEPT
from payment_service.domain.differences import Difference, Sides
from payment_service.flows.comparisons.steps import Step, iterate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Sequence

    from payment_service.db.pool import Pool

# Rows of about 1 KB each, and as many records.
SLICE_RECORDS: Final = 2_000
_SCAN, _ROWS = "scan", "rows"
"""Phases, as the first word of a position: `scan payments.failed:0:1234 payments.failed:1:17`, `rows 5678`."""
_DEPLOYMENTS: Final = "/payment-service/"
_NOT_PAYMENTS: Final = frozenset(DEAD_LETTERS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicRecord:
    """A record on a topic. `timestamp_ms`: as the producer set it."""

    place: Place
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    def header(self, name: str) -> str:
        """Return a header as text, or an empty string."""
        return next((value or b"" for found, value in self.headers if found == name), b"").decode(errors="replace")


# Of some partitions: topic and number.
Offsets: TypeAlias = Mapping[tuple[str, int], int]


class TopicsUnavailable(Exception):
    """The broker does not return its records. The message says why."""


class TopicReader(Protocol):
    """The reader of topics that the comparison needs. All methods raise an error if the broker cannot be read."""

    async def starts(self, since: datetime) -> Offsets:
        """Return the offset of the first record since a time of each partition that has one."""

    async def read_from(self, offsets: Offsets) -> tuple[Sequence[TopicRecord], Offsets]:
        """Return some records from offsets on, in the order of each partition, and the offsets after them.

        A partition whose end was reached is absent.
        """

    async def read_at(self, places: Collection[Place]) -> Mapping[Place, TopicRecord | None]:
        """Return the records at places. None: the topic's retention has deleted it. Absent: there is none."""


def compare_topics(
    pool: Pool, reader: TopicReader, *, deployment: str, since: datetime | None = None
) -> AsyncIterator[Difference]:
    """Yield every difference between topics and outbox since a time, at most as far back as the outbox reaches."""
    return iterate(partial(topic_step, pool, reader, deployment=deployment, since=since))


async def compared_since(pool: Pool, since: datetime | None) -> datetime:
    """Return a time, or that from which the outbox is kept if it is later."""
    kept_since = await database_time(pool) - OUTBOX_KEPT
    return kept_since if since is None else max(since, kept_since)


async def topic_step(
    pool: Pool, reader: TopicReader, position: str, *, deployment: str, since: datetime | None
) -> Step:
    """Compare the records, or the rows, of one step."""
    kept_since = await compared_since(pool, None)
    begin = kept_since if since is None else max(since, kept_since)
    phase, _, place = position.partition(" ")
    if phase == _ROWS:
        return await _compare_rows(pool, reader, place, begin)
    if not phase:
        return Step(_scan_position(await reader.starts(begin)))
    batch, following = await reader.read_from(_read_offsets(place))
    found = await compare_batch(pool, batch, deployment=deployment, kept_since=kept_since) if batch else []
    return Step(_scan_position(following), len(batch), found)


def _scan_position(offsets: Offsets) -> str:
    """Return the position of a scan, or that of the rows if no partition is left."""
    places = " ".join(f"{topic}:{number}:{offset}" for (topic, number), offset in sorted(offsets.items()))
    return f"{_SCAN} {places}" if places else _ROWS


def _read_offsets(places: str) -> Offsets:
    split = (place.split(":") for place in places.split())
    return {(topic, int(number)): int(offset) for topic, number, offset in split}


async def _compare_rows(pool: Pool, reader: TopicReader, place: str, since: datetime) -> Step:
    after = int(place) if place else await consistency.records_before(pool, since)
    last = await consistency.records_after(pool, after, limit=SLICE_RECORDS)
    if last is None:
        return Step("")
    rows = await placements.placed_rows(pool, after, last, since=since)
    found = await reader.read_at({place for row in rows for place in row.places})
    return Step(f"{_ROWS} {last}", len(rows), list(compare_placed(rows, found)))


async def compare_batch(
    pool: Pool, batch: Sequence[TopicRecord], *, deployment: str, kept_since: datetime
) -> list[Difference]:
    """Return the records of a batch that no row of the outbox has. Rows older than `kept_since` may be deleted."""
    records = [record for record in batch if record.place.topic not in _NOT_PAYMENTS]
    names = {name for record in records if (name := _payment_of(record)) is not None}
    rows: dict[tuple[UUID | None, str], PublishedRow] = {
        (row.aggregate_id, str(row.id)): row for row in await placements.rows_of(pool, names)
    }
    judged = (_judge(record, rows, f"{_DEPLOYMENTS}{deployment}", kept_since) for record in records)
    return [difference for difference in judged if difference is not None]


def compare_placed(rows: Sequence[PublishedRow], found: Mapping[Place, TopicRecord | None]) -> Iterator[Difference]:
    """Yield the rows whose records are not at their places, or differ, or were sent in another order."""
    for row in rows:
        for place in row.places:
            if place not in found:
                yield _of_row(row, "published_record_missing", f"there is no record at {place}")
                break
            record = found[place]
            if record is None or _is_record_of(record, row):
                continue
            if row.sequence is not None and record.header("ce_id") != str(row.id):
                yield _of_row(
                    row, "published_record_misplaced", f"{place} has record {record.header('ce_id') or 'without id'}"
                )
            else:
                yield _of_row(row, "published_record_differs", f"{place} has another content than the outbox")
            break
    yield from _compare_order(rows, found)


def _compare_order(rows: Sequence[PublishedRow], found: Mapping[Place, TopicRecord | None]) -> Iterator[Difference]:
    """Compare the producer's times of a payment's records, over all topics."""
    sent: dict[UUID, list[tuple[int, int, PublishedRow]]] = {}
    for row in rows:
        record = found.get(row.places[0]) if row.places else None
        if record is not None and row.sequence is not None:
            sent.setdefault(row.aggregate_id, []).append((row.sequence, record.timestamp_ms, row))
    for numbered in sent.values():
        for (before, earlier_ms, row), (after, later_ms, _) in pairwise(sorted(numbered, key=lambda one: one[0])):
            if later_ms < earlier_ms:
                yield _of_row(row, "published_out_of_order", f"number {before} was sent after number {after}")


def _judge(
    record: TopicRecord, rows: Mapping[tuple[UUID | None, str], PublishedRow], ours: str, kept_since: datetime
) -> Difference | None:
    source = record.header("ce_source")
    payment_id = _payment_of(record)
    if source != ours:
        # Deployments may share a broker.
        return None if source.startswith(_DEPLOYMENTS) else _of_record(record, "published_record_foreign", None)
    row = rows.get((payment_id, record.header("ce_id")))
    if row is None:
        return None if _written_at(record) < kept_since else _of_record(record, "published_record_unknown", payment_id)
    if record.place in row.places or _repeats(record, row):
        return None
    return _of_record(record, "published_record_differs", payment_id)


def _is_record_of(record: TopicRecord, row: PublishedRow) -> bool:
    """Return whether a record is that of a row. Others may have added headers."""
    same = (record.place.topic, record.key, record.value) == (row.topic, row.key, row.value)
    return same and row.headers <= set(record.headers)


def _repeats(record: TopicRecord, row: PublishedRow) -> bool:
    """Return whether a record says the same as a row. After a restored backup it has the time of its first writing."""
    same = (record.place.topic, record.key, record.value) == (row.topic, row.key, row.value)
    return same and {header for header in row.headers if header[0] != "ce_time"} <= set(record.headers)


def _payment_of(record: TopicRecord) -> UUID | None:
    try:
        return UUID((record.key or b"").decode())
    except ValueError:
        return None


def _written_at(record: TopicRecord) -> datetime:
    """Return the time of the event, or that of the record if the event has none."""
    try:
        return datetime.fromisoformat(record.header("ce_time")).astimezone(UTC)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=record.timestamp_ms)


def _of_row(row: PublishedRow, code: str, detail: str) -> Difference:
    payment_id = row.aggregate_id if row.sequence is not None else None
    return Difference(
        sides=Sides.TOPICS, code=code, subject=str(row.id), payment_id=payment_id, detail=detail, at=row.created_at
    )


def _of_record(record: TopicRecord, code: str, payment_id: UUID | None) -> Difference:
    detail = f"ce_id {record.header('ce_id') or 'missing'}, ce_source {record.header('ce_source') or 'missing'}"
    at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    return Difference(
        sides=Sides.TOPICS, code=code, subject=str(record.place), payment_id=payment_id, detail=detail, at=at
    )
