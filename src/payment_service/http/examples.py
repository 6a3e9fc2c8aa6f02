"""Examples of answers for the API's description: real models, so that they can't differ from what is answered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from payment_service.contracts.api import Dispute, Page, Payment, PaymentDetail, PaymentEvent, Refund
from payment_service.contracts.timeline import AttemptEntry, OrderEntry, RecordEntry, TimelineEntry, TransitionEntry

if TYPE_CHECKING:
    from pydantic import BaseModel

_ID: Final = UUID("ae21913b-5b2f-5c29-8abf-153dfb1cfa87")
_OPERATION_ID: Final = UUID("0fe1fd03-be36-5047-aa32-f0a33978bb41")
_AT: Final = datetime(2026, 12, 25, 14, 0, 2, 417_000, tzinfo=UTC)

_PAYMENT: Final[dict[str, Any]] = {
    "id": _ID,
    "order_id": "order-1001",
    "user_id": "user-7",
    "status": "partially_refunded",
    "amount": "19.90",
    "amount_captured": "19.90",
    "amount_refunded": "5.00",
    "currency": "eur",
    "provider": "stripe",
    "provider_payment_id": "pi_3SxYz1",
    "created_at": datetime(2026, 12, 25, 13, 59, 58, tzinfo=UTC),
    "updated_at": _AT,
}
REFUND: Final = Refund(
    id=UUID("40fbfd7e-41ae-530b-a850-b19351170173"),
    payment_id=_ID,
    status="succeeded",
    amount="5.00",
    currency="eur",
    reason="requested_by_customer",
    failure_code="",
    made_by_hand=False,
    provider="stripe",
    provider_refund_id="re_3SxYz1",
    metadata={"ticket": "4711"},
    created_at=_AT,
    updated_at=_AT,
)
_DISPUTE: Final = Dispute(
    id=UUID("5b0d1d5c-8a5e-5d0e-9f0f-5f8a4b2f6a11"),
    payment_id=_ID,
    status="needs_response",
    amount="19.90",
    currency="eur",
    reason="fraudulent",
    evidence_due_by=datetime(2027, 1, 3, 23, 59, 59, tzinfo=UTC),
    provider="stripe",
    provider_dispute_id="du_1SxYz2",
    created_at=_AT,
    updated_at=_AT,
)
_EVENT: Final = PaymentEvent(
    id=UUID("b3f1a4d2-93b4-4a9e-8b1e-0c3a5f2d7e61"),
    type="payment_intent.succeeded",
    provider_event_id="evt_3SxYz1",
    processed=True,
    result="applied",
    occurred_at=datetime(2026, 12, 25, 14, 0, 1, tzinfo=UTC),
    created_at=_AT,
)
_ENTRIES: Final[list[TimelineEntry]] = [
    OrderEntry(
        at=datetime(2026, 12, 25, 13, 59, 58, tzinfo=UTC),
        order_id="order-1001",
        payment_attempt=1,
        amount="19.90",
        currency="eur",
        topic="orders.created",
        partition=3,
        offset=1201,
    ),
    AttemptEntry(
        at=datetime(2026, 12, 25, 13, 59, 59, tzinfo=UTC),
        operation_id=_OPERATION_ID,
        operation="create",
        attempt=1,
        idempotency_key=f"create:{_ID}:1",
        sent_at=datetime(2026, 12, 25, 13, 59, 58, 700_000, tzinfo=UTC),
        outcome="done",
        code="",
        provider_request_id="req_8OcXvZ",
    ),
    TransitionEntry(
        at=_AT,
        from_status="pending",
        to_status="succeeded",
        cause="pi_3SxYz1:succeeded",
        announced="payments.succeeded",
        sequence=2,
        occurred_at=datetime(2026, 12, 25, 14, 0, 1, tzinfo=UTC),
    ),
    RecordEntry(
        at=_AT,
        topic="payments.succeeded",
        sequence=2,
        ce_id=UUID("a9f69e3b-9b06-5442-aa66-7d51eff3edde"),
        written_at=_AT,
        published_at=_AT,
        partition=4,
        offset=88,
        waiting=False,
        held_reason="",
    ),
]


def _page(model: Any, *data: Any, cursor: str | None = None) -> Any:
    return Page[model](data=list(data), has_more=cursor is not None, next_cursor=cursor)


PAYMENTS: Final = _page(Payment, Payment(**_PAYMENT), cursor="pXr0bGv1UZ0nR2VbM2V6dFsxNzY2NjcxMTk4MDAwMDAwXQ")
PAYMENT: Final = PaymentDetail(**_PAYMENT, refunds=_page(Refund, REFUND), disputes=_page(Dispute))
EVENTS: Final = _page(PaymentEvent, _EVENT)
REFUNDS: Final = _page(Refund, REFUND)
DISPUTES: Final = _page(Dispute, _DISPUTE)
TIMELINE: Final = _page(TimelineEntry, *_ENTRIES)


def answered(description: str, example: BaseModel) -> dict[int | str, dict[str, Any]]:
    """Describe the answer of a read."""
    shown = example.model_dump(mode="json")
    return {200: {"description": description, "content": {"application/json": {"example": shown}}}}
