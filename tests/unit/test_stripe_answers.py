"""Unusual answers from Stripe."""

from __future__ import annotations

from uuid import UUID

import pytest

from payment_service.provider.port import Call, Kind, Outcome, Request, Unexpected, Unknown
from payment_service.provider.stripe.responses import Response, classify

PAYMENT = UUID("8d8b3c0e-6a4e-5b7c-9a51-0c5d5e1c8f00")


def outcome_of(status: int, body: object, **headers: str) -> Outcome:
    """Classify an answer to a create."""
    call = Call(
        kind=Kind.CREATE,
        operation_id=PAYMENT,
        payment_id=PAYMENT,
        request=Request(method="POST", path="/v1/payment_intents", body="", api_version="v"),
        idempotency_key="create:1",
        source="answer:1",
        refuse_late=lambda: None,
    )
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(call, Response(status=status, headers=named, body=body), deployment="default", now_s=0)


def test_a_replayed_500_is_unknown_despite_a_retry_header() -> None:
    """Stripe repeats this answer as long as it stores the key, so a retry cannot help."""
    outcome = outcome_of(500, None, Idempotent_Replayed="true", Stripe_Should_Retry="true")
    assert isinstance(outcome, Unknown)
    assert outcome.replayed


@pytest.mark.parametrize("odd", ["a\x00b", "\ud800", {"a": 1}, ["x"], 7, "x" * 10_000, "card 4242 4242 4242 4242"])
def test_stored_parts_of_an_answer_fit_the_database(odd: object) -> None:
    """Otherwise the operation could not even be parked, and would block all others."""
    outcomes = [
        outcome_of(400, {"error": {"code": odd, "type": odd, "param": odd}}),
        outcome_of(200, {"object": "payment_intent", "id": odd, "metadata": {}}),
    ]
    for outcome in outcomes:
        assert isinstance(outcome, Unexpected)
        for text in (outcome.code, outcome.detail):
            assert text.isprintable()
            assert text.isascii()
            assert len(text) < 300
            assert "4242" not in text
