"""A sample event of each kind, and its record as the service writes it, for docs and tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

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
from payment_service.domain.ids import dispute_id, external_refund_id, payment_id
from payment_service.flows.state.outbox_records import outbox_record
from payment_service_events.currency import currency
from payment_service_events.money import Money
from scripts.document_states import SAMPLE

if TYPE_CHECKING:
    from payment_service.db.records import OutboxRecord

ORDER: Final = "order-1001"
PAYMENT: Final = payment_id("default", ORDER, 1)
PRICE: Final = Money(1990, currency("eur"))
TIME: Final = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)

_SECONDS: Final = int(TIME.timestamp())
_WEEK_S: Final = 7 * 86_400
_REFUND: Final[UUID] = external_refund_id(PAYMENT, "re_example")
_DISPUTE: Final[UUID] = dispute_id(PAYMENT, "dp_example")
_PART: Final = Money(500, PRICE.currency)

ANNOUNCEMENTS: Final[tuple[PaymentEvent, ...]] = (
    Initiated(cause="c", method="card"),
    Failed(cause="ch_example", code="insufficient_funds", reason="Your card has insufficient funds.", final=False),
    Failed(cause="canceled", code="canceled", reason="The payment was canceled.", final=True),
    Canceled(cause="c", reason="The payment was canceled."),
    Authorized(cause="c", method="card", intent_id="pi_example"),
    Succeeded(cause="c", captured=PRICE, method="card", paid_at=_SECONDS, intent_id="pi_example"),
    RefundInitiated(cause="c", refund_id=_REFUND, amount=_PART, reason="One cup was broken."),
    Refunded(cause="c", refund_id=_REFUND, amount=_PART, total=_PART, full=False),
    RefundFailed(
        cause="c", refund_id=_REFUND, amount=_PART, total=Money(0, PRICE.currency), code="expired_or_canceled_card"
    ),
    Disputed(
        cause="c",
        dispute=_DISPUTE,
        stage="chargeback",
        amount=PRICE,
        reason="fraudulent",
        status="needs_response",
        evidence_due_at=_SECONDS + _WEEK_S,
    ),
    DisputeClosed(cause="c", dispute=_DISPUTE, amount=PRICE, reason="fraudulent", status="won"),
)


def record_of(
    told: PaymentEvent,
    *,
    order: str = ORDER,
    user: str = "user-7",
    sequence: int = 1,
    attempt: int = 1,
    trace: str | None = None,
) -> OutboxRecord:
    """Return the outbox record of an event for the `attempt`-th payment of `order`."""
    payment = replace(
        SAMPLE,
        id=payment_id("default", order, attempt),
        order_id=order,
        attempt=attempt,
        user_id=user,
        amount=PRICE,
        sequence=sequence,
        traceparent=trace,
    )
    return outbox_record(payment, told, deployment="default", now=TIME)
