"""What crosses Kafka, both ways. Pure: this is the only part of this package that other packages may import."""

from __future__ import annotations

from payment_service.kafka.dead_letters import DeadLetter, Headers, Record, dead_letter
from payment_service.kafka.orders import ORDER_VALUE_LIMIT_BYTES, decode_order
from payment_service.kafka.records import (
    ORDERS_CREATED,
    ORDERS_CREATED_DLQ,
    PAYMENTS_CANCELED,
    PAYMENTS_FAILED,
    PAYMENTS_INITIATED,
    PAYMENTS_SUCCEEDED,
    TOPICS,
    PaymentCanceled,
    PaymentFailed,
    PaymentInitiated,
    PaymentSucceeded,
    canceled_value,
    cloud_event_headers,
    failed_value,
    initiated_value,
    rfc3339,
    succeeded_value,
)

__all__ = [
    "ORDERS_CREATED",
    "ORDERS_CREATED_DLQ",
    "ORDER_VALUE_LIMIT_BYTES",
    "PAYMENTS_CANCELED",
    "PAYMENTS_FAILED",
    "PAYMENTS_INITIATED",
    "PAYMENTS_SUCCEEDED",
    "TOPICS",
    "DeadLetter",
    "Headers",
    "PaymentCanceled",
    "PaymentFailed",
    "PaymentInitiated",
    "PaymentSucceeded",
    "Record",
    "canceled_value",
    "cloud_event_headers",
    "dead_letter",
    "decode_order",
    "failed_value",
    "initiated_value",
    "rfc3339",
    "succeeded_value",
]
