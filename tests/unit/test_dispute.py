"""Facts about disputes give one status and one owner of the money, whatever their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations

import pytest

from payment_service.domain.dispute import Dispute, DisputeChanged, DisputeFact, DisputeStatus, apply_dispute
from payment_service.domain.early_facts import ReadIntent
from payment_service.domain.payment import Parked, Status
from payment_service_events.declaration import EventData
from payment_service_events.money import Money
from payment_service_events.published_events import DisputeClosed, Disputed
from tests.unit.test_refund import EUR, INTENT, PAID


def dispute(status: str, at: int) -> DisputeFact:
    return DisputeFact(
        intent_id=INTENT,
        provider_dispute_id="du_1",
        amount=Money(1000, EUR),
        status=status,
        reason="fraudulent",
        evidence_due_at=99,
        at=at,
        source=f"evt_{status}_{at}",
    )


def fold_disputes(facts: Sequence[DisputeFact]) -> tuple[Dispute | None, list[EventData]]:
    now: Dispute | None = None
    events: list[EventData] = []
    for one in facts:
        verdict = apply_dispute(PAID, now, one)
        if isinstance(verdict, DisputeChanged):
            now = verdict.dispute
            events += [event.data for event in verdict.events]
    return now, events


def test_inquiry_chargeback_and_closing_are_each_published_once() -> None:
    story = [
        dispute(DisputeStatus.WARNING_NEEDS_RESPONSE, 1),
        dispute(DisputeStatus.WARNING_UNDER_REVIEW, 2),
        dispute(DisputeStatus.NEEDS_RESPONSE, 3),
        dispute(DisputeStatus.UNDER_REVIEW, 4),
        dispute(DisputeStatus.WON, 5),
        dispute(DisputeStatus.WON, 6),
    ]
    now, events = fold_disputes([one for one in story for _ in range(2)])
    assert now is not None
    assert now.status is DisputeStatus.WON
    assert [getattr(one, "stage", "closed") for one in events] == ["inquiry", "chargeback", "closed"]
    assert [type(one) for one in events] == [Disputed, Disputed, DisputeClosed]


@pytest.mark.parametrize(
    "end", [DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.PREVENTED], ids=lambda status: status.value
)
def test_dispute_facts_in_any_order_give_the_same_status(end: DisputeStatus) -> None:
    story = [dispute(DisputeStatus.NEEDS_RESPONSE, 1), dispute(DisputeStatus.UNDER_REVIEW, 1), dispute(end, 1)]
    ends: set[str] = set()
    for order in permutations(story):
        now, _ = fold_disputes(order)
        assert now is not None
        ends.add(now.status)
    assert ends == {end}


def test_only_chargebacks_take_the_money() -> None:
    takes: Mapping[DisputeStatus, bool] = {
        status: now.funds_withdrawn
        for status in DisputeStatus
        if (now := fold_disputes([dispute(status, 1)])[0]) is not None
    }
    assert {status for status, taken in takes.items() if taken} == {
        DisputeStatus.NEEDS_RESPONSE,
        DisputeStatus.UNDER_REVIEW,
        DisputeStatus.LOST,
        DisputeStatus.APPEAL_NEEDS_RESPONSE,
        DisputeStatus.APPEAL_UNDER_REVIEW,
    }


@pytest.mark.parametrize("status", [*DisputeStatus, "appeal_pending", "appeal_won", "arbitration", "warning_later"])
def test_a_status_is_kept_as_the_provider_names_it(status: str) -> None:
    now, events = fold_disputes([dispute(status, 1)])
    assert now is not None
    assert now.status == status
    assert [getattr(one, "status", "") for one in events] == [status]


@pytest.mark.parametrize("status", ["appeal_needs_response", "appeal_won", "arbitration"])
@pytest.mark.parametrize("bank_has_money", [True, False])
def test_the_providers_fields_decide_who_has_the_money_of_an_unknown_status(status: str, bank_has_money: bool) -> None:
    now, _ = fold_disputes([replace(dispute(status, 2), bank_has_money=bank_has_money)])
    assert now is not None
    assert (now.status, now.funds_withdrawn) == (status, bank_has_money)


def test_an_appeal_reopens_a_lost_dispute_and_its_decision_is_published_again() -> None:
    story = ["needs_response", "lost", "appeal_needs_response", "appeal_under_review", "lost"]
    now, events = fold_disputes([dispute(status, at) for at, status in enumerate(story)])
    assert now is not None
    assert now.status == "lost"
    assert [getattr(one, "stage", "closed") for one in events] == ["chargeback", "closed", "appeal", "appeal", "closed"]


def test_unexpected_disputes_are_parked_or_trigger_a_read() -> None:
    one = dispute(DisputeStatus.NEEDS_RESPONSE, 1)
    assert isinstance(apply_dispute(PAID, None, replace(one, intent_id="pi_2")), Parked)
    unpaid = replace(PAID, captured=Money(0, EUR), status=Status.PENDING)
    assert isinstance(apply_dispute(unpaid, None, one), ReadIntent)
