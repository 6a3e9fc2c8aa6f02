"""Build the outbox record of a payment event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.contracts.records import cloud_event_headers
from payment_service.contracts.values import encode_value
from payment_service.db.records import OutboxRecord
from payment_service.domain.ids import event_record_id

if TYPE_CHECKING:
    from datetime import datetime

    from payment_service.domain.payment import Payment
    from payment_service.domain.payment_event import PaymentEvent


def outbox_record(payment: Payment, event: PaymentEvent, *, deployment: str, now: datetime) -> OutboxRecord:
    """Build the outbox record. `payment.sequence` is the number of this record."""
    topic = event.data.topic
    record_id = event_record_id(payment.id, topic, event.cause)
    return OutboxRecord(
        id=record_id,
        aggregate="payment",
        aggregate_id=payment.id,
        sequence=payment.sequence,
        topic=topic,
        key=str(payment.id).encode(),
        value=encode_value(payment.id, payment.order_id, payment.user_id, event.data, metadata=payment.metadata),
        headers=cloud_event_headers(
            ce_id=record_id,
            ce_type=topic,
            deployment=deployment,
            time=now,
            sequence=payment.sequence,
            attempt=payment.attempt,
            traceparent=payment.traceparent,
        ),
    )
