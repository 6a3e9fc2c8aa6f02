"""Records of `payments.*` follow their contract, field by field."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args
from uuid import UUID

import pytest

from payment_service.contracts.records import TOPICS, cloud_event_headers, rfc3339
from payment_service.contracts.values import BY_TOPIC, Value
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
from payment_service.flows.state.outbox_records import outbox_record
from payment_service_events.currency import currency
from payment_service_events.money import Money
from scripts.document_states import SAMPLE

PAYMENT = UUID("3c2f6a53-5c7a-5f0e-9d3c-6f0f8f6f2b11")
EUR = currency("eur")
PRICE = Money(1990, EUR)
OF = {"payment_id": str(PAYMENT), "order_id": "order-1", "user_id": ""}


def value_of(event: PaymentEvent, amount: Money = PRICE, **changes: object) -> dict[str, object]:
    payment = replace(SAMPLE, id=PAYMENT, order_id="order-1", user_id="", amount=amount, **changes)  # type: ignore[arg-type]
    record = outbox_record(payment, event, deployment="default", now=datetime(2026, 1, 1, tzinfo=UTC))
    read: dict[str, object] = json.loads(record.value or b"")
    BY_TOPIC[event.topic].model_validate(read)
    return read


REFUND = UUID("9a3f6a53-5c7a-5f0e-9d3c-6f0f8f6f2b11")
OF_REFUND = {**OF, "refund_id": str(REFUND), "currency": "eur"}
OF_DISPUTE = {**OF, "dispute_id": str(REFUND), "amount": "19.90", "currency": "eur", "reason": "fraudulent"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Initiated(cause="c", method="card"), {**OF, "amount": "19.90", "currency": "eur", "method": "card"}),
        (
            Authorized(cause="c", method="card", intent_id="pi_1"),
            {**OF, "amount": "19.90", "currency": "eur", "payment_method": "card", "provider_id": "pi_1"},
        ),
        (
            Succeeded(cause="c", captured=Money(1000, EUR), method="card", paid_at=1_767_225_600, intent_id="pi_1"),
            {
                **OF,
                "amount": "10.00",
                "amount_ordered": "19.90",
                "currency": "eur",
                "payment_date": "2026-01-01T00:00:00Z",
                "payment_method": "card",
                "provider_id": "pi_1",
            },
        ),
        (
            Canceled(cause="c", reason="Expired."),
            {**OF, "amount": "19.90", "currency": "eur", "reason": "Expired."},
        ),
        (
            RefundInitiated(cause="c", refund_id=REFUND, amount=Money(500, EUR), reason="too small"),
            {**OF_REFUND, "amount": "5.00", "reason": "too small"},
        ),
        (
            Refunded(cause="c", refund_id=REFUND, amount=Money(500, EUR), total=Money(1500, EUR), full=False),
            {**OF_REFUND, "amount": "5.00", "amount_refunded": "15.00", "full": False},
        ),
        (
            RefundFailed(cause="c", refund_id=REFUND, amount=Money(500, EUR), total=Money(1000, EUR), code="declined"),
            {**OF_REFUND, "amount": "5.00", "amount_refunded": "10.00", "code": "declined"},
        ),
        (
            Disputed(
                cause="c",
                dispute=REFUND,
                stage="chargeback",
                amount=PRICE,
                reason="fraudulent",
                status="needs_response",
                evidence_due_at=1_767_225_600,
            ),
            {
                **OF_DISPUTE,
                "stage": "chargeback",
                "status": "needs_response",
                "evidence_due_by": "2026-01-01T00:00:00Z",
            },
        ),
        (
            DisputeClosed(cause="c", dispute=REFUND, amount=PRICE, reason="fraudulent", status="won"),
            {**OF_DISPUTE, "status": "won"},
        ),
    ],
)
def test_each_event_has_its_documented_value(event: PaymentEvent, expected: dict[str, object]) -> None:
    assert value_of(event) == expected


@pytest.mark.parametrize("final", [True, False])
def test_a_failure_event_states_whether_it_is_final(final: bool) -> None:
    failed = Failed(cause="c", code="insufficient_funds", reason="Your card has insufficient funds.", final=final)
    assert value_of(failed, Money(500, currency("jpy"))) == {
        **OF,
        "amount": "500",
        "currency": "jpy",
        "reason": "Your card has insufficient funds.",
        "code": "insufficient_funds",
        "final": final,
    }


def test_text_in_any_script_is_preserved() -> None:
    event = Canceled(cause="c", reason='"\u2028')
    payment = replace(SAMPLE, order_id='{"a":\\n}', user_id="Zo\u00eb \U0001f642")
    value = outbox_record(payment, event, deployment="default", now=datetime(2026, 1, 1, tzinfo=UTC)).value
    read = json.loads(value or b"")
    assert (read["order_id"], read["user_id"], read["reason"]) == ('{"a":\\n}', "Zo\u00eb \U0001f642", '"\u2028')


@pytest.mark.parametrize("model", BY_TOPIC.values())
def test_every_field_is_a_required_string_or_boolean(model: type[Value]) -> None:
    schema = model.model_json_schema()
    assert set(schema["required"]) == set(schema["properties"])
    others = {name: field["type"] for name, field in schema["properties"].items() if field["type"] != "string"}
    assert others in ({}, {"final": "boolean"}, {"full": "boolean"})


def test_every_event_has_a_topic_and_a_value_model() -> None:
    assert {kind.topic for kind in get_args(PaymentEvent)} == set(BY_TOPIC)
    assert set(BY_TOPIC) <= set(TOPICS)
    assert len(TOPICS) == len(set(TOPICS))


def test_headers_are_cloudevents_in_binary_mode() -> None:
    headers = cloud_event_headers(
        ce_id=PAYMENT,
        ce_type="payments.initiated",
        deployment="default",
        time=datetime(2026, 1, 1, 12, 30, tzinfo=UTC),
        sequence=1,
        attempt=1,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    assert dict(headers) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": str(PAYMENT).encode(),
        "ce_type": b"payments.initiated",
        "ce_source": b"/payment-service/default",
        "ce_time": b"2026-01-01T12:30:00Z",
        "ce_sequence": b"1",
        "ce_attempt": b"1",
        "traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    assert len(headers) == len(dict(headers))


def test_traceparent_is_omitted_without_a_trace() -> None:
    headers = cloud_event_headers(
        ce_id=PAYMENT,
        ce_type="payments.failed",
        deployment="eu",
        time=datetime(2026, 1, 1, tzinfo=UTC),
        sequence=2,
        attempt=3,
    )
    assert "traceparent" not in dict(headers)


def test_times_are_written_in_utc() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    assert rfc3339(datetime(2026, 1, 1, 5, 30, tzinfo=there)) == "2026-01-01T00:00:00Z"
    assert rfc3339(datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)) == "2026-01-01T00:00:00.000005Z"
    with pytest.raises(ValueError, match="zone"):
        rfc3339(datetime(2026, 1, 1))  # noqa: DTZ001
