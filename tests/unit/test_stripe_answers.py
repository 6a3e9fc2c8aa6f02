"""Unusual answers from Stripe: replayed, mixed up, incomplete."""

from __future__ import annotations

from typing import Any

import pytest

from payment_service.domain.refund import RefundListFact
from payment_service.provider.port import Done, Kind, Outcome, Request, Transient, Unexpected, Unknown, WrongState
from payment_service.provider.stripe.responses import Response, classify
from tests.support.provider_calls import PAYMENT, call_of

CREATE = (Kind.CREATE, "POST", "/v1/payment_intents")
CANCEL = (Kind.CANCEL, "POST", "/v1/payment_intents/pi_1/cancel")
REFUNDS = (Kind.RETRIEVE, "GET", "/v1/refunds?payment_intent=pi_1&limit=100")


def intent(intent_id: str = "pi_1", status: str = "canceled") -> dict[str, Any]:
    metadata = {"deployment": "default", "payment_id": str(PAYMENT)}
    named = {"object": "payment_intent", "id": intent_id, "metadata": metadata, "created": 5}
    return {**named, "amount": 1990, "amount_received": 0, "currency": "eur", "status": status}


def outcome_of(status: int, body: object, called: tuple[Kind, str, str] = CREATE, **headers: str) -> Outcome:
    """Classify an answer to a call: kind, method, path."""
    kind, method, path = called
    call = call_of(kind, Request(method=method, path=path, body="", api_version="v"))
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


def test_an_answer_about_another_intent_is_not_believed() -> None:
    """A cache in between may mix answers up. Its intent may be another customer's."""
    assert isinstance(outcome_of(200, intent(), CANCEL), Done)
    outcome = outcome_of(200, intent("pi_2"), CANCEL)
    assert isinstance(outcome, Unexpected)
    assert outcome.code == "another_object"


def test_a_replayed_answer_is_not_taken_for_the_current_state() -> None:
    """Stripe replays the first answer of a key, whatever happened to the intent since
    (https://docs.stripe.com/api/idempotent_requests).
    """
    created = outcome_of(200, intent(status="requires_payment_method"), Idempotent_Replayed="true")
    assert isinstance(created, Done)
    assert created.outdated
    canceled = outcome_of(200, intent(), CANCEL, Idempotent_Replayed="true")
    assert isinstance(canceled, Done)
    assert canceled.fact is None
    error = {"code": "payment_intent_unexpected_state", "payment_intent": intent(status="requires_action")}
    for replayed in (True, False):
        refused = outcome_of(400, {"error": error}, CANCEL, Idempotent_Replayed=str(replayed).lower())
        assert isinstance(refused, WrongState)
        assert (refused.fact is None) is replayed


def test_a_key_in_use_is_retried_even_without_the_header_that_asks_for_it() -> None:
    """Stripe answers 409 while another request with the key runs (https://docs.stripe.com/error-low-level)."""
    error = {"type": "invalid_request_error", "code": "idempotency_key_in_use"}
    assert isinstance(outcome_of(409, {"error": error}), Transient)


@pytest.mark.parametrize("more", [True, False])
def test_a_list_of_refunds_is_whole_only_if_no_page_follows(more: bool) -> None:
    outcome = outcome_of(200, {"object": "list", "data": [], "has_more": more}, REFUNDS)
    assert isinstance(outcome, Done)
    assert isinstance(outcome.fact, RefundListFact)
    assert outcome.fact.whole is not more
