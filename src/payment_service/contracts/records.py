"""The records of `payments.*`: topics, values and CloudEvents headers. Pure.

The models are the contract. Every field but booleans is a string, never null.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.domain.money import Money

ORDERS_CREATED: Final = "orders.created"
ORDERS_CREATED_DLQ: Final = "orders.created.dlq"
PAYMENTS_INITIATED: Final = "payments.initiated"
PAYMENTS_SUCCEEDED: Final = "payments.succeeded"
PAYMENTS_FAILED: Final = "payments.failed"
PAYMENTS_CANCELED: Final = "payments.canceled"

# Every topic the service reads or writes: what `topics create` makes, and `serve` looks for.
TOPICS: Final = (
    ORDERS_CREATED,
    ORDERS_CREATED_DLQ,
    PAYMENTS_INITIATED,
    PAYMENTS_SUCCEEDED,
    PAYMENTS_FAILED,
    PAYMENTS_CANCELED,
)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    payment_id: str = Field(description="Names the payment; also the record's key.")
    order_id: str
    user_id: str = Field(description="As in the order; empty when it named no user.")


class PaymentInitiated(_Value):
    """The customer can pay now."""

    amount: str = Field(description="What is to be paid, with the currency's decimals.")
    currency: str = Field(description="ISO 4217, lower case.")
    method: str = Field(description="The only method offered, else `unknown`; `none` when nothing is to be paid.")


class PaymentSucceeded(_Value):
    """Money was captured."""

    amount: str = Field(description="What was captured, with the currency's decimals.")
    amount_ordered: str = Field(description="What the order asked for.")
    currency: str = Field(description="ISO 4217, lower case.")
    payment_date: str = Field(description="RFC 3339 in UTC, by the provider's clock.")
    payment_method: str = Field(
        description="What the customer paid with, else `unknown`; `none` when nothing was to be paid."
    )
    provider_id: str = Field(description="The provider's name of the payment; empty when none was needed.")


class PaymentFailed(_Value):
    """An attempt was declined, or the payment ended unpaid."""

    amount: str = Field(description="What was to be paid, with the currency's decimals.")
    currency: str = Field(description="ISO 4217, lower case.")
    reason: str = Field(description="One sentence for a person.")
    code: str = Field(description="The provider's decline code, else its error code.")
    final: bool = Field(
        description="False: the customer may still pay, keep the order. True: it never succeeds after this."
    )


class PaymentCanceled(_Value):
    """The payment was canceled; a final `payments.failed` stands beside it."""

    amount: str = Field(description="What was to be paid, with the currency's decimals.")
    currency: str = Field(description="ISO 4217, lower case.")
    reason: str = Field(description="One sentence for a person.")


def initiated_value(*, payment_id: UUID, order_id: str, user_id: str, amount: Money, method: str) -> bytes:
    """The value of `payments.initiated`."""
    return _encode(
        PaymentInitiated(
            payment_id=str(payment_id),
            order_id=order_id,
            user_id=user_id,
            amount=amount.decimal_text,
            currency=amount.currency.code,
            method=method,
        )
    )


def succeeded_value(
    *,
    payment_id: UUID,
    order_id: str,
    user_id: str,
    amount: Money,
    amount_ordered: Money,
    paid_at: int,
    method: str,
    provider_id: str,
) -> bytes:
    """The value of `payments.succeeded`. `amount`: captured; `paid_at`: seconds since 1970 by the provider's clock."""
    return _encode(
        PaymentSucceeded(
            payment_id=str(payment_id),
            order_id=order_id,
            user_id=user_id,
            amount=amount.decimal_text,
            amount_ordered=amount_ordered.decimal_text,
            currency=amount.currency.code,
            payment_date=rfc3339(datetime.fromtimestamp(paid_at, UTC)),
            payment_method=method,
            provider_id=provider_id,
        )
    )


def failed_value(
    *, payment_id: UUID, order_id: str, user_id: str, amount: Money, reason: str, code: str, final: bool
) -> bytes:
    """The value of `payments.failed`."""
    return _encode(
        PaymentFailed(
            payment_id=str(payment_id),
            order_id=order_id,
            user_id=user_id,
            amount=amount.decimal_text,
            currency=amount.currency.code,
            reason=reason,
            code=code,
            final=final,
        )
    )


def canceled_value(*, payment_id: UUID, order_id: str, user_id: str, amount: Money, reason: str) -> bytes:
    """The value of `payments.canceled`."""
    return _encode(
        PaymentCanceled(
            payment_id=str(payment_id),
            order_id=order_id,
            user_id=user_id,
            amount=amount.decimal_text,
            currency=amount.currency.code,
            reason=reason,
        )
    )


def cloud_event_headers(
    *,
    ce_id: UUID,
    ce_type: str,
    deployment: str,
    time: datetime,
    sequence: int,
    attempt: int,
    traceparent: str | None = None,
) -> tuple[tuple[str, bytes], ...]:
    """The headers of a record: CloudEvents 1.0 in binary mode, by the Kafka protocol binding.

    `sequence` counts a payment's records over all topics from 1, `attempt` the payments of an order. Raises `ValueError` for a
    time without a zone.
    """
    headers = [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", str(ce_id)),
        ("ce_type", ce_type),
        ("ce_source", f"/payment-service/{deployment}"),
        ("ce_time", rfc3339(time)),
        ("ce_sequence", str(sequence)),
        ("ce_attempt", str(attempt)),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent))
    return tuple((name, content.encode()) for name, content in headers)


def rfc3339(time: datetime) -> str:
    """`2026-01-31T23:59:59Z`, with a fraction where there is one. Raises `ValueError` for a time without a zone."""
    if time.tzinfo is None:
        message = "A time without a zone can't be announced: pass one in UTC."
        raise ValueError(message)
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _encode(value: _Value) -> bytes:
    return value.__pydantic_serializer__.to_json(value)
