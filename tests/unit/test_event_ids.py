"""Events of a payment, its refunds and its disputes have distinct ids through every sequence of facts.

Consumers drop a record whose id they have seen before, so two events must never share an id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from payment_service.domain.dispute import Dispute, DisputeChanged, DisputeFact, DisputeStatus, apply_dispute
from payment_service.domain.facts_without_intent import FreeFact, RefusedFact, WithdrawnFact
from payment_service.domain.payment import Applied, ChargeFact, Decline, Fact, IntentFact, Payment, Status, apply
from payment_service.domain.payment_event import PaymentEvent
from payment_service.domain.refund import (
    AnyRefundFact,
    Refund,
    RefundFact,
    RefundRefused,
    RefundRequested,
    RefundsChanged,
    RefundStatus,
    apply_refund,
)
from payment_service_events.currency import currency
from payment_service_events.money import Money
from payment_service_events.published_events import DisputeClosed, RefundFailed
from scripts.document_states import SAMPLE

EUR = currency("eur")
AMOUNT = Money(1000, EUR)
NOTHING = Money(0, EUR)
INTENT = "pi_1"
OURS = UUID(int=7)
NEW = replace(SAMPLE, amount=AMOUNT, captured=NOTHING, refunded=NOTHING, reserved=NOTHING)
PAID = replace(NEW, provider_payment_id=INTENT, captured=AMOUNT, status=Status.SUCCEEDED)


def ids(events: Sequence[PaymentEvent]) -> list[tuple[str, str]]:
    """Return the parts of each record's id beside the payment."""
    return [(one.data.topic, one.cause) for one in events]


def refund(status: RefundStatus, at: int) -> AnyRefundFact:
    return RefundFact(
        intent_id=INTENT,
        provider_refund_id="re_1",
        refund_id=OURS,
        amount=AMOUNT,
        status=status,
        failure="declined" if status is RefundStatus.FAILED else "",
        at=at,
        source=f"evt_{at}",
    )


def refusal(at: int) -> AnyRefundFact:
    return RefundRefused(refund_id=OURS, code="insufficient_funds", reason="", at=at, source=f"answer_{at}")


def events_of_refund(facts: Sequence[AnyRefundFact]) -> list[PaymentEvent]:
    payment, refunds, events = PAID, dict[UUID, Refund](), list[PaymentEvent]()
    for one in (RefundRequested(refund_id=OURS, amount=AMOUNT, reason="", disputed=False, at=0), *facts):
        verdict = apply_refund(payment, refunds, one)
        if isinstance(verdict, RefundsChanged):
            payment = verdict.payment
            refunds |= {refund.id: refund for refund in verdict.refunds}
            events += verdict.events
    return events


def test_a_failure_after_refusal_and_success_has_its_own_event_id() -> None:
    events = events_of_refund([refusal(1), refund(RefundStatus.SUCCEEDED, 2), refund(RefundStatus.FAILED, 3)])
    assert sum(isinstance(one.data, RefundFailed) for one in events) == 2
    assert len(set(ids(events))) == len(events)


def test_a_failed_refund_publishes_its_failure_once() -> None:
    events = events_of_refund(
        [refund(RefundStatus.FAILED, 1), refund(RefundStatus.CANCELED, 2), refund(RefundStatus.FAILED, 3)]
    )
    assert sum(isinstance(one.data, RefundFailed) for one in events) == 1


_REFUND_STEPS: list[Callable[[int], AnyRefundFact]] = [
    refusal,
    *(lambda at, status=status: refund(status, at) for status in RefundStatus),
]


@pytest.mark.invariant("I4")
def test_refund_events_have_distinct_ids() -> None:
    """Try every sequence of five steps in the provider's order of time."""
    for steps in product(_REFUND_STEPS, repeat=5):
        events = events_of_refund([step(at) for at, step in enumerate(steps, 1)])
        assert len(set(ids(events))) == len(events), ids(events)


def dispute(status: str, at: int) -> DisputeFact:
    return DisputeFact(
        intent_id=INTENT,
        provider_dispute_id="du_1",
        amount=AMOUNT,
        status=status,
        reason="fraudulent",
        evidence_due_at=None,
        at=at,
        source=f"evt_{at}",
    )


def events_of_dispute(facts: Sequence[DisputeFact]) -> list[PaymentEvent]:
    now: Dispute | None = None
    events: list[PaymentEvent] = []
    for one in facts:
        verdict = apply_dispute(PAID, now, one)
        if isinstance(verdict, DisputeChanged):
            now = verdict.dispute
            events += verdict.events
    return events


def test_dispute_events_have_distinct_ids() -> None:
    """Try every sequence of four steps in the provider's order of time, one and two steps per second."""
    for statuses in product([*DisputeStatus, "appeal_later", "arbitration"], repeat=4):
        for steps_per_second in (1, 2):
            facts = [dispute(status, i // steps_per_second) for i, status in enumerate(statuses)]
            events = events_of_dispute(facts)
            assert len(set(ids(events))) == len(events), ids(events)


def test_each_decision_of_a_bank_publishes_an_event() -> None:
    decisions = [DisputeStatus.LOST, DisputeStatus.WON, DisputeStatus.LOST]
    events = events_of_dispute(
        [dispute(status, at) for at, status in enumerate([DisputeStatus.NEEDS_RESPONSE, *decisions])]
    )
    assert [one.data.status for one in events if isinstance(one.data, DisputeClosed)] == decisions


def intent(status: Status, at: int, **changes: Any) -> IntentFact:
    made = IntentFact(
        intent_id=INTENT,
        status=status,
        at=at,
        source=f"evt_{at}",
        from_event=True,
        amount=AMOUNT,
        received=AMOUNT if status is Status.SUCCEEDED else NOTHING,
        method="card",
    )
    return replace(made, **changes)


def declined(charge_id: str | None) -> Callable[[int], Fact]:
    decline = Decline(code="generic_decline", reason="", charge_id=charge_id)
    return lambda at: intent(Status.DECLINED, at, decline=decline)


_INTENT_STATUSES = [status for status in Status if status not in {Status.CREATED, Status.DECLINED, Status.FAILED}]
_PAYMENT_STEPS: list[Callable[[int], Fact]] = [
    *(lambda at, status=status: intent(status, at) for status in _INTENT_STATUSES),
    declined("ch_1"),
    declined("ch_2"),
    declined(None),
    lambda at: ChargeFact(intent_id=INTENT, charge_id="ch_1", method="card", amount=AMOUNT, at=at, source=f"evt_{at}"),
    lambda at: RefusedFact(code="amount_too_small", reason="", at=at, source="answer"),
    lambda at: WithdrawnFact(code="order_cancelled", at=at, source="withdrawn"),
    lambda at: FreeFact(at=at),
]


@pytest.mark.parametrize("direction", [1, -1])
def test_payment_events_have_distinct_ids(direction: int) -> None:
    """Try every sequence of four steps, in the provider's order of time and in reverse."""
    for steps in product(_PAYMENT_STEPS, repeat=4):
        payment: Payment = NEW
        events: list[PaymentEvent] = []
        for i, step in enumerate(steps):
            verdict = apply(payment, step(10 + direction * i))
            if isinstance(verdict, Applied):
                payment = verdict.payment
                events += verdict.events
        assert len(set(ids(events))) == len(events), ids(events)


def test_end_of_an_unpaid_payment_has_one_id_whoever_reports_it() -> None:
    """A create that was withdrawn before a backup was restored may be sent afterwards, and its intent be canceled."""
    fresh = replace(NEW, status=Status.CREATED, provider_payment_id=None, key=None)
    withdrawn = apply(fresh, WithdrawnFact(code="order_cancelled", at=1, source="withdrawn"))
    canceled = apply(fresh, intent(Status.CANCELED, 2, cancellation="requested_by_customer"))
    assert isinstance(withdrawn, Applied)
    assert isinstance(canceled, Applied)
    assert set(ids(withdrawn.events)) < set(ids(canceled.events))


def test_refused_create_has_one_id_under_every_operation() -> None:
    fresh = replace(NEW, status=Status.CREATED, provider_payment_id=None, key=None)
    verdicts = [
        apply(fresh, RefusedFact(code="amount_too_small", reason="", at=1, source=f"answer:{n}")) for n in (1, 2)
    ]
    first, second = (ids(verdict.events) for verdict in verdicts if isinstance(verdict, Applied))
    assert first == second
