"""Test that each conformance check can fail: break the example provider, one fault at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from payment_service.domain.payment import IntentFact, Status
from payment_service.domain.refund import RefundFact, RefundListFact
from payment_service.provider.conformance import CHECKS, NotConforming
from payment_service.provider.port import Call, Checkout, Done, Kind, Misused, Refused, WrongState
from payment_service_events.money import Money
from tests.support.provider_harnesses import open_acme

Break = Callable[[Any], None]


def changing_outcomes(change: Callable[[Call, Any], Any]) -> Break:
    """Change every outcome before it is returned."""

    def apply(acme: Any) -> None:
        real = acme.send

        async def send(call: Call) -> Any:
            return change(call, await real(call))

        acme.send = send

    return apply


def changing_events(change: Callable[[Any], Any]) -> Break:
    """Change every event as it is read."""

    def apply(acme: Any) -> None:
        real = acme.translate
        acme.translate = lambda event: change(real(event))

    return apply


def changing_intents(change: Callable[[IntentFact], IntentFact], kind: Kind | None = None) -> Break:
    """Change every intent in the responses."""

    def swap(call: Call, outcome: Any) -> Any:
        fact = getattr(outcome, "fact", None)
        if isinstance(fact, IntentFact) and kind in {None, call.kind}:
            return replace(outcome, fact=change(fact))
        return outcome

    return changing_outcomes(swap)


def forgetting_keys(acme: Any) -> None:
    """Repeat the effect at each attempt."""
    real = acme.server.handle
    acme.server.handle = lambda method, path, form, _key: real(method, path, form, str(uuid4()))


def random_requests(acme: Any) -> None:
    real = acme.create_request
    acme.create_request = lambda **asked: replace(real(**asked), path=f"/payments?{uuid4()}")


def changing_listings(change: Callable[[Any], Any]) -> Break:
    def apply(acme: Any) -> None:
        real = acme.find_intents

        async def find(**window: Any) -> Any:
            return change(await real(**window))

        acme.find_intents = find

    return apply


def sending_late(acme: Any) -> None:
    real = acme.send

    async def send(call: Call) -> Any:
        outcome = await real(replace(call, refuse_late=lambda: None))
        call.refuse_late()
        return outcome

    acme.send = send


def raising(acme: Any) -> None:
    async def send(_call: Call) -> Any:
        raise ZeroDivisionError

    acme.send = send


def without_checkout(acme: Any) -> None:
    async def checkout(_intent_id: str) -> Any:
        return Checkout(pay={})

    acme.checkout = checkout


def trusting_signatures(acme: Any) -> None:
    acme.verify = lambda _body, _headers, *, now_s: f"secret-{now_s}"


def overrefunding(acme: Any) -> None:
    """Accept every refund request."""
    real = acme.server._refund
    acme.server._refund = lambda form: real({**form, "amount": 0} if form["amount"] > 60_000 else form)


def canceling_paid_intents(acme: Any) -> None:
    real = acme.server._change

    def change(one: dict[str, Any], action: list[str], form: dict[str, Any]) -> Any:
        if action == ["cancel"]:
            acme.server._move(one, "canceled", taken=0)
            return 200, dict(one)
        return real(one, action, form)

    acme.server._change = change


def capturing_open_intents(acme: Any) -> None:
    real = acme.server._change

    def change(one: dict[str, Any], action: list[str], form: dict[str, Any]) -> Any:
        if action == ["capture"]:
            acme.server._move(one, "paid", taken=form["amount"])
            return 200, dict(one)
        return real(one, action, form)

    acme.server._change = change


def refunding_unpaid_intents(acme: Any) -> None:
    real = acme.server._refund

    def refund(form: dict[str, Any]) -> Any:
        one = acme.server.payments[form["payment"]]
        return real(form) if one["taken"] else (200, {"id": "r", "currency": one["currency"], "at": 1, **form})

    acme.server._refund = refund


def halve_amount(fact: IntentFact) -> IntentFact:
    return replace(fact, amount=Money(fact.amount.minor // 2, fact.amount.currency))


def without_refund_name(call: Call, outcome: Any) -> Any:
    """Drop our name from a refund."""
    fact = getattr(outcome, "fact", None)
    return replace(outcome, fact=replace(fact, refund_id=None)) if isinstance(fact, RefundFact) else outcome


def incomplete(call: Call, outcome: Any) -> Any:
    fact = getattr(outcome, "fact", None)
    return replace(outcome, fact=replace(fact, whole=False)) if isinstance(fact, RefundListFact) else outcome


def always_done(call: Call, outcome: Any) -> Any:
    return Done(fact=None, request_id="") if not isinstance(outcome, Done) else outcome


def refuse_as(kind: Kind) -> Break:
    def swap(call: Call, outcome: Any) -> Any:
        if isinstance(outcome, WrongState | Misused) and call.kind is kind:
            return Refused(code="no", reason="No.", fact=None, request_id="")
        return outcome

    return changing_outcomes(swap)


def incomplete_event(event: Any) -> Any:
    fact = event.fact
    if isinstance(fact, IntentFact) and fact.status is Status.SUCCEEDED:
        return replace(event, fact=replace(fact, received=Money(1, fact.amount.currency)))
    return event


def as_canceled(event: Any) -> Any:
    """Report a cancellation that did not happen, after the payment."""
    fact = event.fact
    if isinstance(fact, IntentFact):
        nothing = Money(0, fact.amount.currency)
        return replace(event, fact=replace(fact, status=Status.CANCELED, received=nothing))
    return event


def with_wrong_refund_name(event: Any) -> Any:
    return replace(event, fact=replace(event.fact, refund_id=uuid4())) if isinstance(event.fact, RefundFact) else event


FAULTS: list[tuple[str, Break]] = [
    ("equal_input_builds_equal_requests", random_requests),
    ("a_repeated_key_creates_one_intent", forgetting_keys),
    ("a_repeated_key_creates_one_intent", raising),
    ("a_repeated_key_creates_one_intent", changing_outcomes(lambda _call, _outcome: None)),
    ("a_repeated_key_creates_one_intent", changing_intents(lambda fact: replace(fact, intent_id=str(uuid4())))),
    ("concurrent_creates_make_one_intent", forgetting_keys),
    ("a_key_with_another_body_is_refused", forgetting_keys),
    ("a_key_with_another_body_is_refused", refuse_as(Kind.CREATE)),
    ("amounts_are_exact_in_every_currency", changing_intents(halve_amount, Kind.RETRIEVE)),
    ("an_intent_is_found_by_time_and_payment_id", changing_listings(lambda _found: {})),
    ("an_intent_is_found_by_time_and_payment_id", changing_listings(lambda _found: None)),
    ("an_intent_is_found_by_time_and_payment_id", changing_listings(lambda found: dict.fromkeys(found, (None,)))),
    ("a_late_attempt_is_not_sent", sending_late),
    ("checkout_returns_payment_data", without_checkout),
    (
        "a_paid_intent_has_received_the_amount",
        changing_intents(lambda fact: replace(fact, status=Status.PENDING), Kind.RETRIEVE),
    ),
    ("an_unpaid_intent_is_canceled_once", changing_intents(lambda f: replace(f, status=Status.PENDING), Kind.CANCEL)),
    ("canceling_a_paid_intent_is_a_wrong_state", canceling_paid_intents),
    ("canceling_a_paid_intent_is_a_wrong_state", refuse_as(Kind.CANCEL)),
    ("only_an_authorized_intent_is_captured", capturing_open_intents),
    ("a_lookup_shows_the_result_of_a_cancel", changing_intents(lambda f: replace(f, intent_id="another"), Kind.CANCEL)),
    ("invalid_requests_are_never_done", changing_outcomes(always_done)),
    ("invalid_requests_are_never_done", raising),
    ("a_repeated_refund_key_creates_one_refund", forgetting_keys),
    ("a_repeated_refund_key_creates_one_refund", changing_outcomes(without_refund_name)),
    ("refunds_are_listed_together", changing_outcomes(incomplete)),
    ("refunds_never_exceed_the_captured_amount", overrefunding),
    ("an_unpaid_intent_is_not_refunded", refunding_unpaid_intents),
    ("events_translate_the_same_every_time", changing_events(lambda event: replace(event, event_id=str(uuid4())))),
    ("events_translate_the_same_every_time", changing_events(lambda event: replace(event, provider="other"))),
    ("event_ids_are_unique", changing_events(lambda event: replace(event, event_id="event-1"))),
    ("events_of_a_paid_intent_name_the_payment", changing_events(lambda event: replace(event, payment_id=uuid4()))),
    ("events_of_a_paid_intent_name_the_payment", changing_events(incomplete_event)),
    ("events_in_any_order_give_the_same_result", changing_events(as_canceled)),
    ("refund_events_name_the_refund", changing_events(with_wrong_refund_name)),
    ("unsigned_webhooks_are_refused", trusting_signatures),
]


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(FAULTS)])
async def test_a_broken_provider_fails_its_check(name: str, fault: Break) -> None:
    async with open_acme() as whole:
        await CHECKS[name](whole)
    async with open_acme(fault) as broken:
        with pytest.raises(NotConforming) as found:
            await CHECKS[name](broken)
    assert str(found.value)


def test_every_check_has_a_fault_that_fails_it() -> None:
    assert {name for name, _ in FAULTS} == set(CHECKS)
