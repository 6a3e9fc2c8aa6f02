"""The payment state machine gives the same result for every order of the provider's facts."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations
from uuid import UUID

import pytest

from payment_service.domain.facts_without_intent import FreeFact, RefusedFact
from payment_service.domain.payment import (
    STATUS_ORDER,
    TRANSITIONS,
    Applied,
    ChargeFact,
    Decline,
    Fact,
    Ignored,
    IntentFact,
    Parked,
    Payment,
    Status,
    Stray,
    apply,
)
from payment_service.domain.payment_event import PaymentEvent
from payment_service_events.currency import currency
from payment_service_events.declaration import EventData
from payment_service_events.money import Money
from payment_service_events.published_events import Canceled, Failed, Initiated, Succeeded

EUR = currency("eur")
AMOUNT = Money(1990, EUR)
NOTHING = Money(0, EUR)
INTENT = "pi_1"
UNPAID_THEN_PAID = [
    Status.PENDING,
    Status.REQUIRES_ACTION,
    Status.PROCESSING,
    Status.DECLINED,
    Status.AUTHORIZED,
    Status.SUCCEEDED,
]


def payment(**changes: object) -> Payment:
    made = Payment(
        id=UUID(int=1),
        order_id="order-1",
        attempt=1,
        user_id="user-1",
        provider="stripe",
        provider_payment_id=None,
        amount=AMOUNT,
        captured=NOTHING,
        refunded=NOTHING,
        reserved=NOTHING,
        status=Status.CREATED,
        method=None,
        sequence=0,
        key=None,
        declines=(),
        paid_at=None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def fact(status: Status, at: int, **changes: object) -> IntentFact:
    decline = (
        Decline(code="generic_decline", reason="The card was declined.", charge_id=f"ch_{at}")
        if status is Status.DECLINED
        else None
    )
    made = IntentFact(
        intent_id=INTENT,
        status=status,
        at=at,
        source=f"evt_{status}_{at}",
        from_event=True,
        amount=AMOUNT,
        received=AMOUNT if status is Status.SUCCEEDED else NOTHING,
        method="card",
        decline=decline,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def charge(at: int) -> ChargeFact:
    return ChargeFact(
        intent_id=INTENT, charge_id="ch_paid", method="link", amount=AMOUNT, at=at, source=f"evt_charge_{at}"
    )


def fold(start: Payment, facts: tuple[Fact, ...]) -> tuple[Payment, list[EventData]]:
    end, events = fold_events(start, facts)
    return end, [event.data for event in events]


def fold_events(start: Payment, facts: tuple[Fact, ...]) -> tuple[Payment, list[PaymentEvent]]:
    events: list[PaymentEvent] = []
    for one in facts:
        verdict = apply(start, one)
        assert not isinstance(verdict, Parked), verdict
        if isinstance(verdict, Applied):
            start = verdict.payment
            events += verdict.events
    return start, events


def end_of(state: Payment) -> tuple[object, ...]:
    return (state.status, state.captured, state.method, state.key, state.paid_at, state.provider_payment_id)


@pytest.mark.invariant("I6")
@pytest.mark.parametrize("last", [Status.SUCCEEDED, Status.CANCELED, Status.DECLINED])
@pytest.mark.parametrize("same_second", [False, True])
def test_facts_in_any_order_give_the_same_payment(last: Status, same_second: bool) -> None:
    """Try all permutations of a life, with one fact repeated, at different seconds and within one second."""
    life: list[Fact] = [
        fact(status, 7 if same_second else 10 + i)
        for i, status in enumerate([Status.PENDING, Status.REQUIRES_ACTION, Status.DECLINED, Status.PROCESSING])
    ]
    life += [fact(last, 7 if same_second else 30, source=f"evt_last_{last}")]
    if last is Status.SUCCEEDED:
        life.append(charge(29))
    ends = set()
    for order in permutations(life):
        state, _ = fold(payment(), (*order, order[0]))
        ends.add(end_of(state))
    assert len(ends) == 1
    assert ends.pop()[0] == last


@pytest.mark.invariant("I6")
def test_any_subset_of_facts_ends_at_the_greatest_fact() -> None:
    """With up to four facts of any kind, the fact with the greatest key decides."""
    facts = [fact(status, at) for status in UNPAID_THEN_PAID for at in (10, 11)]
    for size in (2, 3, 4):
        for chosen in combinations(facts, size):
            ends = {end_of(fold(payment(), order)[0])[:4] for order in permutations(chosen)}
            assert len(ends) == 1, chosen
            greatest = max(chosen, key=lambda f: (STATUS_ORDER[f.status][0], f.at, STATUS_ORDER[f.status][1], f.source))
            assert ends.pop()[0] is greatest.status


@pytest.mark.invariant("I4")
def test_repeated_facts_publish_each_event_once() -> None:
    life = (fact(Status.PENDING, 10), fact(Status.DECLINED, 11), fact(Status.DECLINED, 12), fact(Status.SUCCEEDED, 13))
    _, events = fold_events(payment(), (*life, *life, *reversed(life)))
    assert [type(event.data) for event in events] == [Initiated, Failed, Failed, Succeeded]
    assert len({event.cause for event in events}) == 4


@pytest.mark.invariant("I6")
def test_late_decline_after_success_is_ignored() -> None:
    paid, _ = fold(payment(), (fact(Status.SUCCEEDED, 20),))
    verdict = apply(paid, fact(Status.DECLINED, 30))
    assert verdict == Ignored("known")


def test_late_decline_after_an_authorization_is_ignored() -> None:
    """The customer's second attempt was authorized: the order must not be shown as declined."""
    authorized, _ = fold(payment(), (fact(Status.AUTHORIZED, 20),))
    assert apply(authorized, fact(Status.DECLINED, 30)) == Ignored("known")


def test_a_declined_intent_can_still_be_paid() -> None:
    state, events = fold(payment(), (fact(Status.PENDING, 1), fact(Status.DECLINED, 2), fact(Status.SUCCEEDED, 3)))
    assert state.status is Status.SUCCEEDED
    assert [one.final for one in events if isinstance(one, Failed)] == [False]


def test_a_cancellation_publishes_canceled_and_a_final_failure() -> None:
    _, events = fold(payment(), (fact(Status.PENDING, 1), fact(Status.CANCELED, 2)))
    assert [type(one) for one in events] == [Initiated, Canceled, Failed]
    assert events[-1].final is True  # type: ignore[attr-defined]


def test_a_decline_without_a_charge_is_published_once_per_provider_event() -> None:
    bare = Decline(code="expired_card", reason="The card has expired.", charge_id=None)
    state, events = fold(payment(), (fact(Status.DECLINED, 5, decline=bare, from_event=False, source="read:1"),))
    assert [type(one) for one in events] == [Initiated]
    _, events = fold(
        state, tuple(fact(Status.DECLINED, 5, decline=bare, source=source) for source in ("evt_a", "evt_b", "evt_a"))
    )
    assert [type(one) for one in events] == [Failed, Failed]


@pytest.mark.parametrize("status", [Status.PENDING, Status.REQUIRES_ACTION, Status.DECLINED])
def test_an_unpaid_duplicate_intent_is_canceled_and_not_applied(status: Status) -> None:
    own = payment(provider_payment_id="pi_own", status=Status.PENDING)
    assert apply(own, fact(status, 5)) == Stray(INTENT, cancel=True)


@pytest.mark.parametrize("ended", [Status.CANCELED, Status.FAILED, Status.SUCCEEDED])
def test_a_duplicate_intent_is_canceled_even_after_the_payment_ended(ended: Status) -> None:
    assert apply(payment(provider_payment_id="pi_own", status=ended), fact(Status.PENDING, 5)) == Stray(
        INTENT, cancel=True
    )
    assert apply(payment(status=Status.FAILED), fact(Status.PENDING, 5)) == Stray(INTENT, cancel=True)


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.AUTHORIZED, Status.SUCCEEDED])
def test_a_duplicate_intent_that_holds_money_is_parked(status: Status) -> None:
    verdict = apply(payment(provider_payment_id="pi_own", status=Status.PENDING), fact(status, 5))
    assert isinstance(verdict, Parked)
    assert verdict.reason == "unexpected_money"


@pytest.mark.invariant("I7")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"amount": Money(1991, EUR)}, id="another amount"),
        pytest.param({"amount": Money(1990, currency("usd"))}, id="another currency"),
        pytest.param({"received": Money(1991, EUR)}, id="more received than asked for"),
        pytest.param({"received": Money(1990, currency("usd"))}, id="received in another currency"),
        pytest.param({"received": NOTHING}, id="succeeded with nothing received"),
    ],
)
def test_unexpected_money_is_parked_and_not_applied(changes: dict[str, object]) -> None:
    verdict = apply(payment(), fact(Status.SUCCEEDED, 5, **changes))
    assert isinstance(verdict, Parked)
    assert verdict.reason == "unexpected_money"


@pytest.mark.invariant("I7")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"amount": Money(1991, EUR)}, id="more than the order"),
        pytest.param({"amount": Money(1990, currency("usd"))}, id="another currency"),
        pytest.param({"intent_id": "pi_2"}, id="another intent"),
    ],
)
def test_an_unexpected_charge_is_parked_and_not_applied(changes: dict[str, object]) -> None:
    pending, _ = fold(payment(), (fact(Status.PENDING, 4),))
    verdict = apply(pending, replace(charge(5), **changes))  # type: ignore[arg-type]
    assert isinstance(verdict, Parked)
    assert verdict.reason == "unexpected_money"


def test_the_date_of_a_payment_never_moves() -> None:
    paid, _ = fold(payment(), (fact(Status.PENDING, 4), fact(Status.SUCCEEDED, 5, occurred_at=5)))
    again, events = fold(paid, (fact(Status.SUCCEEDED, 9, occurred_at=8),))
    assert (again.paid_at, events) == (5, [])


def test_a_capture_of_a_canceled_payment_is_parked() -> None:
    canceled, _ = fold(payment(), (fact(Status.CANCELED, 5),))
    verdict = apply(canceled, fact(Status.SUCCEEDED, 6))
    assert isinstance(verdict, Parked)
    assert verdict.reason == "unexpected_money"


def test_a_cancellation_of_a_paid_payment_is_parked_as_a_conflict() -> None:
    paid, _ = fold(payment(), (fact(Status.SUCCEEDED, 5),))
    verdict = apply(paid, fact(Status.CANCELED, 6))
    assert isinstance(verdict, Parked)
    assert verdict.reason == "conflict"


def test_a_refused_create_fails_the_payment_unless_an_intent_exists() -> None:
    refused = RefusedFact(
        code="amount_too_small", reason="The amount is below the least that can be charged.", at=5, source="answer:1"
    )
    state, events = fold(payment(), (refused, refused))
    assert state.status is Status.FAILED
    assert [(type(one), one.final) for one in events] == [(Failed, True)]  # type: ignore[attr-defined]
    pending, _ = fold(payment(), (fact(Status.PENDING, 4),))
    assert isinstance(apply(pending, refused), Ignored)


def test_a_free_order_succeeds_at_once() -> None:
    state, events = fold(payment(amount=NOTHING, provider="none"), (FreeFact(at=9), FreeFact(at=9)))
    assert (state.status, state.method, state.paid_at) == (Status.SUCCEEDED, "none", 9)
    assert [type(one) for one in events] == [Initiated, Succeeded]


def test_no_fact_makes_a_forbidden_transition() -> None:
    """Apply every fact in every state: each change is in the transition table."""
    for start in Status:
        own = payment(status=start, provider_payment_id=None if start is Status.CREATED else INTENT)
        for to in STATUS_ORDER:
            if to is Status.FAILED:
                continue
            verdict = apply(own, fact(to, 5))
            if isinstance(verdict, Applied) and verdict.payment.status is not start:
                assert verdict.payment.status in TRANSITIONS[start], (start, to)
