"""Quarantine rejected records and events, once however often they arrive. Records also become dead letters."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from payment_service.contracts.dead_letters import DeadLetter, dead_letter
from payment_service.contracts.records import DEAD_LETTERS
from payment_service.db import quarantine, records
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.guard import clean_payload
from payment_service.domain.ids import quarantine_id
from payment_service.domain.order import Reason, Rejected, record_time
from payment_service.flows.state.errors import Unavailable
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.contracts.dead_letters import Record
    from payment_service.contracts.incoming import InboundRecord
    from payment_service.db.pool import Connection, Pool
    from payment_service.provider.port import ProviderEvent

log = structlog.get_logger(__name__)


async def quarantine_records(
    connection: Connection, rejected: Sequence[tuple[InboundRecord, Rejected]]
) -> list[tuple[InboundRecord, Rejected]]:
    """Insert rejected records with their dead letters. Return the records that are new."""
    if not rejected:
        return []
    rows = {
        quarantine_id(r.topic, r.partition, r.offset, content=_digest(r)): (
            r,
            reason,
            r.letter or dead_letter(r, reason),
        )
        for r, reason in rejected
    }
    new = await quarantine.insert(connection, [_quarantined(key, *rest) for key, rest in rows.items()])
    if new:
        await records.append(
            connection,
            records=[
                _dead_letter_record(key, record.topic, letter)
                for key, (record, _, letter) in rows.items()
                if key in new
            ],
        )
    return [(record, reason) for key, (record, reason, _) in rows.items() if key in new]


def _digest(record: Record) -> str:
    """Return a digest of what distinguishes two records at one offset: timestamp, key, value and headers."""
    headers = (part for name, value in record.headers for part in (name.encode("utf-8", "replace"), value or b""))
    parts = (str(record.timestamp_ms).encode(), record.key or b"", record.value or b"", *headers)
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()


def _quarantined(key: UUID, record: Record, reason: Rejected, letter: DeadLetter) -> quarantine.Quarantined:
    return quarantine.Quarantined(
        id=key,
        source="kafka",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason.reason,
        detail=reason.detail,
        key=letter.key,
        value=letter.value,
        headers=letter.headers,
        recorded_at=record_time(record.timestamp_ms),
    )


def _dead_letter_record(key: UUID, topic: str, letter: DeadLetter) -> records.OutboxRecord:
    return records.OutboxRecord(
        id=key,
        aggregate="dead_letter",
        aggregate_id=key,
        sequence=None,
        topic=DEAD_LETTERS[topic],
        key=letter.key,
        value=letter.value,
        headers=letter.headers,
    )


def count_quarantined(rows: Sequence[tuple[InboundRecord, Rejected]]) -> None:
    """Count and log new rows. Call it after the commit."""
    for record, reason in rows:
        metrics.QUARANTINED.labels("kafka", reason.reason).inc()
        log.warning(
            "order_quarantined",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason.reason,
            detail=reason.detail,
        )


async def quarantine_webhook_body(pool: Pool, provider: str, body: bytes, reason: str, detail: str) -> None:
    """Quarantine a signed webhook body that cannot be parsed. Raise Unavailable."""
    name = quarantine_id(f"webhook:{provider}:{sha256(body).hexdigest()}", 0, 0)
    await _insert_webhook(pool, name, provider, None, body, reason, detail)


async def quarantine_event(pool: Pool, event: ProviderEvent, detail: str) -> None:
    """Quarantine an event that the database rejects. Raise Unavailable."""
    name = quarantine_id(f"webhook:{event.provider}:{event.event_id}", 0, event.occurred_at)
    key, body = event.event_id.encode(), clean_payload(event.payload).encode(errors="replace")
    await _insert_webhook(pool, name, event.provider, key, body, Reason.NOT_STORABLE, detail)


async def _insert_webhook(
    pool: Pool, name: UUID, provider: str, key: bytes | None, body: bytes, reason: str, detail: str
) -> None:
    rows = quarantine.Quarantined(
        id=name,
        source="webhook",
        topic=provider,
        partition=None,
        offset=None,
        reason=reason,
        detail=detail,
        key=key,
        value=body,
        headers=(),
        recorded_at=None,
    )
    try:
        new = await quarantine.insert(pool, [rows])
    except TRANSIENT_ERRORS as error:
        raise Unavailable from error
    if new:
        metrics.QUARANTINED.labels("webhook", reason).inc()
