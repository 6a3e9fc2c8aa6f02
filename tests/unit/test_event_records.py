"""Records of `payments.*` follow their contract, field by field."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from payment_service.contracts.records import TOPICS, cloud_event_headers, rfc3339
from payment_service.contracts.schemas import all_schemas
from payment_service.domain.payment_event import PaymentEvent
from payment_service.flows.state.outbox_records import outbox_record
from payment_service_events.currency import currency
from payment_service_events.declaration import EventData
from payment_service_events.money import Money
from payment_service_events.published_events import (
    EVENTS,
    Authorized,
    Canceled,
    Captured,
    DisputeClosed,
    Disputed,
    Failed,
    Initiated,
    Refunded,
    RefundFailed,
    RefundInitiated,
    Succeeded,
)
from scripts.document_states import SAMPLE
from tests.support.contracts import validate_record

PAYMENT = UUID("3c2f6a53-5c7a-5f0e-9d3c-6f0f8f6f2b11")
EUR = currency("eur")
PRICE = Money(1990, EUR)


def value_of(data: EventData) -> bytes:
    payment = replace(SAMPLE, id=PAYMENT, order_id="order-1", user_id="", amount=PRICE, sequence=1)
    event = PaymentEvent("c", data)
    record = outbox_record(payment, event, deployment="default", now=datetime(2026, 1, 1, tzinfo=UTC))
    validate_record(record.topic, record.key, record.value, dict(record.headers))
    assert record.value is not None
    return record.value


REFUND = "9a3f6a53-5c7a-5f0e-9d3c-6f0f8f6f2b11"
FIVE = Money(500, EUR)
PAID_AT = datetime(2026, 1, 1, tzinfo=UTC)
OF = f'"payment_id":"{PAYMENT}","order_id":"order-1","user_id":"","metadata":{{}}'
OF_REFUND = f'{OF},"refund_id":"{REFUND}","amount":"5.00"'
OF_DISPUTE = f'{OF},"dispute_id":"{REFUND}"'
DISPUTED_EURO = '"amount":"19.90","currency":"eur","reason":"fraudulent"'


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (Initiated(amount=PRICE, method="card"), f'{OF},"amount":"19.90","currency":"eur","method":"card"'),
        (
            Authorized(amount=PRICE, payment_method="card", provider_id="pi_1", capture_before=PAID_AT),
            (
                f'{OF},"amount":"19.90","currency":"eur","payment_method":"card","provider_id":"pi_1",'
                '"capture_before":"2026-01-01T00:00:00Z","payment_method_id":""'
            ),
        ),
        (
            Succeeded(
                amount=Money(1000, EUR),
                amount_ordered=PRICE,
                payment_date=PAID_AT,
                payment_method="card",
                provider_id="pi_1",
                payment_method_id="pm_1",
            ),
            (
                f'{OF},"amount":"10.00","amount_ordered":"19.90","currency":"eur","payment_date":"2026-01-01T00:00:00Z",'
                '"payment_method":"card","provider_id":"pi_1","payment_method_id":"pm_1"'
            ),
        ),
        (
            Captured(amount=FIVE, amount_captured=PRICE, amount_ordered=PRICE, provider_id="pi_1"),
            (
                f'{OF},"amount":"5.00","amount_captured":"19.90","amount_ordered":"19.90","currency":"eur",'
                '"provider_id":"pi_1"'
            ),
        ),
        (
            Failed(amount=Money(500, currency("jpy")), reason="No.", code="declined", final=False),
            f'{OF},"amount":"500","currency":"jpy","reason":"No.","code":"declined","final":false,"payment_method_id":""',
        ),
        (
            Failed(amount=PRICE, reason="No.", code="expired", final=True),
            f'{OF},"amount":"19.90","currency":"eur","reason":"No.","code":"expired","final":true,"payment_method_id":""',
        ),
        (Canceled(amount=PRICE, reason="Expired."), f'{OF},"amount":"19.90","currency":"eur","reason":"Expired."'),
        (
            RefundInitiated(refund_id=REFUND, amount=FIVE, reason="too small"),
            f'{OF_REFUND},"currency":"eur","reason":"too small"',
        ),
        (
            Refunded(refund_id=REFUND, amount=FIVE, amount_refunded=Money(1500, EUR), full=False),
            f'{OF_REFUND},"amount_refunded":"15.00","currency":"eur","full":false',
        ),
        (
            RefundFailed(refund_id=REFUND, amount=FIVE, amount_refunded=Money(1000, EUR), code="declined"),
            f'{OF_REFUND},"amount_refunded":"10.00","currency":"eur","code":"declined"',
        ),
        (
            Disputed(
                dispute_id=REFUND,
                stage="chargeback",
                amount=PRICE,
                reason="fraudulent",
                status="needs_response",
                evidence_due_by=PAID_AT,
            ),
            (
                f'{OF_DISPUTE},"stage":"chargeback",{DISPUTED_EURO},"status":"needs_response",'
                '"evidence_due_by":"2026-01-01T00:00:00Z"'
            ),
        ),
        (
            Disputed(
                dispute_id=REFUND,
                stage="inquiry",
                amount=PRICE,
                reason="fraudulent",
                status="warning_needs_response",
                evidence_due_by=None,
            ),
            f'{OF_DISPUTE},"stage":"inquiry",{DISPUTED_EURO},"status":"warning_needs_response","evidence_due_by":""',
        ),
        (
            DisputeClosed(dispute_id=REFUND, amount=PRICE, reason="fraudulent", status="won"),
            f'{OF_DISPUTE},{DISPUTED_EURO},"status":"won"',
        ),
    ],
)
def test_each_event_has_its_documented_bytes(data: EventData, value: str) -> None:
    assert value_of(data).decode() == f"{{{value}}}"


def test_text_in_any_script_is_preserved() -> None:
    event = PaymentEvent("c", Canceled(amount=PRICE, reason='"\u2028\n\x01\x7f'))
    payment = replace(SAMPLE, id=PAYMENT, order_id='{"a":\\n}', user_id="Zo\u00eb \U0001f642")
    value = outbox_record(payment, event, deployment="default", now=datetime(2026, 1, 1, tzinfo=UTC)).value
    assert value is not None
    read = json.loads(value)
    assert (read["order_id"], read["user_id"]) == (payment.order_id, payment.user_id)
    assert "Zo\u00eb \U0001f642".encode() in value
    assert '"reason":"\\"\u2028\\n\\u0001\x7f"}'.encode() in value


@pytest.mark.parametrize("topic", EVENTS)
def test_every_field_is_a_required_string_or_boolean(topic: str) -> None:
    schema = all_schemas()[f"{topic}.value"]
    assert schema["required"] == list(schema["properties"])
    others = {name: field["type"] for name, field in schema["properties"].items() if field["type"] != "string"}
    assert set(others.values()) <= {"boolean"}


def test_every_event_topic_is_created() -> None:
    assert set(EVENTS) <= set(TOPICS)
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
