"""Build the outbox record of a payment event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from payment_service.contracts import values
from payment_service.contracts.records import cloud_event_headers, rfc3339
from payment_service.db.records import OutboxRecord
from payment_service.domain.events import (
    Authorized,
    Canceled,
    DisputeClosed,
    Disputed,
    Failed,
    Initiated,
    PaymentEvent,
    Refunded,
    RefundFailed,
    RefundInitiated,
    Succeeded,
)
from payment_service.domain.ids import event_record_id

if TYPE_CHECKING:
    from payment_service.domain.payment import Payment
    from payment_service_events.money import Money


def outbox_record(payment: Payment, event: PaymentEvent, *, deployment: str, now: datetime) -> OutboxRecord:
    """Build the outbox record. `payment.sequence` is the number of this record."""
    record_id = event_record_id(payment.id, event.topic, event.cause)
    return OutboxRecord(
        id=record_id,
        aggregate="payment",
        aggregate_id=payment.id,
        sequence=payment.sequence,
        topic=event.topic,
        key=str(payment.id).encode(),
        value=_value(payment, event).encode(),
        headers=cloud_event_headers(
            ce_id=record_id,
            ce_type=event.topic,
            deployment=deployment,
            time=now,
            sequence=payment.sequence,
            attempt=payment.attempt,
            traceparent=payment.traceparent,
        ),
    )


def _value(payment: Payment, event: PaymentEvent) -> values.Value:
    names = {"payment_id": str(payment.id), "order_id": payment.order_id, "user_id": payment.user_id}
    ordered = names | _money(payment.amount)
    match event:
        case Initiated(method=method):
            return values.PaymentInitiated(**ordered, method=method)
        case Authorized(method=method, intent_id=intent_id):
            return values.PaymentAuthorized(**ordered, payment_method=method, provider_id=intent_id)
        case Succeeded():
            return _succeeded(payment, event, names)
        case Failed(code=code, reason=reason, final=final):
            return values.PaymentFailed(**ordered, reason=reason, code=code, final=final)
        case Canceled(reason=reason):
            return values.PaymentCanceled(**ordered, reason=reason)
        case RefundInitiated() | Refunded() | RefundFailed():
            return _refund(event, names | {"refund_id": str(event.refund_id)} | _money(event.amount))
        case Disputed() | DisputeClosed():
            return _dispute(event, names | {"dispute_id": str(event.dispute)} | _money(event.amount))


def _succeeded(payment: Payment, event: Succeeded, names: dict[str, Any]) -> values.Value:
    return values.PaymentSucceeded(
        **names,
        **_money(event.captured),
        amount_ordered=payment.amount.decimal_text,
        payment_date=_time(event.paid_at),
        payment_method=event.method,
        provider_id=event.intent_id,
    )


def _refund(event: RefundInitiated | Refunded | RefundFailed, shared: dict[str, Any]) -> values.Value:
    match event:
        case RefundInitiated(reason=reason):
            return values.PaymentRefundInitiated(**shared, reason=reason)
        case Refunded(total=total, full=full):
            return values.PaymentRefunded(**shared, amount_refunded=total.decimal_text, full=full)
        case RefundFailed(total=total, code=code):
            return values.PaymentRefundFailed(**shared, amount_refunded=total.decimal_text, code=code)


def _dispute(event: Disputed | DisputeClosed, shared: dict[str, Any]) -> values.Value:
    shared |= {"reason": event.reason, "status": event.status}
    match event:
        case Disputed(stage=stage, evidence_due_at=due):
            return values.PaymentDisputed(**shared, stage=stage, evidence_due_by=_time(due) if due is not None else "")
        case DisputeClosed():
            return values.PaymentDisputeClosed(**shared)


def _money(amount: Money) -> dict[str, str]:
    return {"amount": amount.decimal_text, "currency": amount.currency.code}


def _time(seconds: int) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC))
