"""Records that can't be accepted: kept in quarantine and announced as dead letters, once however often they are delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from payment_service.contracts.dead_letters import DeadLetter, dead_letter
from payment_service.contracts.records import DEAD_LETTERS
from payment_service.db import quarantine, records
from payment_service.domain.ids import quarantine_id
from payment_service.domain.order import Rejected, record_time
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.contracts.dead_letters import Record
    from payment_service.db.pool import Connection

log = structlog.get_logger(__name__)


async def set_aside(
    connection: Connection, rejected: Sequence[tuple[Record, Rejected]]
) -> list[tuple[Record, Rejected]]:
    """Keep what is not kept yet, and announce just that; return what is new."""
    if not rejected:
        return []
    kept = {quarantine_id(r.topic, r.partition, r.offset): (r, why, dead_letter(r, why)) for r, why in rejected}
    new = await quarantine.insert(connection, [_quarantined(key, *rest) for key, rest in kept.items()])
    if new:
        await records.append_outbox(
            connection,
            [_notice(key, record.topic, letter) for key, (record, _, letter) in kept.items() if key in new],
        )
    return [(record, why) for key, (record, why, _) in kept.items() if key in new]


def _quarantined(key: UUID, record: Record, why: Rejected, letter: DeadLetter) -> quarantine.Quarantined:
    return quarantine.Quarantined(
        id=key,
        source="kafka",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=why.reason,
        detail=why.detail,
        key=letter.key,
        value=letter.value,
        headers=letter.headers,
        recorded_at=record_time(record.timestamp_ms),
    )


def _notice(key: UUID, topic: str, letter: DeadLetter) -> records.OutboxRecord:
    return records.OutboxRecord(
        id=key,
        aggregate="notice",
        aggregate_id=key,
        sequence=None,
        topic=DEAD_LETTERS[topic],
        key=letter.key,
        value=letter.value,
        headers=letter.headers,
    )


def count_set_aside(kept: Sequence[tuple[Record, Rejected]]) -> None:
    """Count what is new in quarantine. Call it after the commit."""
    for record, why in kept:
        metrics.QUARANTINED.labels("kafka", why.reason).inc()
        log.warning(
            "order_quarantined",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=why.reason,
            detail=why.detail,
        )
