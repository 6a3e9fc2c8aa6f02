"""Refunds and disputes together take no more than what was captured, in every order of the provider's facts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.domain.dispute import Dispute, DisputeChanged, DisputeFact, DisputeStatus, apply_dispute
from payment_service.domain.refund import (
    ReadRefunds,
    RefundFact,
    RefundListFact,
    RefundRequested,
    RefundsChanged,
    RefundStatus,
)
from payment_service_events.money import Money
from tests.unit.test_dispute import dispute
from tests.unit.test_refund import EUR, INTENT, Book, ask, fact

CAPTURED = 1000

Report = RefundFact | DisputeFact


@dataclass
class Stripe:
    """The provider's rules: it refunds only what remains, and nothing while a chargeback has the money.

    Sources: https://docs.stripe.com/refunds (up to the charge), https://docs.stripe.com/error-codes (`charge_disputed`),
    https://docs.stripe.com/disputes/how-disputes-work (a won dispute returns the money).
    """

    refunds: dict[str, int] = field(default_factory=dict)
    disputes: dict[str, tuple[DisputeStatus, int]] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)

    @property
    def withdrawn(self) -> int:
        return sum(amount for status, amount in self.disputes.values() if status is not DisputeStatus.WON)

    @property
    def left(self) -> int:
        return CAPTURED - sum(self.refunds.values()) - self.withdrawn

    def refund(self, amount: int) -> None:
        if self.withdrawn == 0 and amount <= self.left:
            name = f"re_{len(self.reports)}"
            self.refunds[name] = amount
            self._report_refund(name, RefundStatus.SUCCEEDED, amount)

    def fail_refund(self) -> None:
        if self.refunds and self.withdrawn == 0:
            name, amount = self.refunds.popitem()
            self._report_refund(name, RefundStatus.FAILED, amount)

    def open_dispute(self, amount: int) -> None:
        if min(amount, self.left) > 0:
            self._report_dispute(f"du_{len(self.reports)}", DisputeStatus.NEEDS_RESPONSE, min(amount, self.left))

    def close_dispute(self, status: DisputeStatus) -> None:
        for name, (now, amount) in self.disputes.items():
            if now is DisputeStatus.NEEDS_RESPONSE:
                self._report_dispute(name, status, amount)
                return

    def _report_refund(self, name: str, status: RefundStatus, amount: int) -> None:
        self.reports.append(fact(status, len(self.reports) + 5, name=name, amount=amount, ours=None))

    def _report_dispute(self, name: str, status: DisputeStatus, amount: int) -> None:
        self.disputes[name] = (status, amount)
        reported = dispute(status, len(self.reports) + 5)
        self.reports.append(replace(reported, provider_dispute_id=name, amount=Money(amount, EUR)))


class Books(Book):
    """The refunds and disputes of a payment, updated the way the service updates them."""

    def __init__(self) -> None:
        super().__init__()
        self.disputes: dict[str, Dispute] = {}

    @property
    def withdrawn(self) -> int:
        return sum(one.amount.minor for one in self.disputes.values() if one.funds_withdrawn)

    def take_report(self, report: Report) -> bool:
        """Return whether the report was final: a refund that seems too much waits for a read."""
        if isinstance(report, RefundFact):
            return not isinstance(self.take(report), ReadRefunds)
        verdict = apply_dispute(self.payment, self.disputes.get(report.provider_dispute_id), report)
        if isinstance(verdict, DisputeChanged):
            self.disputes[report.provider_dispute_id] = verdict.dispute
        return True

    def ask(self, amount: int, number: int) -> None:
        request: RefundRequested = replace(ask(amount, UUID(int=number)), disputed=self.withdrawn > 0)
        if isinstance(self.take(request), RefundsChanged):
            assert sum(self.sums) + self.withdrawn <= CAPTURED


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("refund"), st.integers(1, CAPTURED)),
        st.tuples(st.just("fail_refund")),
        st.tuples(st.just("open_dispute"), st.integers(1, CAPTURED)),
        st.tuples(st.just("close_dispute"), st.sampled_from([DisputeStatus.WON, DisputeStatus.LOST])),
    ),
    max_size=10,
)


@pytest.mark.invariant("I7")
@given(_STEPS, st.data())
def test_refunded_plus_taken_by_disputes_never_exceeds_the_captured_amount(
    steps: list[tuple[object, ...]], data: st.DataObject
) -> None:
    """Whatever the order of the reports, the books end as the provider's do."""
    stripe = Stripe()
    for name, *arguments in steps:
        getattr(stripe, str(name))(*arguments)
    books = Books()
    reports = data.draw(st.permutations(stripe.reports))
    waiting = [report for report in reports if not books.take_report(report)]
    if waiting:
        newest = {one.provider_refund_id: one for one in sorted(_refunds(stripe.reports), key=lambda one: one.at)}
        books.take(
            RefundListFact(intent_id=INTENT, refunds=tuple(newest.values()), whole=True, at=99, source="answer:1")
        )
    assert books.sums == (sum(stripe.refunds.values()), 0)
    assert books.withdrawn == stripe.withdrawn
    assert books.sums[0] + books.withdrawn <= CAPTURED


@pytest.mark.invariant("I7")
@given(_STEPS, st.lists(st.integers(1, CAPTURED), max_size=4), st.data())
def test_no_request_takes_more_than_refunds_and_disputes_leave(
    steps: list[tuple[object, ...]], asked: list[int], data: st.DataObject
) -> None:
    """Requests come between reports in any order. `ask` checks the sum after each that is accepted."""
    stripe = Stripe()
    for name, *arguments in steps:
        getattr(stripe, str(name))(*arguments)
    books = Books()
    for one in data.draw(st.permutations([*stripe.reports, *asked])):
        if isinstance(one, int):
            books.ask(one, 100 + len(books.refunds))
        else:
            books.take_report(one)


def _refunds(reports: list[Report]) -> list[RefundFact]:
    return [one for one in reports if isinstance(one, RefundFact)]
