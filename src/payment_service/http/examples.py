"""Examples of every request and response body of `/v1`, from the life of one order. They are built from the models, so
each is valid.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from payment_service.contracts.api import (
    AuditEntry,
    Checkout,
    Dispute,
    Page,
    Pay,
    Payment,
    PaymentAttempt,
    PaymentDetail,
    PaymentEvent,
    PaymentMethod,
    Reconciliation,
    Refund,
    SearchHit,
    SearchResult,
)
from payment_service.contracts.csv_rows import csv_header, csv_lines
from payment_service.contracts.timeline import (
    AttemptEntry,
    OperationEntry,
    OrderEntry,
    RecordEntry,
    RefundEntry,
    RequestEntry,
    TimelineEntry,
    TransitionEntry,
    WebhookEntry,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

_PAYMENT: Final = UUID("ae21913b-5b2f-5c29-8abf-153dfb1cfa87")
_REFUND: Final = UUID("40fbfd7e-41ae-530b-a850-b19351170173")
_CREATE: Final = UUID("0fe1fd03-be36-5047-aa32-f0a33978bb41")
_KEY: Final = UUID("0d9c6d1a-4c1f-4f4e-8f57-5a6f5f1f2c3d")
_INTENT: Final = "pi_3SxYz1"


def _at(second: int, microsecond: int = 0) -> datetime:
    return datetime(2026, 12, 25, 14, 0, second, microsecond, tzinfo=UTC)


PAYMENT: Final[dict[str, Any]] = {
    "id": _PAYMENT,
    "order_id": "order-1001",
    "user_id": "user-7",
    "status": "succeeded",
    "amount": "19.90",
    "amount_captured": "19.90",
    "amount_refunded": "0.00",
    "currency": "eur",
    "provider": "stripe",
    "provider_payment_id": _INTENT,
    "metadata": {"campaign": "spring"},
    "payment_method_id": "pm_1SxYz1",
    "payment_method": PaymentMethod(
        id="pm_1SxYz1", type="card", brand="visa", last4="4242", funding="credit", country="DE", wallet=None
    ),
    "receipt_url": "https://pay.stripe.com/receipts/payment/example",
    "capture_method": "automatic",
    "capture_before": None,
    "expires_at": _at(0, 417_000) + timedelta(days=1),
    "created_at": _at(0, 417_000),
    "updated_at": _at(2, 93_000),
}
_UNUSED: Final = {"payment_method_id": None, "payment_method": None, "receipt_url": None}
_OPEN: Final = _UNUSED | {"amount_captured": "0.00", "status": "pending", "updated_at": _at(1)}
REFUND: Final = Refund(
    id=_REFUND,
    payment_id=_PAYMENT,
    order_id="order-1001",
    status="pending",
    amount="5.00",
    currency="eur",
    reason="requested_by_customer",
    failure_code="",
    bank_reference=None,
    expected_at=None,
    external=False,
    provider="stripe",
    provider_refund_id=None,
    metadata={"ticket": "4711"},
    created_at=_at(40),
    updated_at=_at(40),
)
DISPUTE: Final = Dispute(
    id=UUID("c1b1c8e2-2f6e-5b8e-8b8a-7d2f8f4c6a90"),
    payment_id=_PAYMENT,
    order_id="order-1001",
    status="needs_response",
    amount="19.90",
    currency="eur",
    reason="fraudulent",
    evidence_due_by=datetime(2027, 1, 3, 23, 59, 59, tzinfo=UTC),
    provider="stripe",
    provider_dispute_id="du_1SxZa2",
    created_at=_at(50),
    updated_at=_at(50),
)
_ATTEMPT: Final = PaymentAttempt(
    provider_charge_id="ch_3SxYz1",
    status="succeeded",
    amount="19.90",
    currency="eur",
    decline_code=None,
    decline_reason=None,
    payment_method=PAYMENT["payment_method"],
    receipt_url=PAYMENT["receipt_url"],
    occurred_at=_at(1),
)
_AUDIT: Final = AuditEntry(
    id=17,
    at=_at(40),
    client="cli:ada",
    key_id=None,
    address="ops-1",
    action="refund",
    payment_id=_PAYMENT,
    why="ticket 4711",
    detail={"amount": "5.00", "reason": "requested_by_customer", "metadata": {}, "key": "cli-1f0c3a5b7d9e2468"},
)
_EVENT: Final = PaymentEvent(
    id=UUID("5d3f8a52-6f0b-4c1e-9f4b-6c8f6f8e2a11"),
    type="payment_intent.succeeded",
    provider_event_id="evt_3SxYz1",
    processed=True,
    result="applied",
    occurred_at=_at(1),
    created_at=_at(2, 90_000),
)
_CHECKOUT: Final = Checkout(
    payment_id=_PAYMENT,
    order_id="order-1001",
    status="pending",
    amount="19.90",
    currency="eur",
    provider="stripe",
    next="pay",
    detail="The customer can pay.",
    pay=Pay(
        provider="stripe",
        publishable_key="pk_test_51Example",
        client_secret="pi_3SxYz1_secret_example",  # noqa: S106 - an example opens nothing
        method_types=["card"],
    ),
)
_RECONCILIATION: Final = Reconciliation(
    id=UUID("7b0f6f0e-2f0a-4a57-9a43-0b0f4a0c8a11"),
    state="finished",
    since=_at(0) - timedelta(days=1),
    until=_at(0),
    compared=1_204,
    ignored=3,
    found=2,
    repaired=2,
    postponed=0,
    started_at=_at(0),
    finished_at=_at(30),
)
_TIMELINE: Final[list[TimelineEntry]] = [
    OrderEntry(
        at=_at(0, 417_000),
        order_id="order-1001",
        payment_attempt=1,
        amount="19.90",
        currency="eur",
        topic="orders.created",
        partition=3,
        offset=41,
    ),
    OperationEntry(
        at=_at(0, 417_000),
        operation_id=_CREATE,
        operation="create",
        cause="order",
        state="done",
        attempts=1,
        idempotency_key=f"create:{_PAYMENT}:1",
        outcome="done",
        code="",
        detail="",
        provider_request_id="req_8OcXvZ",
        due_at=None,
        finished_at=_at(0, 733_000),
    ),
    AttemptEntry(
        at=_at(0, 733_000),
        operation_id=_CREATE,
        operation="create",
        attempt=1,
        idempotency_key=f"create:{_PAYMENT}:1",
        sent_at=_at(0, 430_000),
        outcome="done",
        code="",
        provider_request_id="req_8OcXvZ",
    ),
    WebhookEntry(
        at=_at(2, 90_000),
        provider_event_id="evt_3SxYz1",
        type="payment_intent.succeeded",
        result="applied",
        parked_reason="",
        occurred_at=_at(1),
        processed_at=_at(2, 93_000),
    ),
    TransitionEntry(
        at=_at(2, 93_000),
        from_status="pending",
        to_status="succeeded",
        cause=f"{_INTENT}:succeeded",
        published_topic="payments.succeeded",
        sequence=2,
        occurred_at=_at(1),
    ),
    RecordEntry(
        at=_at(2, 110_000),
        topic="payments.succeeded",
        sequence=2,
        ce_id=UUID("a9f69e3b-9b06-5442-aa66-7d51eff3edde"),
        written_at=_at(2, 93_000),
        published_at=_at(2, 110_000),
        partition=1,
        offset=7,
        waiting=False,
        parked_reason="",
    ),
    RequestEntry(
        at=_at(40),
        action="refund",
        client="shop",
        key_id=_KEY,
        address="10.0.0.7",
        asked={"amount": "5.00", "reason": "requested_by_customer", "key": "refund-order-1001-1"},
    ),
    RefundEntry(
        at=_at(40),
        refund_id=_REFUND,
        amount="5.00",
        currency="eur",
        status="pending",
        reason="requested_by_customer",
        failure_code="",
        bank_reference=None,
        expected_at=None,
        external=False,
        client="shop",
        provider_refund_id=None,
        updated_at=_at(40),
    ),
]

# Keyed by operationId.
REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "refund_payment": {"amount": "5.00", "reason": "requested_by_customer", "metadata": {"ticket": "4711"}},
    "capture_payment": {"amount": "15.00"},
    "cancel_payment": {"reason": "requested_by_customer"},
    "open_payment": {"order_id": "order-1001"},
}
_RESPONSES: Final[dict[str, BaseModel]] = {
    "list_payments": Page[Payment](data=[Payment(**PAYMENT)], has_more=False, next_cursor=None),
    "read_payment": PaymentDetail(
        **PAYMENT,
        attempts=[_ATTEMPT],
        refunds=Page[Refund](data=[REFUND], has_more=False, next_cursor=None),
        disputes=Page[Dispute](data=[DISPUTE], has_more=False, next_cursor=None),
    ),
    "read_payment_timeline": Page[TimelineEntry](data=_TIMELINE, has_more=False, next_cursor=None),
    "list_payment_events": Page[PaymentEvent](data=[_EVENT], has_more=False, next_cursor=None),
    "list_payment_refunds": Page[Refund](data=[REFUND], has_more=False, next_cursor=None),
    "list_payment_disputes": Page[Dispute](data=[DISPUTE], has_more=False, next_cursor=None),
    "list_refunds": Page[Refund](data=[REFUND], has_more=False, next_cursor=None),
    "list_disputes": Page[Dispute](data=[DISPUTE], has_more=False, next_cursor=None),
    "list_audit": Page[AuditEntry](data=[_AUDIT], has_more=False, next_cursor=None),
    "search_payments": SearchResult(
        data=[SearchHit(matched="payment", name=_INTENT, payment=Payment(**PAYMENT))], has_more=False
    ),
    "list_reconciliations": Page[Reconciliation](data=[_RECONCILIATION], has_more=False, next_cursor=None),
    "read_refund": REFUND,
    "refund_payment": REFUND,
    "capture_payment": Payment(**PAYMENT | _OPEN | {"status": "authorized"}),
    "cancel_payment": Payment(**PAYMENT | _OPEN),
    "open_payment": Payment(**PAYMENT | _OPEN | {"status": "created", "provider_payment_id": None}),
    "read_checkout": _CHECKOUT,
}
CSV_RESPONSES: Final[dict[str, str]] = {
    name: csv_header(type(page.data[0])) + "".join(csv_lines(page.data))
    for name, page in _RESPONSES.items()
    if isinstance(page, Page)
}
RESPONSES: Final[dict[str, Any]] = {name: model.model_dump(mode="json") for name, model in _RESPONSES.items()} | {
    "receive_stripe_event": {"received": True},
    "receive_provider_event": {"received": True},
    "read_health": {"status": "ok"},
    "read_readiness": {"ready": True, "checks": {"database": "ok", "broker": "ok"}},
}
