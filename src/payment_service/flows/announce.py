"""From what happened to the record that tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.contracts.records import (
    canceled_value,
    cloud_event_headers,
    failed_value,
    initiated_value,
    succeeded_value,
)
from payment_service.db.records import OutboxRecord
from payment_service.domain.events import Announcement, Canceled, Failed, Initiated, Succeeded
from payment_service.domain.ids import event_record_id

if TYPE_CHECKING:
    from datetime import datetime

    from payment_service.domain.payment import Payment


def announce(payment: Payment, announcement: Announcement, *, deployment: str, now: datetime) -> OutboxRecord:
    """Make the outbox row; `payment.sequence` is this record's number."""
    record_id = event_record_id(payment.id, announcement.topic, announcement.cause)
    return OutboxRecord(
        id=record_id,
        aggregate="payment",
        aggregate_id=payment.id,
        sequence=payment.sequence,
        topic=announcement.topic,
        key=str(payment.id).encode(),
        value=_value(payment, announcement),
        headers=cloud_event_headers(
            ce_id=record_id,
            ce_type=announcement.topic,
            deployment=deployment,
            time=now,
            sequence=payment.sequence,
            attempt=payment.n,
            traceparent=payment.traceparent,
        ),
    )


def _value(payment: Payment, announcement: Announcement) -> bytes:
    match announcement:
        case Initiated(method=method):
            return initiated_value(
                payment_id=payment.id,
                order_id=payment.order_id,
                user_id=payment.user_id,
                amount=payment.amount,
                method=method,
            )
        case Succeeded():
            return succeeded_value(
                payment_id=payment.id,
                order_id=payment.order_id,
                user_id=payment.user_id,
                amount=announcement.captured,
                amount_ordered=payment.amount,
                paid_at=announcement.paid_at,
                method=announcement.method,
                provider_id=announcement.intent_id,
            )
        case Failed(code=code, reason=reason, final=final):
            return failed_value(
                payment_id=payment.id,
                order_id=payment.order_id,
                user_id=payment.user_id,
                amount=payment.amount,
                reason=reason,
                code=code,
                final=final,
            )
        case Canceled(reason=reason):
            return canceled_value(
                payment_id=payment.id,
                order_id=payment.order_id,
                user_id=payment.user_id,
                amount=payment.amount,
                reason=reason,
            )
