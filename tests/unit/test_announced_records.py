"""The records of `payments.*` are what the contract says, field by field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from payment_service.contracts.records import (
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
from payment_service.domain.currency import currency
from payment_service.domain.events import Canceled, Failed, Initiated, Succeeded
from payment_service.domain.money import Money

PAYMENT = UUID("3c2f6a53-5c7a-5f0e-9d3c-6f0f8f6f2b11")
EUR = currency("eur")
OF = {"payment_id": str(PAYMENT), "order_id": "order-1", "user_id": ""}


def test_initiated() -> None:
    value = initiated_value(payment_id=PAYMENT, order_id="order-1", user_id="", amount=Money(1990, EUR), method="card")
    assert json.loads(value) == {**OF, "amount": "19.90", "currency": "eur", "method": "card"}


def test_succeeded() -> None:
    value = succeeded_value(
        payment_id=PAYMENT,
        order_id="order-1",
        user_id="",
        amount=Money(1000, EUR),
        amount_ordered=Money(1990, EUR),
        paid_at=1_767_225_600,
        method="card",
        provider_id="pi_1",
    )
    assert json.loads(value) == {
        **OF,
        "amount": "10.00",
        "amount_ordered": "19.90",
        "currency": "eur",
        "payment_date": "2026-01-01T00:00:00Z",
        "payment_method": "card",
        "provider_id": "pi_1",
    }


@pytest.mark.parametrize("final", [True, False])
def test_failed(final: bool) -> None:
    value = failed_value(
        payment_id=PAYMENT,
        order_id="order-1",
        user_id="",
        amount=Money(500, currency("jpy")),
        reason="Your card has insufficient funds.",
        code="insufficient_funds",
        final=final,
    )
    assert json.loads(value) == {
        **OF,
        "amount": "500",
        "currency": "jpy",
        "reason": "Your card has insufficient funds.",
        "code": "insufficient_funds",
        "final": final,
    }


def test_canceled() -> None:
    value = canceled_value(
        payment_id=PAYMENT, order_id="order-1", user_id="", amount=Money(1234, currency("kwd")), reason="Expired."
    )
    assert json.loads(value) == {**OF, "amount": "1.234", "currency": "kwd", "reason": "Expired."}


def test_text_of_any_language_and_punctuation_survives() -> None:
    value = canceled_value(
        payment_id=PAYMENT, order_id='{"a":\\n}', user_id="Zoë 🙂", amount=Money(0, EUR), reason='"\u2028'
    )
    read = json.loads(value)
    assert (read["order_id"], read["user_id"], read["reason"]) == ('{"a":\\n}', "Zoë 🙂", '"\u2028')


@pytest.mark.parametrize("model", [PaymentInitiated, PaymentSucceeded, PaymentFailed, PaymentCanceled])
def test_every_field_but_booleans_is_a_required_string(
    model: type[PaymentInitiated | PaymentSucceeded | PaymentFailed | PaymentCanceled],
) -> None:
    schema = model.model_json_schema()
    assert set(schema["required"]) == set(schema["properties"])
    assert {name: field["type"] for name, field in schema["properties"].items() if field["type"] != "string"} in (
        {},
        {"final": "boolean"},
    )


def test_every_announcement_has_a_topic_of_ours() -> None:
    assert {kind.topic for kind in (Initiated, Succeeded, Failed, Canceled)} <= set(TOPICS)
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


def test_without_a_trace_there_is_no_traceparent() -> None:
    headers = cloud_event_headers(
        ce_id=PAYMENT,
        ce_type="payments.failed",
        deployment="eu",
        time=datetime(2026, 1, 1, tzinfo=UTC),
        sequence=2,
        attempt=3,
    )
    assert "traceparent" not in dict(headers)


def test_times_are_told_in_utc() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    assert rfc3339(datetime(2026, 1, 1, 5, 30, tzinfo=there)) == "2026-01-01T00:00:00Z"
    assert rfc3339(datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)) == "2026-01-01T00:00:00.000005Z"
    with pytest.raises(ValueError, match="zone"):
        rfc3339(datetime(2026, 1, 1))  # noqa: DTZ001
