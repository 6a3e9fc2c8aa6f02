"""Outcomes of captures and cancellations: published reasons, and answers to calls that come too late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from payment_service.domain.facts_without_intent import WithdrawnFact
from payment_service.domain.payment import Applied, Ignored, Status, apply
from payment_service.domain.refund import RefundRefused
from payment_service.flows.calls.outcomes import NO_INTENT, conclude, conclude_without_intent
from payment_service.provider.port import (
    OWN_INTENT,
    Disposition,
    Kind,
    Outcome,
    Refused,
    Request,
    Unexpected,
    WrongState,
)
from payment_service.provider.stripe.api_versions import API_VERSION, major_of
from payment_service.provider.stripe.refunds import refund_list_fact, refund_total_fact
from payment_service.provider.stripe.responses import CAPTURE_TOO_LATE, Response, classify
from payment_service.provider.stripe.webhooks import translate
from payment_service_events.currency import currency
from payment_service_events.money import Money
from payment_service_events.published_events import Failed
from scripts.document_states import SAMPLE, intent_fact
from tests.support.provider_calls import call_of
from tests.unit.test_outcomes import claimed

UNPAID = replace(SAMPLE, status=Status.PENDING)
RELEASE = {"object": "refund", "reason": "expired_uncaptured_charge", "payment_intent": "pi_1"}


@pytest.mark.parametrize(
    ("before", "word", "code"),
    [
        (Status.PENDING, "abandoned", "expired"),
        (Status.PENDING, "requested_by_customer", "order_cancelled"),
        (Status.AUTHORIZED, "requested_by_customer", "order_cancelled"),
        (Status.PENDING, "duplicate", "canceled"),
        (Status.PENDING, "", "canceled"),
        (Status.PENDING, "a future reason", "canceled"),
        (Status.AUTHORIZED, "automatic", "authorization_expired"),
        (Status.AUTHORIZED, "expired", "authorization_expired"),
        (Status.DECLINED, "automatic", "canceled"),
    ],
)
def test_a_final_failure_states_why_the_payment_was_not_paid(before: Status, word: str, code: str) -> None:
    """Stripe also cancels an intent after too many attempts. Only an authorized payment has a hold that expires."""
    verdict = apply(replace(SAMPLE, status=before), replace(intent_fact(Status.CANCELED), cancellation=word))
    assert isinstance(verdict, Applied)
    [failed] = [event.data for event in verdict.events if isinstance(event.data, Failed)]
    assert (failed.code, failed.final) == (code, True)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.CREATED])
def test_a_create_is_withdrawn_only_while_no_other_fact_is_known(status: Status) -> None:
    fact = WithdrawnFact(code="abandoned", at=1, source="withdrawn")
    new = apply(replace(SAMPLE, provider_payment_id=None), fact)
    assert isinstance(new, Applied)
    assert new.payment.status is Status.CANCELED
    assert isinstance(apply(replace(SAMPLE, status=status), fact), Ignored)


def test_a_call_about_a_missing_intent_ends_without_success() -> None:
    result = conclude_without_intent(claimed(kind=Kind.CANCEL))
    assert (result.update.state, result.update.outcome) == ("refused", NO_INTENT)
    assert not result.succeeded, "a success would unblock this kind of call"


@pytest.mark.parametrize("intent_id", ["pi_1", "a/b?c", "\u00e9", OWN_INTENT])
def test_only_an_escaped_intent_id_replaces_the_placeholder(intent_id: str) -> None:
    request = Request(method="POST", path=f"/v1/payment_intents/{OWN_INTENT}/cancel", body="a=b", api_version="v")
    named = request.about(intent_id)
    assert named.path.count("/") == 4
    assert (named.path.isascii(), "?" in named.path, named.body) == (True, False, "a=b")
    if intent_id != OWN_INTENT:
        assert named.about("pi_2") == named


def outcome_of(kind: Kind, code: str, **error: Any) -> Outcome:
    request = Request(method="POST", path="/v1/payment_intents/pi_1/capture", body="", api_version="v")
    call = call_of(kind, request)
    answer = Response(status=400, headers={}, body={"error": {"code": code, **error}})
    return classify(call, answer, deployment="default", now_s=0)


@pytest.mark.parametrize("code", sorted(CAPTURE_TOO_LATE))
def test_a_late_capture_ends_by_the_current_state_of_the_intent(code: str) -> None:
    outcome = outcome_of(Kind.CAPTURE, code)
    assert isinstance(outcome, WrongState)
    assert outcome.fact is None, "a read follows"
    assert isinstance(outcome_of(Kind.CANCEL, code), Unexpected)


@pytest.mark.parametrize(
    "outcome",
    [
        outcome_of(Kind.REFUND, "payment_intent_unexpected_state"),
        WrongState(code="not_paid", fact=intent_fact(Status.PENDING), request_id=""),
        Refused(code="not_now", reason="No.", fact=None, request_id=""),
        outcome_of(Kind.REFUND, "charge_disputed"),
    ],
    ids=lambda outcome: outcome.code,
)
def test_every_refund_refusal_frees_its_reserved_amount(outcome: Outcome) -> None:
    """Otherwise the operation has ended while its amount stays reserved for ever."""
    result = conclude(claimed(kind=Kind.REFUND), outcome, jitter=lambda: 0.0)
    assert result.update.state == "refused"
    [freed] = [fact for fact in result.facts if isinstance(fact, RefundRefused)]
    assert (freed.refund_id, freed.code) == (claimed(kind=Kind.REFUND).id, result.update.code)


@pytest.mark.parametrize(
    ("captured", "refunded", "total"),
    [(1990, 0, 0), (1500, 490, 0), (1500, 990, 500), (1990, 1990, 1990), (0, 1990, 0), (None, 1990, 0)],
)
@pytest.mark.invariant("I17")
def test_a_version_before_basil_counts_the_released_hold_as_a_refund(
    captured: int | None, refunded: int, total: int
) -> None:
    """`changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow`."""
    charge = {"amount": 1990, "amount_captured": captured, "amount_refunded": refunded, "currency": "eur"}
    major = major_of("2025-02-24.acacia")
    assert major is not None
    moved = refund_total_fact({**charge, "payment_intent": "pi_1"}, at=1, source="evt_1", major=major)
    assert moved.total == Money(total, currency("eur"))


@pytest.mark.parametrize(("captured", "refunded"), [(1990, 1990), (500, 300), (1500, 700), (1500, 1500), (0, 0)])
@pytest.mark.parametrize("version", ["2025-03-31.basil", "2025-09-30.clover", API_VERSION, "2026-10-28.endive"])
@pytest.mark.invariant("I17")
def test_every_version_since_basil_counts_refunds_only(captured: int, refunded: int, version: str) -> None:
    charge = {"amount": 1990, "amount_captured": captured, "amount_refunded": refunded, "currency": "eur"}
    major = major_of(version)
    assert major is not None
    moved = refund_total_fact({**charge, "payment_intent": "pi_1"}, at=1, source="evt_1", major=major)
    assert moved.total == Money(refunded, currency("eur"))


def test_stripes_refund_for_a_released_hold_is_ignored() -> None:
    assert refund_list_fact({"data": [RELEASE], "has_more": False}, intent_id="pi_1", at=1, source="r").refunds == ()
    event = {"id": "evt_1", "type": "refund.created", "created": 1_767_225_600, "livemode": False}
    translated = translate({**event, "data": {"object": RELEASE}}, deployment="default", livemode=False)
    assert translated.disposition is Disposition.IGNORED
