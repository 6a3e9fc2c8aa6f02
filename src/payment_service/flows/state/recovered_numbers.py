"""Number events above those that the topics already have, after a backup was restored (`payment-service recover`). Pure.

Facts may be applied again in another order than before. So an event that a topic has keeps its record there, and any other
event continues above the highest number of its payment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from payment_service.db.records import HistoryEntry, OutboxRecord


@dataclass(frozen=True, slots=True)
class Renumbered:
    """The records that are still to be published, the history with its numbers, and the last number of each payment."""

    outbox: list[OutboxRecord]
    history: list[HistoryEntry]
    last: dict[UUID, int]


def renumber(
    outbox: Sequence[OutboxRecord],
    history: Sequence[HistoryEntry],
    *,
    before: Mapping[UUID, int],
    recovered: Mapping[UUID, Mapping[UUID, int]],
) -> Renumbered:
    """Renumber the events of payments in `recovered` (by payment: the number of each `ce_id` that a topic has).

    `before`: the last number of each payment before these events. Payments that are not in `recovered` keep their numbers.
    """
    last = {key: max(before[key], *known.values()) for key, known in recovered.items() if known}
    numbers: dict[tuple[UUID, int | None], int | None] = {}
    published: list[OutboxRecord] = []
    for record in outbox:
        known = recovered.get(record.aggregate_id)
        if not known:
            published.append(record)
            continue
        if record.id in known:
            numbers[record.aggregate_id, record.sequence] = None
            continue
        last[record.aggregate_id] += 1
        numbers[record.aggregate_id, record.sequence] = last[record.aggregate_id]
        published.append(_with_number(record, last[record.aggregate_id]))
    return Renumbered(published, [_renumbered(entry, numbers) for entry in history], last)


def _renumbered(entry: HistoryEntry, numbers: Mapping[tuple[UUID, int | None], int | None]) -> HistoryEntry:
    """Return the entry with its number. The history has an entry for each recovered record, so its change gets no second number."""
    if (entry.payment_id, entry.sequence) not in numbers:
        return entry
    number = numbers[entry.payment_id, entry.sequence]
    return replace(entry, sequence=number, published_topic=entry.published_topic if number else None)


def _with_number(record: OutboxRecord, number: int) -> OutboxRecord:
    headers = tuple(
        (name, str(number).encode() if name == "ce_sequence" else content) for name, content in record.headers
    )
    return replace(record, sequence=number, headers=headers)
